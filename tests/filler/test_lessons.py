"""Lessons: what is hidden, what is told, and what is left out together."""

import numpy as np
import pytest

from tssmnet.filler.config import FillerConfig
from tssmnet.filler.correction import events_of, kept_tokens, parts_of, without
from tssmnet.filler.forward import Forward, prepare
from tssmnet.filler.lessons import OF_PIXELS, query, training_rows, weather
from tssmnet.filler.short import is_short, short_first
from tssmnet.filler.tokens import OWN
from tssmnet.testing import mock_cube


@pytest.fixture(scope="module")
def taught():
    cube = mock_cube(days=50, pixels=20, seed=2)
    config = FillerConfig(rows=4000, few_events=10**6)
    return training_rows(prepare(cube, Forward(config, 0, "cpu"), False), cube, 0)


def test_whole_events_and_for_new_pixels_whole_pixels_are_left_out_together(taught):
    event = events_of(taught, np.zeros(20, int))
    part = parts_of(taught, event, 3, 0)
    new = np.isin(np.array(taught.kinds)[taught.lesson], OF_PIXELS)
    for together, rows in ((event, ~new), (taught.pixel, new)):
        for one in np.unique(together[rows]):
            assert len(set(part[rows & (together == one)])) == 1
    assert set(part) == {0, 1, 2}


def test_the_target_of_a_lesson_is_in_none_of_its_tokens(taught):
    pixels = len(taught.records[0].mean)
    own_day = taught.time * pixels + taught.pixel
    assert not (taught.index == own_day[:, None]).any()


def test_the_query_is_finite_and_bounded_whatever_is_missing(taught):
    table = np.where(np.random.default_rng(0).random(taught.table.shape) < 0.3, np.nan, 100 * taught.table)
    numbers = query(table.astype(np.float32), taught.names)
    assert np.isfinite(numbers).all()
    assert np.abs(numbers).max() <= 8


def test_without_weather_the_table_has_the_same_columns():
    cube = mock_cube(days=30, pixels=20, seed=2)
    config = FillerConfig(rows=500, few_events=10**6)
    told = [training_rows(prepare(c, Forward(config, 0, "cpu"), False), c, 0) for c in (cube, cube[["ssm"]])]
    assert told[0].names == told[1].names
    assert np.isnan(told[1].column("before_1_rain")).all()


def test_sources_can_be_left_out(taught):
    blind = without(taught, ("own", "neighbours"))
    assert (blind.index == -1).all()
    assert np.isnan(blind.column("own_mean")).all()
    assert (without(taught, ("neighbours",)).index[:, : 2 * OWN] == taught.index[:, : 2 * OWN]).all()


def test_any_set_of_tokens_may_be_missing_from_a_lesson():
    kept = kept_tokens((4000, 32), np.random.default_rng(0))
    assert (~kept[:, : 2 * OWN]).all(1).any()
    assert (~kept[:, 2 * OWN :]).all(1).any()
    assert 0.8 < kept.mean() < 0.9


def test_rain_of_the_day_and_of_the_days_around_stand_where_they_belong():
    cube = mock_cube(days=20, pixels=3, seed=0)
    told, rain = weather(cube), cube.precipitation.values
    np.testing.assert_array_equal(told["rain_1"][1:], rain[:-1].astype(np.float32))
    np.testing.assert_array_equal(told["rain_-1"][:-1], rain[1:].astype(np.float32))
    np.testing.assert_allclose(told["rain_sum_3"][5], rain[3:6].sum(0), rtol=1e-4)


def test_a_short_record_tells_a_wet_day_from_the_pixels_that_saw_it_but_not_from_itself():
    lat, lon = np.linspace(0, 1, 11), np.zeros(11)
    ssm = np.full((6, 11), 0.2, np.float32)
    ssm[3] += 0.1
    mask = np.ones((6, 11), bool)
    mask[3, :3] = False
    first = short_first(ssm, mask, 0.2, lat, lon)
    assert first[3, 0] > 0.26
    alone = ssm.copy()
    alone[4, 5] = 0.9
    np.testing.assert_allclose(short_first(alone, mask, 0.2, lat, lon)[4, 5] - first[4, 5], 0.7 / 7, atol=1e-3)


def test_days_of_each_region_make_a_record_long_enough():
    observed = np.ones((60, 4), bool)
    assert is_short(observed, np.zeros(4, int), 100)
    assert not is_short(observed, np.array([0, 0, 1, 1]), 100)
