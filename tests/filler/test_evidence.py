"""What the observations around a gap say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tssmnet.filler.evidence import (
    REPEAT_DAYS,
    Kernel,
    Record,
    distance_in_space,
    distance_to_observation,
    following,
    kriged,
    neighbour_context,
    neighbourhood,
    own_context,
    phase_anomaly,
    previous,
    two_sided,
)

MASKS = arrays(bool, (30, 3), elements=st.booleans())


@given(MASKS)
@settings(max_examples=40, deadline=None)
def test_previous_and_following_are_the_nearest_observed_days_on_either_side(mask):
    before, after = previous(mask), following(mask)
    for day, pixel in np.ndindex(mask.shape):
        seen = np.flatnonzero(mask[:, pixel])
        assert before[day, pixel] == max(seen[seen < day], default=-1)
        assert after[day, pixel] == min(seen[seen > day], default=-1)


@given(MASKS)
@settings(max_examples=20, deadline=None)
def test_two_sided_sums_weigh_every_other_day_by_its_distance(mask):
    values = np.random.default_rng(0).normal(size=mask.shape).astype(np.float32)
    total, weight = two_sided(values, mask, 4.0)
    lag = np.abs(np.subtract.outer(np.arange(30), np.arange(30)))
    weights = np.where(lag == 0, 0, np.exp(-lag / 4.0))
    np.testing.assert_allclose(total, weights @ np.where(mask, values, 0), atol=1e-4)
    np.testing.assert_allclose(weight, weights @ mask, atol=1e-4)


@pytest.mark.parametrize(("observed", "offset"), [(40, 0.0), (12, Kernel().offset)])
def test_kriging_equals_the_textbook_formula_and_leaves_each_value_out_of_its_own_prediction(observed, offset):
    rng, kernel = np.random.default_rng(1), Kernel()
    residual, rain = rng.normal(size=(50, 1)).astype(np.float32), rng.exponential(3, (50, 1)).astype(np.float32)
    mask = rng.permutation(50)[:, None] < observed
    answer = kriged(residual, mask, rain, kernel)
    for day in (3, 20, 44):
        known = np.flatnonzero(mask[:, 0] & (np.arange(50) != day))
        lag = np.abs(np.subtract.outer(known, known)).astype(float)
        noise = kernel.noise + kernel.wet_noise * np.log1p(rain[known, 0])
        nearness = offset + kernel(np.abs(known - day).astype(float))
        weights = np.linalg.solve(offset + kernel(lag) + np.diag(noise), nearness)
        assert answer[day, 0] == pytest.approx(weights @ residual[known, 0], abs=1e-5)


def test_kriging_a_long_record_in_segments_is_almost_as_good_as_at_once():
    rng, kernel, days = np.random.default_rng(2), Kernel(), 900
    lag = np.abs(np.subtract.outer(np.arange(days), np.arange(days))).astype(float)
    covariance = kernel(lag)
    truth = np.linalg.cholesky(covariance + 1e-9 * np.eye(days)) @ rng.normal(size=(days, 1))
    seen = (truth + np.sqrt(kernel.noise) * rng.normal(size=truth.shape)).astype(np.float32)
    mask = rng.random(truth.shape) < 0.4
    known, gone = np.flatnonzero(mask[:, 0]), np.flatnonzero(~mask[:, 0])
    solved = np.linalg.solve(covariance[np.ix_(known, known)] + kernel.noise * np.eye(len(known)), seen[known, 0])
    at_once = np.std(covariance[np.ix_(gone, known)] @ solved - truth[gone, 0])
    in_segments = np.std(kriged(seen, mask, None, kernel)[gone, 0] - truth[gone, 0])
    assert in_segments < 1.08 * at_once < 0.8 * truth.std()


def test_an_error_that_repeats_every_eight_days_is_found():
    error = np.where(np.arange(160) % REPEAT_DAYS == 3, 0.05, 0.0)[:, None].astype(np.float32)
    anomaly, count = phase_anomaly(error, np.ones((160, 1), bool))
    assert anomaly[3, 0] == pytest.approx(0.05 * (1 - 1 / 8) * 20 / 35, abs=1e-3)
    assert (count == 20).all()
    assert anomaly[4, 0] < 0


def _record(days=60, pixels=5, seed=0):
    rng = np.random.default_rng(seed)
    ssm, known, blind = (rng.uniform(0.1, 0.4, (days, pixels)).astype(np.float32) for _ in range(3))
    return Record(ssm, known, blind, rng.exponential(2, (days, pixels)).astype(np.float32))


def _context(record, mask):
    around = neighbourhood(np.linspace(30, 31, mask.shape[1]), np.linspace(100, 101, mask.shape[1]))
    own = own_context(record, mask, Kernel())
    return own | neighbour_context(record, mask, own, around)


def test_no_feature_of_a_hidden_day_knows_any_hidden_value():
    record, rng = _record(), np.random.default_rng(3)
    mask = rng.random(record.ssm.shape) < 0.4
    other = Record(np.where(mask, record.ssm, rng.random(record.ssm.shape)), record.known, record.blind, record.rain)
    again = _context(other, mask)
    for name, values in _context(record, mask).items():
        np.testing.assert_array_equal(values, again[name], err_msg=name)


def test_features_of_a_pixel_without_observation_come_from_its_neighbours_alone():
    record = _record()
    mask = np.ones(record.ssm.shape, bool)
    mask[:, 2] = False
    context = _context(record, mask)
    assert np.isnan(context["before_1_residual"][:, 2]).all()
    assert (context["own_count"][:, 2] == 0).all()
    assert np.isfinite(context["near_anomaly_2d"][:, 2]).all()
    assert (context["near_weight"][:, 2] > 0).all()


def test_a_lone_pixel_has_no_neighbours_and_no_complaint():
    record = _record(pixels=1)
    context = _context(record, np.random.default_rng(0).random((60, 1)) < 0.5)
    assert (context["near_anomaly_2d"] == 0).all()


def test_neighbours_are_the_nearest_by_great_circle_and_weights_fall_by_a_third_of_e_at_the_far_range():
    around = neighbourhood(np.zeros(30), np.linspace(0, 29, 30))
    assert around.km[5, 0] == pytest.approx(111.19, abs=0.1)
    assert set(around.index[5, :2]) == {4, 6}
    assert around.near[5, 6] == pytest.approx(np.exp(-1), rel=1e-3)
    assert around.far[5, 6] == pytest.approx(np.exp(-1 / 3), rel=1e-3)
    assert around.near[5, 5] == 0


def test_distances_to_the_nearest_observation_in_time_and_space():
    mask = np.zeros((6, 2), bool)
    mask[1, 0] = mask[4, 0] = True
    assert distance_to_observation(mask)[:, 0].tolist() == [1, 0, 1, 1, 0, 1]
    assert np.isinf(distance_to_observation(mask)[:, 1]).all()
    km = distance_in_space(mask, neighbourhood(np.array([0.0, 0.0]), np.array([0.0, 1.0])))
    np.testing.assert_allclose(km[1], [0.0, 111.19], atol=0.01)
    assert np.isinf(km[0]).all()
