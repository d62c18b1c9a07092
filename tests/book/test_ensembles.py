"""Scores of intervals and members on constructed truth."""

import numpy as np
import pytest
import xarray as xr

from tssmnet.book import ensembles


def test_a_week_s_mean_is_over_its_hidden_days_and_needs_three_of_them():
    values = np.arange(14.0)[:, None] + np.array([0.0, 100.0])
    hidden = np.zeros((14, 2), bool)
    hidden[[1, 2, 3], 0] = True
    hidden[[8, 9], 1] = True
    means = ensembles.weekly_means(values, hidden)
    assert means[0, 0] == 2
    assert np.isnan([means[0, 1], means[1, 0], means[1, 1]]).all()


def test_neighbours_are_those_that_are_nearest():
    lat, lon = np.arange(6.0), np.zeros(6)
    values = np.arange(6.0)[None]
    means = ensembles.neighbour_means(values, np.ones((1, 6), bool), lat, lon, cells=3)
    assert means[0, 1:5].tolist() == [1, 2, 3, 4]


def test_members_that_are_drawn_as_the_truth_is_hold_nine_of_ten():
    rng = np.random.default_rng(0)
    members, truth = rng.normal(size=(200, 50, 40)), rng.normal(size=(50, 40))
    assert ensembles.inside(members, truth) == pytest.approx(0.9, abs=0.02)
    assert ensembles.inside(0.5 * members, truth) < 0.65


def test_independent_members_hold_days_and_weeks_and_have_the_steps_of_the_truth():
    rng = np.random.default_rng(1)
    shape = (70, 12)
    members, truth = rng.normal(size=(100, *shape)), rng.normal(size=shape)
    filled = xr.Dataset(
        {"ssm": (("time", "pixel"), np.zeros(shape))},
        {"lat": ("pixel", np.arange(12.0)), "lon": ("pixel", np.zeros(12))},
    )
    found = ensembles.members_table(members, filled, truth, np.ones(shape, bool)).found
    assert found.iloc[:3].between(80, 97).all()
    assert found.iloc[3] == pytest.approx(1, abs=0.15)
    assert found.iloc[4] == 0


def test_a_spectrum_finds_the_period_of_a_wave():
    wave = np.sin(2 * np.pi * np.arange(256) / 16)[:, None] * np.ones(3)
    period, power = ensembles.spectrum(wave)
    assert period[power.argmax()] == pytest.approx(16)
