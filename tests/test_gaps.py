"""The four kinds of simulated gaps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tssmnet.errors import TssmnetError, UnknownNameError
from tssmnet.gaps import GAP_KINDS, simulate_gaps


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
