"""The table of models and what make_model, save and load promise for each of them."""

import json

import numpy as np
import pytest

from tssmnet.errors import TssmnetError, UnknownNameError
from tssmnet.models import MODELS, load_model, make_model, parameters_of

TREES = {"rf": {"trees": 5}, "xgboost": {"rounds": 20}}


def test_an_unknown_model_is_answered_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match="did you mean 'xgboost'"):
        make_model("xgbost")


@pytest.mark.parametrize(
    ("name", "wrong", "right"), [("rf", "treees", "trees"), ("climatology", "smoothin", "smoothing")]
)
def test_an_unknown_parameter_is_answered_with_the_nearest_name(name, wrong, right):
    with pytest.raises(UnknownNameError, match=f"parameter of {name} '{wrong}'; did you mean '{right}'"):
        make_model(name, **{wrong: 1})


def test_the_paper_six_are_marked():
    assert {n for n, s in MODELS.items() if s.paper} == {
        "tssmnet",
        "smnet",
        "resautonet",
        "transformer",
        "rf",
        "xgboost",
    }


def test_parameters_of_tells_what_makes_a_variant():
    assert parameters_of("rf")["trees"] > 0
    assert parameters_of("xgboost")["depth"] > 0


@pytest.mark.parametrize("name", TREES)
def test_trees_are_the_same_for_the_same_seed_and_take_missing_values(name):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4)).astype(np.float32)
    X[rng.random(X.shape) < 0.1] = np.nan
    y = np.nan_to_num(X[:, 0]) ** 2
    first, again = (make_model(name, seed=3, **TREES[name]).fit(X, y).predict(X) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.corrcoef(first, y)[0, 1] > 0.8


@pytest.mark.parametrize("name", TREES)
def test_saved_trees_predict_the_same(name, tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)).astype(np.float32), rng.normal(size=200).astype(np.float32)
    model = make_model(name, **TREES[name]).fit(X, y)
    model.save(tmp_path)
    np.testing.assert_array_equal(load_model(tmp_path).predict(X), model.predict(X))
    assert not list(tmp_path.glob("*.pkl"))


def test_boosting_stops_early_on_held_out_samples_and_records_its_losses():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 3)).astype(np.float32), rng.normal(size=400).astype(np.float32)
    model = make_model("xgboost", rounds=200, patience=5).fit(X, y)
    assert len(model.history_) < 200
    assert model.history_[-1]["validation_loss"] > 0


def test_a_folder_without_a_model_says_so(tmp_path):
    with pytest.raises(TssmnetError, match="holds no saved model"):
        load_model(tmp_path)


def test_a_saved_model_that_names_an_unknown_one_is_refused(tmp_path):
    (tmp_path / "model.json").write_text(json.dumps({"name": "os", "seed": 0, "params": {}, "state": {}}))
    with pytest.raises(UnknownNameError):
        load_model(tmp_path)


def test_predicting_before_fitting_says_what_to_do():
    with pytest.raises(TssmnetError, match="call fit"):
        make_model("linear").predict(np.zeros((3, 1)))


def test_a_target_with_missing_values_is_refused():
    with pytest.raises(TssmnetError, match="1 of 3 target values"):
        make_model("linear").fit(np.zeros((3, 1)), [0.1, np.nan, 0.2])


def test_features_other_than_the_fitted_ones_are_named():
    import pandas as pd

    frame = pd.DataFrame({"rain": [1.0, 2.0, 3.0], "ndvi": [0.1, 0.2, 0.3]})
    model = make_model("rf", trees=2).fit(frame, [0.1, 0.2, 0.3])
    with pytest.raises(TssmnetError, match="missing \\['rain'\\]"):
        model.predict(frame.rename(columns={"rain": "snow"}))
