"""Tokens: the observations nearest to a gap."""

import numpy as np
import pytest

from tssmnet.filler.evidence import neighbourhood
from tssmnet.filler.tokens import (
    NEAR_EACH,
    OWN,
    SLOTS,
    TOKEN,
    describe_tokens,
    distant_neighbours,
    find_tokens,
    observations_of,
    token_neighbours,
)

DAYS, PIXELS = 60, 30


@pytest.fixture(scope="module")
def places():
    rng = np.random.default_rng(1)
    return 40 + 3 * rng.random(PIXELS), -100 + 3 * rng.random(PIXELS)


@pytest.fixture(scope="module")
def around(places):
    return token_neighbours(neighbourhood(*places, spacing=100.0), *places)


@pytest.fixture(scope="module")
def record(places):
    rng = np.random.default_rng(2)
    ssm, first, rain = (rng.random((DAYS, PIXELS)).astype(np.float32) for _ in range(3))
    mask = rng.random((DAYS, PIXELS)) < 0.4
    return mask, observations_of(ssm, first, mask, rain, *places), (ssm, first, rain)


def _told(mask, around, told, time, pixel):
    index = find_tokens(mask, time, pixel, around)
    return index, describe_tokens(index, time, pixel, told)


def test_own_tokens_are_the_nearest_before_and_after_and_never_the_day_itself(record, around):
    mask, _, _ = record
    index = find_tokens(mask, np.array([30]), np.array([4]), around)[0]
    days = np.flatnonzero(mask[:, 4])
    assert (index[:OWN] // PIXELS).tolist() == days[days < 30][::-1][:OWN].tolist()
    assert (index[OWN : 2 * OWN] // PIXELS).tolist() == days[days > 30][:OWN].tolist()
    assert (index[: 2 * OWN] % PIXELS == 4).all()


def test_neighbours_give_their_observations_nearest_in_time_the_same_day_first(record, around):
    mask, _, _ = record
    index = find_tokens(mask, np.array([30]), np.array([4]), around)[0, 2 * OWN :].reshape(-1, NEAR_EACH)
    for neighbour, pair in zip(around[4], index, strict=True):
        away = np.abs(np.flatnonzero(mask[:, neighbour]) - 30)
        assert (pair % PIXELS == neighbour).all()
        assert sorted(np.abs(pair // PIXELS - 30)) == sorted(away)[:NEAR_EACH]


def test_what_is_hidden_is_in_no_token(record, around):
    mask, told, arrays = record
    hidden = np.random.default_rng(5).random(mask.shape) < 0.5
    time, pixel = np.nonzero(mask & hidden)
    changed = [np.where(hidden, 9, arrays[0]).astype(np.float32), *arrays[1:]]
    places = told.lat, told.lon
    first, second = (
        _told(mask & ~hidden, around, observations_of(a[0], a[1], mask & ~hidden, a[2], *places), time, pixel)[1]
        for a in (arrays, changed)
    )
    np.testing.assert_array_equal(first, second)


def test_a_token_tells_residual_distance_and_rain_between(record, around):
    mask, told, (ssm, first, rain) = record
    time, pixel = np.array([20]), np.array([7])
    index, tokens = _told(mask, around, told, time, pixel)
    day = index[0, 0] // PIXELS
    row = tokens[0, 0]
    assert tokens.shape == (1, SLOTS, TOKEN)
    assert row[0] == pytest.approx((day - 20) / 10)
    assert row[3] == pytest.approx((ssm[day, 7] - first[day, 7]) / 0.05, rel=1e-5)
    assert row[9] == pytest.approx(np.log1p(rain[day + 1 : 21, 7].sum()) / 2, rel=1e-4)
    assert row[13] == 1
    assert tokens[0, 2 * OWN, 13] == 0


def test_the_eighth_day_is_one_of_the_same_orbit(record, around, places):
    mask = np.zeros((DAYS, PIXELS), bool)
    mask[[22, 25], 3] = True
    _, told, _ = record
    tokens = _told(mask, around, told, np.array([30]), np.array([3]))[1][0]
    assert tokens[:2, 2].tolist() == [0, 1]


def test_on_a_fine_grid_neighbours_lie_beyond_the_footprint():
    lat, lon = (v.ravel() for v in np.meshgrid(40 - 0.08 * np.arange(50), -100 + 0.1 * np.arange(50), indexing="ij"))
    middle = np.array([25 * 50 + 25])
    found = distant_neighbours(lat, lon, middle)[0]
    km = 111.2 * np.hypot(lat[found] - lat[middle], (lon[found] - lon[middle]) * np.cos(np.radians(lat[middle])))
    assert len(set(found.tolist())) == len(found)
    np.testing.assert_allclose(km, [50, 150] * 4, atol=8)
    np.testing.assert_array_equal(distant_neighbours(lat, lon)[middle[0]], found)
