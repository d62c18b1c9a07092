"""The evaluation: its plan, its runs, resuming, the merged file."""

import json
from argparse import Namespace
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import norm

from tssmnet.filler.fill import ENDS
from tssmnet.gaps import GAP_KINDS
from tssmnet.models import MODELS
from tssmnet.provenance import results_stamp
from tssmnet.testing import mock_cube
from tssmnet.trials import study

SHORT = (("rounds", 20),)
RUNS = [
    study.Run("climatology", "base", "random"),
    study.Run("linear", "base", "blocks"),
    study.Run("xgboost", "lag", "ahead", params=SHORT),
    study.Run("xgboost", "lag", "pixels", 1, 1, SHORT),
]


@pytest.fixture(scope="module")
def bench():
    """Synthetic."""
    return study.Bench(mock_cube(days=160, pixels=8, seed=3), split=None)


@pytest.fixture(scope="module")
def results(bench):
    return [study.do_run(bench, run) for run in RUNS]


def test_the_plans_have_every_model_on_every_kind_of_gaps():
    paper, filler = study.plan_of("paper"), study.plan_of("filler")
    assert {(r.model, r.gap) for r in paper} == {(m, g) for m in MODELS if m != "filler" for g in GAP_KINDS}
    assert {(r.model, r.gap) for r in filler} == {(m, g) for m, _ in study.BESIDE for g in study.GAPS}
    for plan in (paper, filler):
        assert len(set(plan)) == len(plan)
    for name, spec in MODELS.items():
        seeds = {r.model_seed for r in paper if r.model == name and r.gap == "blocks"}
        assert spec.kind != "network" or seeds == {0, 1, 2}


def test_the_filler_and_what_stands_beside_it_meet_the_same_masks():
    plan = study.plan_of("filler")
    for gap in study.GAPS:
        assert (
            len({frozenset(r.mask_seed for r in plan if r.model == m and r.gap == gap) for m, _ in study.BESIDE}) == 1
        )
        seeds = {r.model_seed for r in plan if r.model == "filler" and r.gap == gap}
        assert len(seeds) == (5 if gap == "pixels" else 3)


def test_a_pixel_with_few_observations_keeps_ten_of_them(bench):
    hidden = bench.hidden(study.Run("filler", "own", "few"))
    pixels = hidden.any(0)
    assert pixels.any()
    assert ((bench.observed & ~hidden).sum(0)[pixels] == study.OWN_DAYS).all()
    np.testing.assert_array_equal(pixels, bench.hidden(study.Run("filler", "own", "pixels")).any(0))


def test_runs_that_share_features_stand_together():
    keys = [(r.gap, r.mask_seed, r.features) for r in study.plan_of("paper")]
    changes = sum(a != b for a, b in pairwise(keys))
    assert changes == len(set(keys)) - 1


def test_hidden_pixels_are_never_judged_with_descriptors():
    assert not [r for p in study.STUDY_PARTS for r in study.plan_of(p) if r.gap == "pixels" and "desc" in r.features]


def test_strata_sum_up_to_the_whole(bench, results):
    for result in results:
        for members in result["strata"].values():
            assert sum(m[0] for m in members.values()) == result["n"]
            total = sum(m[1] for m in members.values())
            assert np.sqrt(total / result["n"]) == pytest.approx(result["rmse"], rel=1e-3)
    assert set(results[3]["strata"]["days"]) == {"none"}
    assert "1" in results[0]["strata"]["days"]


def normal_estimate(shape, std):
    """The quantiles of a normal error around zero."""
    zero = np.zeros(shape)
    away = dict(zip(ENDS, norm.ppf([0.05, 0.25, 0.75, 0.95]), strict=True))
    return study.Estimate(zero, {name: zero + std * z for name, z in away.items()})


def test_quantiles_of_errors_that_are_as_stated_hold_and_bold_ones_do_not():
    rng = np.random.default_rng(0)
    truth, hidden = rng.normal(0, 0.02, (400, 50)), np.ones((400, 50), bool)
    found = study.reliability(truth, normal_estimate(truth.shape, 0.02), hidden)
    assert found["coverage"] == pytest.approx(0.9, abs=0.01)
    assert found["coverage_50"] == pytest.approx(0.5, abs=0.015)
    assert all(share == pytest.approx(float(q), abs=0.015) for q, share in found["levels"].items())
    assert found["interval_score"] == pytest.approx(found["interval_score_constant"], rel=0.02)
    bold = study.reliability(truth, normal_estimate(truth.shape, 0.01), hidden)
    assert bold["coverage"] < 0.65
    assert bold["interval_score"] > 1.2 * found["interval_score"]
    assert bold["crps"] > found["crps"]


def test_every_figure_of_others_has_a_run_that_is_compared_with_it():
    runs = {(r.model, r.features, r.gap) for r in study.plan_of("paper")} | {
        (m, "published", "ahead") for m in ("lstm", "lstm_multitask")
    }
    peers = study.peers()
    assert {*zip(peers.model, peers.features, peers.gap, strict=True)} <= runs
    assert peers.source.notna().all()


def test_a_run_is_scored_on_the_hidden_observations_only(bench, results):
    for run, result in zip(RUNS, results, strict=True):
        hidden = bench.hidden(run)
        assert result["n"] == hidden.sum() > 0, run
        assert 0 < result["rmse"] < 0.3
        assert result["seconds"] >= 0
    xgboost = results[2]
    assert xgboost["r2_within"] > 0.2
    assert xgboost["ubrmse"] <= xgboost["rmse"] + 1e-9


def test_hidden_values_do_not_reach_the_model(bench):
    run = study.Run("xgboost", "lag+desc", "blocks", params=SHORT)
    hidden = bench.hidden(run)
    spoiled = bench.pixels.copy(deep=True)
    spoiled["ssm"].values[hidden] = 0.9
    other = study.Bench(spoiled, split=None)
    before, after = (study._predict_samples(b, run, hidden).mean for b in (bench, other))
    np.testing.assert_array_equal(before[hidden], after[hidden])


def test_scores_follow_their_definitions(bench):
    record = np.array([[0.1, 0.2], [0.2, 0.3], [0.3, 0.4], [0.2, 0.5], [0.1, 0.2]])
    scores = study.scores_of(record, record + np.array([0.01, 0.03]), np.ones((5, 2), bool))
    assert scores["rmse"] == pytest.approx(np.sqrt((0.01**2 + 0.03**2) / 2), abs=1e-6)
    assert scores["bias"] == pytest.approx(0.02)
    assert scores["ubrmse"] == 0
    assert scores["r"] == 1
    assert scores["n"] == 10
    nothing = study.scores_of(record, record * np.nan, np.ones((5, 2), bool))
    assert nothing["rmse"] is None
    assert nothing["n"] == 0


def test_finished_runs_are_not_done_again(bench, tmp_path, monkeypatch):
    first = dict(study.run_all(bench, RUNS[:2], tmp_path))
    monkeypatch.setattr(study, "do_run", lambda *_: pytest.fail("ran again"))
    assert dict(study.run_all(bench, RUNS[:2], tmp_path)) == first
    assert len(list(tmp_path.iterdir())) == 2


def test_an_edit_of_what_a_run_depends_on_runs_it_again(bench, monkeypatch):
    before = [bench.key(run) for run in RUNS]
    assert len(set(before)) == len(RUNS)
    true_hashes = study.library_hashes
    monkeypatch.setattr(
        study,
        "library_hashes",
        lambda names: true_hashes(names) | ({"x": "y"} if "tssmnet.models.trees" in names else {}),
    )
    after = [bench.key(run) for run in RUNS]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False, False]


def test_an_interrupted_evaluation_goes_on_where_it_was(bench, tmp_path, monkeypatch):
    true_run = study.do_run

    def interrupted(b, run):
        if run.gap == "blocks":
            raise KeyboardInterrupt
        return true_run(b, run)

    monkeypatch.setattr(study, "do_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        dict(study.run_all(bench, RUNS[:2], tmp_path))
    assert len(list(tmp_path.iterdir())) == 1
    done = []
    monkeypatch.setattr(study, "do_run", lambda b, run: done.append(run) or true_run(b, run))
    assert len(dict(study.run_all(bench, RUNS[:2], tmp_path))) == 2
    assert done == [RUNS[1]]


def test_after_its_time_nothing_is_begun_and_what_is_done_is_given(bench, tmp_path):
    assert not dict(study.run_all(bench, RUNS[:2], tmp_path, seconds=0))
    first = dict(study.run_all(bench, RUNS[:1], tmp_path))
    for workers in (1, 2):
        assert dict(study.run_all(bench, RUNS, tmp_path, workers, seconds=0)) == first


def test_models_are_compared_in_whole_rounds_only(bench, tmp_path):
    runs = [study.Run(model, "base", "random", seed) for seed in (0, 1) for model in ("climatology", "linear")]
    dict(study.run_all(bench, runs[:3], tmp_path))
    results, _ = study._collect(bench, runs, tmp_path, 1, seconds=0)
    assert [(r["model"], r["mask_seed"]) for r in results] == [("climatology", 0), ("linear", 0)]


def test_each_kind_of_gaps_meets_its_first_mask_before_any_meets_a_second(bench, tmp_path):
    runs = [study.Run("climatology", "base", gap, seed) for gap in ("random", "blocks") for seed in (0, 1)]
    assert [run.mask_seed for run, _ in study.run_all(bench, runs, tmp_path)] == [0, 0, 1, 1]


@pytest.mark.slow
def test_two_processes_give_the_same(bench, tmp_path):
    here = dict(study.run_all(bench, RUNS[:3], tmp_path / "one"))
    there = dict(study.run_all(bench, RUNS[:3], tmp_path / "two", workers=2))
    for run in RUNS[:3]:
        spent = {"seconds": 0, "cpu_seconds": 0}
        assert here[run] | spent == there[run] | spent


def test_one_failure_does_not_end_the_others(bench, tmp_path):
    runs = [study.Run("xgboost", "base", "random", params=(("rouns", 3),)), RUNS[0]]
    results, failed = study._collect(bench, runs, tmp_path, 1)
    assert len(results) == 1
    assert "did you mean 'rounds'" in failed[runs[0].name]


def test_rows_give_mean_spread_and_ratio():
    runs = [
        {"model": "tssmnet", "features": "base+desc", "gap": "random", "params": {}, "seconds": 2.0, "cpu_seconds": 1.0}
        | dict.fromkeys(study.SCORES, value)
        for value in (0.04, 0.05)
    ]
    (row,) = study.rows_of(runs)
    assert row["runs"] == 2
    assert row["rmse"] == pytest.approx(0.045)
    assert row["rmse_sd"] == pytest.approx(np.std([0.04, 0.05], ddof=1), abs=1e-6)
    assert row["peer_rmse"] == 0.0384
    assert row["ratio"] == pytest.approx(0.045 / 0.0384, abs=1e-4)
    (short,) = study.rows_of([runs[0] | {"params": {"epochs": 2}}])
    assert short["ratio"] is None


def test_the_merged_file_is_stamped_and_read_as_fresh(results, tmp_path):
    merged = study.result_of(results, 0, {}, 12.0, "cpu")
    study.write_result(merged, tmp_path / "result.json")
    back = json.loads((tmp_path / "result.json").read_text())
    assert back["complete"]
    assert len(back["rows"]) == 4
    assert back["stamp"]["data"]["smap-conus"]
    assert back["stamp"]["versions"]["numpy"] == np.__version__
    assert results_stamp(tmp_path / "result.json").fresh
    assert not study.result_of(results, 1, {}, 1.0, "cpu")["complete"]
    assert [*study.table_of(merged["rows"])["gap"]] == ["random", "blocks", "pixels", "ahead"]


@pytest.mark.parametrize("quick", [True, False])
def test_options_choose_runs(quick):
    options = Namespace(quick=quick, part=None if quick else "paper", models=["xgboost"], gaps=["ahead"])
    (runs,) = study.chosen_runs(options).values()
    assert {(r.model, r.gap) for r in runs} == {("xgboost", "ahead")}


@pytest.mark.mirror
def test_published_predictions_give_their_known_error():
    from tssmnet.data.registry import DataUnavailableError
    from tssmnet.profiles import profile_cube

    try:
        bench = study.Bench(profile_cube("conus"))
    except DataUnavailableError:
        pytest.skip("smap-conus is neither here nor in a mirror")
    lstm, multitask = study.published_runs(bench)
    assert lstm["rmse"] == pytest.approx(0.0377, abs=5e-5)
    assert lstm["ubrmse"] == pytest.approx(0.0315, abs=5e-5)
    assert multitask["rmse"] == pytest.approx(0.0351, abs=5e-5)
    assert multitask["ubrmse"] == pytest.approx(0.0300, abs=5e-5)
    assert bench.hidden(study.Run("linear", "base", "ahead")).sum() == lstm["n"]
