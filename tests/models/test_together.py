"""Fits side by side give what they give one after another."""

import numpy as np
import pytest
import torch

from tssmnet.errors import TssmnetError
from tssmnet.features.samples import as_samples
from tssmnet.models import make_model, together
from tssmnet.models.together import Fit, fit_together


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(together, "FEWEST", 0)


def some_fits():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(3000, 120)).astype(np.float32)  # large enough to be shared between processes
    y = (0.3 + 0.05 * table[:, 0]).astype(np.float32)
    X = as_samples(table)
    network = {"epochs": 1, "batch": 256, "layers": (16, 8), "precision": "32-true", "device": "cpu"}
    models = [
        make_model("tssmnet", seed=0, **network),
        make_model("xgboost", rounds=5),
        make_model("tssmnet", **network),
    ]
    return [Fit(m, X, y) for m in models], X


@pytest.mark.slow
def test_models_fitted_side_by_side_are_those_fitted_one_after_another(one_thread, two_threads, monkeypatch):
    fits, X = some_fits()
    side_by_side = fit_together(fits, "both", "cpu", False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    one_by_one = fit_together(some_fits()[0], "both", "cpu", False)
    for first, second in zip(side_by_side, one_by_one, strict=True):
        assert type(first) is type(second)
        np.testing.assert_allclose(first.predict(X), second.predict(X), atol=1e-6)
    assert not any(fit.model.fitted_ for fit in fits)  # other processes did it


def test_an_error_in_one_of_them_is_told(two_threads):
    fits, X = some_fits()
    with pytest.raises(TssmnetError, match="not finite"):
        fit_together([fits[0], Fit(fits[1].model, X, np.full(3000, np.nan, np.float32))], "both", "cpu", False)


def test_with_few_samples_or_one_thread_nothing_is_started(monkeypatch):
    monkeypatch.setattr("joblib.Parallel", None)
    fits, _ = some_fits()
    assert all(m.fitted_ for m in fit_together(fits, "few", "cpu", False))
    monkeypatch.setattr(together, "FEWEST", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert len(fit_together(some_fits()[0], "one thread", "cpu", False)) == 3
    assert fit_together([], "none", "cpu", False) == []
