"""Intervals calibrated by group: shares that they hold where the truth is constructed."""

import numpy as np
import pytest

from tssmnet.filler.intervals import GROUPS, calibrate, cases_of, groups_of


def _groups(own):
    return {"all": np.zeros(len(own), np.int64), "own": own}


def test_each_group_misses_as_often_as_it_should_though_its_errors_are_larger():
    rng = np.random.default_rng(0)
    own = rng.integers(0, 3, 60_000)
    score = rng.gumbel(size=60_000) * np.array([1.0, 2.0, 0.5])[own]
    event = rng.integers(0, 3000, 60_000)
    side = calibrate(score, _groups(own), event, 0.95)
    fresh = rng.gumbel(size=60_000) * np.array([1.0, 2.0, 0.5])[own]
    for k in range(3):
        assert np.mean(fresh[own == k] > side.stretch(_groups(own))[own == k]) == pytest.approx(0.05, abs=0.006)


def test_with_errors_common_to_a_day_few_days_still_hold_new_days():
    held = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        day = np.repeat(np.arange(15), 200)
        score = rng.normal(size=15)[day] + 0.1 * rng.normal(size=len(day))
        side = calibrate(score, _groups(np.zeros_like(day)), day, 0.95)
        new = rng.normal(size=400)
        held.append(np.mean(new < side.stretch(_groups(np.zeros(1, np.int64)))[0]))
    assert np.mean(held) > 0.9


def test_pixels_of_one_day_are_one_case():
    assert cases_of(np.repeat(np.arange(14), 900)) == pytest.approx(14)
    assert cases_of(np.array([], int)) == 0


def test_a_group_with_few_cases_stays_with_the_factor_from_elsewhere():
    start = calibrate(np.random.default_rng(0).normal(size=5000), _groups(np.zeros(5000, int)), np.arange(5000), 0.95)
    score = np.full(40, 100.0)
    side = calibrate(score, _groups(np.zeros(40, int)), np.zeros(40, int), 0.95, start)
    many = calibrate(np.full(4000, 100.0), _groups(np.zeros(4000, int)), np.arange(4000), 0.95, start)
    one = _groups(np.zeros(1, int))
    assert start.stretch(one)[0] < side.stretch(one)[0] < many.stretch(one)[0]


def test_every_row_is_in_one_group_of_each_kind():
    column = {
        "own_count": np.array([0, 5, 90, 90]),
        "before_1_days": np.array([np.nan, 1, 9, np.nan]),
        "after_1_days": np.array([np.nan, 4, 2, 200]),
        "before_1_rain": np.array([np.nan, 0, 5, 50]),
        "warmth_0": np.array([np.nan, -3, 5, 20]),
    }
    groups = groups_of(column, np.array([0, 1, 3, 8]), np.array([0.05, 0.15, 0.25, 0.4]), few=30)
    assert groups["own"].tolist() == [6, 5, 1, 4]
    assert groups["neighbours"].tolist() == [0, 1, 1, 2]
    for name in ("rain", "warmth", "wetness"):
        assert groups[name].tolist() == [0, 1, 2, 3]
    assert set(groups) == set(GROUPS)
