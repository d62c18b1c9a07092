"""Baselines on records whose truth is known by construction."""

import numpy as np
import pytest

from tssmnet.errors import TssmnetError
from tssmnet.features.samples import Features
from tssmnet.models import load_model, make_model
from tssmnet.models.holdout import HOLDOUTS, held_out


def bare_features(days: int, pixels: int) -> Features:
    return Features(np.empty((days, pixels, 0), np.float32), np.empty((pixels, 0), np.float32), (), ())


def fit_on(name, record, **params):
    features = bare_features(*record.shape)
    seen = np.isfinite(record)
    model = make_model(name, **params).fit(features.where(seen), record[seen])
    return model.predict(features.where(np.ones_like(seen))).reshape(record.shape)


def test_linear_gives_the_line_between_neighbours_and_holds_the_edges():
    record = np.full((7, 2), np.nan, np.float32)
    record[[1, 5], 0] = 0.1, 0.3
    np.testing.assert_allclose(fit_on("linear", record)[:, 0], [0.1, 0.1, 0.15, 0.2, 0.25, 0.3, 0.3], rtol=1e-6)


@pytest.mark.parametrize("name", ["linear", "dctpls"])
def test_a_pixel_never_seen_gets_the_mean_of_all_observations(name):
    record = np.full((40, 2), np.nan, np.float32)
    record[::2, 0] = np.linspace(0.1, 0.3, 20)
    np.testing.assert_allclose(fit_on(name, record)[:, 1], 0.2, rtol=1e-5)


def test_climatology_finds_a_seasonal_cycle_it_saw_once_in_the_next_year():
    day = np.arange(730)
    truth = (0.25 + 0.1 * np.sin(2 * np.pi * day / 365.25)).astype(np.float32)[:, None]
    record = np.where(day[:, None] < 365, truth, np.nan)
    estimate = fit_on("climatology", record, smoothing=5.0)
    assert np.abs(estimate - truth)[366:].max() < 0.01


def test_climatology_of_a_pixel_never_seen_is_the_cycle_of_the_others():
    day = np.arange(365)
    record = np.full((365, 2), np.nan, np.float32)
    record[:, 0] = 0.25 + 0.1 * np.sin(2 * np.pi * day / 365.25)
    estimate = fit_on("climatology", record)
    np.testing.assert_allclose(estimate[:, 1], estimate[:, 0], rtol=1e-5)


def test_climatology_far_from_any_observation_is_the_pixel_mean():
    record = np.full((300, 1), np.nan, np.float32)
    record[:20, 0] = np.linspace(0.1, 0.2, 20)
    assert fit_on("climatology", record, smoothing=5.0)[150, 0] == pytest.approx(0.15, abs=1e-5)


def test_dctpls_keeps_a_smooth_series_and_fills_its_gap():
    day = np.arange(200)
    truth = (0.25 + 0.1 * np.cos(np.pi * (day + 0.5) / 100)).astype(np.float32)[:, None]
    record = truth.copy()
    record[90:110] = np.nan
    assert np.abs(fit_on("dctpls", record, smooth=1.0) - truth).max() < 0.01


def test_dctpls_smooths_more_when_the_series_is_noisier():
    rng = np.random.default_rng(0)
    slow = np.cumsum(rng.normal(0, 0.01, (300, 8)), axis=0).astype(np.float32)
    chosen = []
    for noise in (0.0, 0.1):
        record = slow + rng.normal(0, noise, slow.shape).astype(np.float32)
        features = bare_features(*record.shape)
        seen = rng.random(record.shape) < 0.7
        chosen.append(make_model("dctpls", validation="random").fit(features.where(seen), record[seen]).shared_.smooth)
    assert chosen[0] < chosen[1]


def test_a_constant_series_stays_constant_under_dctpls():
    record = np.full((30, 1), 0.02, np.float32)
    record[5:9] = np.nan
    np.testing.assert_allclose(fit_on("dctpls", record), 0.02, rtol=1e-6)


@pytest.mark.parametrize("name", ["climatology", "linear", "dctpls"])
def test_a_saved_baseline_predicts_the_same(name, tmp_path):
    rng = np.random.default_rng(1)
    features = bare_features(60, 4)
    X = features.where(rng.random((60, 4)) < 0.5)
    model = make_model(name).fit(X, rng.uniform(0.1, 0.4, len(X)).astype(np.float32))
    model.save(tmp_path)
    everywhere = features.where(np.ones((60, 4), bool))
    np.testing.assert_array_equal(load_model(tmp_path).predict(everywhere), model.predict(everywhere))


def test_a_baseline_refuses_a_record_it_was_not_fitted_on():
    X = bare_features(10, 2).where(np.ones((10, 2), bool))
    model = make_model("linear").fit(X, np.full(20, 0.2))
    with pytest.raises(TssmnetError, match=r"\(10, 2\).*\(11, 2\)"):
        model.predict(bare_features(11, 2).where(np.ones((11, 2), bool)))


@pytest.mark.parametrize("kind", HOLDOUTS)
def test_about_the_asked_share_is_held_out(kind):
    X = bare_features(400, 50).where(np.random.default_rng(0).random((400, 50)) < 0.5)
    assert held_out(X, kind, 0.2, seed=3).mean() == pytest.approx(0.2, abs=0.05)


def test_held_out_pixels_are_whole_and_blocks_are_runs():
    X = bare_features(300, 20).where(np.ones((300, 20), bool))
    pixels = held_out(X, "pixels", 0.2, 0).reshape(300, 20)
    assert set(pixels.mean(0)) == {0.0, 1.0}
    blocks = held_out(X, "blocks", 0.2, 0).reshape(300, 20)
    assert np.abs(np.diff(blocks.astype(int), axis=0)).sum() < 0.1 * blocks.sum() + 20


def test_a_lone_sample_is_never_held_out():
    X = bare_features(1, 1).where(np.ones((1, 1), bool))
    assert not held_out(X, "blocks", 0.2, 0).any()
