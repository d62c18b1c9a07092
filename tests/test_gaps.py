"""The four kinds of simulated gaps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tssmnet.errors import TssmnetError, UnknownNameError
from tssmnet.gaps import GAP_KINDS, HOLES, fronts, regions, simulate_gaps, simulate_holes, swaths


def observations(days=120, pixels=15, share=0.5, seed=0):
    return np.random.default_rng(seed).random((days, pixels)) < share


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from([*GAP_KINDS]),
    seed=st.integers(0, 2**31),
    share=st.floats(0.2, 1),
    fraction=st.floats(0.05, 0.6),
)
def test_only_observations_are_hidden_and_the_seed_decides(kind, seed, share, fraction):
    observed = observations(share=share, seed=seed)
    hidden = simulate_gaps(observed, kind, seed, fraction)
    assert hidden.dtype == bool
    assert not (hidden & ~observed).any()
    assert np.array_equal(hidden, simulate_gaps(observed, kind, seed, fraction))


def test_random_hides_each_observation_with_the_given_chance():
    observed = observations(2000, 30)
    hidden = simulate_gaps(observed, "random", fraction=0.2)
    assert hidden.sum() / observed.sum() == pytest.approx(0.2, abs=0.01)


def test_blocks_are_runs_of_whole_days_covering_the_share():
    hidden = simulate_gaps(np.ones((700, 20), bool), "blocks", fraction=0.2)
    assert ((hidden.mean(axis=0) >= 0.2) & (hidden.mean(axis=0) < 0.2 + 30 / 700)).all()
    edges = np.diff(np.pad(hidden.astype(int), ((1, 1), (0, 0))), axis=0)
    for pixel in range(20):
        lengths = np.flatnonzero(edges[:, pixel] == -1) - np.flatnonzero(edges[:, pixel] == 1)
        assert lengths.min() >= 10
    assert not np.array_equal(hidden[:, 0], hidden[:, 1])


def test_a_block_hides_each_observation_inside_it():
    hidden_of_all = simulate_gaps(np.ones((200, 5), bool), "blocks", seed=4)
    observed = observations(200, 5)
    assert np.array_equal(simulate_gaps(observed, "blocks", seed=4), observed & hidden_of_all)


def test_pixels_are_hidden_whole():
    observed = observations(pixels=20)
    observed[:, 7] = False
    hidden = simulate_gaps(observed, "pixels", fraction=0.2)
    touched = hidden.any(axis=0)
    assert touched.sum() == 4
    assert np.array_equal(hidden[:, touched], observed[:, touched])
    assert not touched[7]


def test_ahead_hides_all_from_the_split_on():
    observed = observations(100)
    assert np.array_equal(simulate_gaps(observed, "ahead")[50:], observed[50:])
    assert not simulate_gaps(observed, "ahead")[:50].any()
    assert not simulate_gaps(observed, "ahead", split=70)[:70].any()
    assert np.array_equal(simulate_gaps(observed, "ahead", seed=1), simulate_gaps(observed, "ahead", seed=2))


@pytest.mark.parametrize("kind", ["random", "blocks", "pixels"])
def test_another_seed_hides_others(kind):
    assert not np.array_equal(simulate_gaps(observations(), kind, 1), simulate_gaps(observations(), kind, 3))


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'blocks'"):
        simulate_gaps(observations(), "block")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"fraction": 1.5}, "fraction must lie between 0 and 1, got 1.5"),
        ({"lengths": (10, 500)}, "blocks of 10 to 500 days do not fit a record of 120 days"),
        ({"lengths": (30, 10)}, "blocks of 30 to 10 days"),
        ({"kind": "ahead", "split": 120}, "split must be a day between 1 and 119, got 120"),
        ({"observed": np.ones(5, bool)}, r"shape \(time, pixel\), got \(5,\)"),
        ({"observed": np.ones((9, 1), bool), "kind": "pixels"}, "two observed pixels or more, found 1"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(call, message):
    with pytest.raises(TssmnetError, match=message):
        simulate_gaps(**({"observed": observations(), "kind": "blocks"} | call))


def map_of(pixels, seed=0):
    rng = np.random.default_rng(seed)
    return 40 + 10 * rng.random(pixels), 170 + 20 * rng.random(pixels)


@settings(max_examples=25, deadline=None)
@given(kind=st.sampled_from([*HOLES]), seed=st.integers(0, 2**31), share=st.floats(0.2, 0.9))
def test_wide_holes_hide_only_observations_and_the_same_seed_the_same(kind, seed, share):
    observed = observations(60, 12, share)
    hidden = simulate_holes(observed, kind, *map_of(12), seed)
    assert hidden.any()
    assert not (hidden & ~observed).any()
    assert np.array_equal(hidden, simulate_holes(observed, kind, *map_of(12), seed))


def test_a_swath_hides_what_another_day_did_not_see():
    observed = observations(40, 30, 0.6)
    hidden = swaths(observed, 3, 0.25)
    days = np.flatnonzero(hidden.any(1))
    assert len(days) == 10
    for day in days:
        left = observed[day] & ~hidden[day]
        assert any(np.array_equal(left, observed[day] & other) for other in observed)


def test_where_every_day_saw_everything_there_are_no_swaths():
    assert not swaths(np.ones((20, 5), bool), 0).any()


def test_a_front_is_a_compact_region_for_a_while():
    lat, lon = map_of(200)
    hidden = fronts(np.ones((100, 200), bool), lat, lon, 5, 0.001, lengths=(10, 10), share=(0.1, 0.1))
    days, pixels = (np.flatnonzero(hidden.any(axis)) for axis in (1, 0))
    assert len(days) <= 10
    assert np.diff(days).max() == 1
    assert len(pixels) == 20
    assert np.ptp(lat[pixels]) < 0.6 * np.ptp(lat)


def test_regions_hide_all_days_of_neighbouring_pixels_and_leave_some():
    lat, lon = map_of(100)
    hidden = regions(np.ones((10, 100), bool), lat, lon, 2, 0.2, places=1)
    gone = hidden.any(0)
    assert gone.sum() == 20
    assert hidden[:, gone].all()
    assert np.ptp(lon[gone]) < 0.7 * np.ptp(lon)
    with pytest.raises(TssmnetError, match="two observed pixels"):
        regions(np.ones((9, 1), bool), lat[:1], lon[:1])
