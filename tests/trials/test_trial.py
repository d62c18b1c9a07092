"""Trials: the quick runs of the pages, and the tables they make."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tssmnet.book import tables
from tssmnet.book.paper import over_gaps, paper_table, series_of, table_3, thin_cube
from tssmnet.errors import TssmnetError
from tssmnet.testing import mock_cube
from tssmnet.trials import trial

QUICK = {name: {"epochs": 1} for name in ("tssmnet", "smnet", "resautonet", "transformer")}
QUICK |= {"rf": {"trees": 3}, "xgboost": {"rounds": 3}}


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSSMNET_STORE_DIR", str(tmp_path))


@pytest.fixture(scope="module")
def cube():
    return mock_cube(days=60, pixels=8)


def test_hidden_observations_and_training_observations_make_up_all_of_them(cube) -> None:
    fitted = trial.fit_trial(cube, "linear", gap="blocks")
    assert not (fitted.hidden & fitted.training).any()
    np.testing.assert_array_equal(fitted.hidden | fitted.training, cube.ssm.notnull().values)


def test_the_loss_of_the_mean_is_one() -> None:
    """Predicting the training mean errs by one variance: loss 1 and R2 0."""

    class Mean:
        def __init__(self, value: float) -> None:
            self.value = value

        def predict(self, samples):
            return np.full(len(samples), self.value)

    fitted = trial.fit_trial(mock_cube(days=60, pixels=8), "linear")
    mean = Mean(float(np.mean(fitted.record[fitted.training])))
    losses = trial.losses_of(trial.Fitted(**{**vars(fitted), "model": mean}))
    assert losses["train_loss"] == pytest.approx(1, abs=1e-5)
    assert losses["train_r2"] == pytest.approx(0, abs=1e-5)
    assert losses["validation_loss"] == pytest.approx(1, rel=0.5)


def test_a_trial_scores_hidden_observations_only(cube) -> None:
    found = trial.trial(cube, "linear", gap="random")
    fitted = trial.fit_trial(cube, "linear", gap="random")
    assert found["n"] == int(fitted.hidden.sum())
    assert found["train_loss"] == pytest.approx(0, abs=1e-6)  # a line through the observations hits them
    assert found["rmse"] > 0
    json.dumps(found)


def test_table_3_has_the_rows_of_the_paper_in_its_order(cube) -> None:
    here = table_3(cube, QUICK)
    paper = paper_table(3)
    assert [(r["model"], r["setting"]) for r in here] == [*zip(paper.model, paper.setting, strict=True)]
    for row in here:
        assert np.isfinite([row["train_loss"], row["validation_loss"], row["seconds"]]).all()
        # R2 is about the mean of its own part, the loss about the training spread: one for the training part
        assert row["train_loss"] == pytest.approx(1 - row["train_r2"], abs=1e-6)


def test_descriptors_on_hidden_pixels_are_left_out_of_the_table_and_refused_alone(cube) -> None:
    runs = over_gaps(cube, {"xgboost": ["base", "base+desc"]}, QUICK)
    assert set(runs[runs.gap == "pixels"].features) == {"base"}
    with pytest.raises(TssmnetError, match="a wholly hidden pixel has no descriptors"):
        trial.fit_trial(cube, "xgboost", "base+desc", "pixels")


def test_a_series_keeps_the_record_and_predicts_every_day(cube) -> None:
    found = series_of(cube, "xgboost", "lag", "blocks", np.array([1, 5]), params={"rounds": 3})
    assert found["estimate"].shape == (60, 2)
    assert np.isfinite(found["estimate"]).all()
    np.testing.assert_array_equal(found["record"], cube.ssm.values[:, [1, 5]])


def test_thinning_keeps_first_and_last_pixel(cube) -> None:
    thin = thin_cube(cube, 3)
    assert [*thin.lat.values] == [*cube.lat.values[[0, 4, 7]]]
    assert thin_cube(cube, 0).sizes["pixel"] == 8


def test_in_the_papers_table_the_validation_loss_of_networks_is_one_minus_r2() -> None:
    paper = paper_table(3)
    networks = paper[~paper.model.isin(["rf", "xgboost"])]
    assert (networks.validation_loss + networks.validation_r2 - 1).abs().max() < 0.003
    assert tables.loss_and_r2_differ(networks) < 0.008


def test_an_unknown_table_of_the_paper_is_named() -> None:
    with pytest.raises(TssmnetError, match=r"no table-9\.csv"):
        paper_table(9)


def test_a_missing_result_tells_its_command() -> None:
    stored = tables.stored_result("no-such.json", "make evaluate")
    assert not stored
    assert "Write it with: make evaluate" in stored.line()
    assert "stale" in stored._repr_html_()


def test_a_gap_table_averages_seeds_and_keeps_the_order_of_models_and_kinds() -> None:
    rows = [
        {"model": m, "features": f, "gap": g, "rmse": v}
        for m, f, g, v in [
            ("linear", "base", "blocks", 0.3),
            ("linear", "base", "random", 0.1),
            ("tssmnet", "lag", "random", 0.2),
            ("tssmnet", "lag", "random", 0.4),
        ]
    ]
    table = tables.gap_table(pd.DataFrame(rows))
    assert [*table.index] == ["TsSMNet", "Linear in time"]
    assert [*table.columns] == ["features", "days hidden at random", "blocks of 10 to 30 days"]
    assert table["days hidden at random"].tolist() == pytest.approx([0.3, 0.1])
    assert table["features"].tolist() == ["memory", "none"]
