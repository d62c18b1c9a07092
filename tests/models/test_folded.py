"""Quick prediction: the same function as the network's own, and the network left as it was."""

import numpy as np
import pytest
import torch
from torch import nn

from tssmnet.errors import TssmnetError
from tssmnet.features.samples import Features
from tssmnet.models import MODELS, make_model
from tssmnet.models.folded import BATCH, fold, predictor


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    dynamic = rng.standard_normal((70, 90, 6), np.float32)
    dynamic[rng.random(dynamic.shape) < 0.05] = np.nan
    static = 300 + rng.standard_normal((90, 4), np.float32)
    features = Features(dynamic, static, tuple("abcdef"), tuple("ghij"), {"j": "descriptor"})
    return features.where(np.ones((70, 90), bool))


def fitted(name, X):
    y = (0.2 + 0.05 * np.nan_to_num(X.table()[:, 0])).astype(np.float32)
    return make_model(name, device="cpu", epochs=2).fit(X, y)


@pytest.mark.parametrize("name", [n for n, spec in MODELS.items() if spec.kind == "network"])
def test_it_predicts_what_the_network_predicts(name, samples):
    model = fitted(name, samples)
    assert len(samples) > BATCH["cpu"]  # more than one batch, the last one smaller
    np.testing.assert_allclose(predictor(model)(samples), model.predict(samples), atol=2e-6)


def test_no_batch_norm_and_no_dropout_is_left_and_the_model_keeps_its_own(samples):
    model = fitted("tssmnet", samples)
    before = {k: v.clone() for k, v in model.net_.state_dict().items()}
    kinds = {type(m).__name__ for m in fold(model.net_).modules()}
    assert not kinds & {"BatchNorm1d", "Dropout"}
    assert any(isinstance(m, nn.BatchNorm1d) for m in model.net_.modules())
    assert all(torch.equal(v, before[k]) for k, v in model.net_.state_dict().items())


def test_other_features_are_refused(samples):
    model = fitted("resautonet", samples)
    fewer = samples.features.select(["a", "b", "g"]).where(np.ones((70, 90), bool))
    with pytest.raises(TssmnetError, match="was fitted on 10 features and got 3"):
        predictor(model)(fewer)


def test_a_model_that_is_no_network_predicts_by_itself(samples):
    model = make_model("linear")
    assert predictor(model) == model.predict
