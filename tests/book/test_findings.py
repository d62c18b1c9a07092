"""The words and rows by which a run is held against the paper."""

import pandas as pd
import pytest

from tssmnet.book import findings, paper
from tssmnet.metrics.pooled import ranking

MODELS = [*findings.OTHERS, "tssmnet"]
TITLES = {m: m.upper() for m in MODELS}


def table(*rmse):
    values = pd.DataFrame({"rmse": rmse}, index=MODELS)
    return values.assign(rmse_low=values.rmse - 0.01, rmse_high=values.rmse + 0.01)


def evidence(**changed):
    given = {
        "before": 30.0,
        "after": 100.0,
        "loss": {("tssmnet", "base+screened"): 0.2, ("tssmnet", "base+desc"): 0.3, ("smnet", "base"): 0.4},
        "by_stations": table(0.10, 0.09, 0.12, 0.11, 0.08),
        "by_truth": table(0.06, 0.05, 0.08, 0.07, 0.04),
        "in_gaps": table(0.06, 0.04, 0.08, 0.07, 0.05),
        "station_ranks": pd.DataFrame({"first": 0.2}, index=MODELS),
        "floor": 0.075,
        "kinds": pd.DataFrame({"rmse": [0.09, 0.05, 0.06], "share": [0.4, 0.5, 0.1]}, index=["cold", "orbit", "other"]),
        "split": {"split": 0.04, "gaps_truth": 0.06},
    }
    return findings.Evidence(**{**given, **changed})


def test_the_papers_table_gives_a_mean_reduction_that_hangs_on_the_transformer():
    rows = findings.conclusions_of_paper(evidence(), paper.paper_table(4), paper.paper_table(3))
    row = next(r for r in rows if "17.1" in r.claim)
    assert "15.5 %" in row.paper
    assert "4.3 % without the Transformer" in row.paper
    assert row.agrees


def test_a_claim_fails_where_the_numbers_say_so():
    worse = evidence(by_stations=table(0.07, 0.09, 0.12, 0.11, 0.08))
    row = next(
        r for r in findings.conclusions_of_paper(worse, paper.paper_table(4), paper.paper_table(3)) if "17.1" in r.claim
    )
    assert not row.agrees
    assert "lower than 3 of 4" in row.here


def test_what_a_profile_lacks_gives_no_sentence():
    bare = findings.Evidence(30.0, 100.0, evidence().loss)
    assert len(findings.conclusions_of_paper(bare, paper.paper_table(4), paper.paper_table(3))) == 2
    assert len(findings.what_stands(bare, TITLES)) == 2


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "Stations name TSSMNET, the truth in the gaps XGBOOST"),
        ({"in_gaps": table(0.06, 0.05, 0.08, 0.07, 0.04)}, "Both name TSSMNET as the best"),
        ({}, "A random split flatters"),
        ({"split": {"split": 0.06, "gaps_truth": 0.06}}, "A random split does not flatter"),
        ({}, "higher than between orbits"),
        ({"floor": 0.03}, "partly the station's"),
        ({"loss": {**evidence().loss, ("smnet", "base"): 0.1}}, "Descriptors do not help"),
        ({}, "trees are the stronger choice"),
    ],
)
def test_words_follow_the_numbers(changed, words):
    assert words in "\n".join(findings.what_stands(evidence(**changed), TITLES))


def test_ranks_of_the_evidence_are_those_of_the_tables():
    assert ranking(evidence().in_gaps)["tssmnet"] == 2
