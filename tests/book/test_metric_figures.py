"""What the page on metrics claims of its made-up series and estimates."""

from __future__ import annotations

import numpy as np
import pytest

from tssmnet import metrics
from tssmnet.book import metric_figures
from tssmnet.book.paper import paper_table


def test_every_metric_has_a_row_that_says_what_it_is_blind_to() -> None:
    assert metric_figures.BLIND.keys() == metrics.METRICS.keys() >= metric_figures.IN_PAPER.keys()
    rows = metric_figures.metric_table().splitlines()
    assert len(rows) == 2 + len(metrics.METRICS) + 2
    assert {row.count(" | ") for row in rows} == {5}


def test_table_4_of_the_paper_keeps_the_identity_within_rounding() -> None:
    assert metric_figures.identity_table(paper_table(4))["difference"].abs().max() < 0.001


def test_red_noise_has_variance_one_and_the_autocorrelation_asked_for() -> None:
    series = metric_figures.red_noise(0.8, (300, 365), np.random.default_rng(0))
    assert series.std() == pytest.approx(1, abs=0.03)
    assert np.corrcoef(series[:, 1:].ravel(), series[:, :-1].ravel())[0, 1] == pytest.approx(0.8, abs=0.02)


def test_intervals_that_take_days_for_independent_hold_too_rarely() -> None:
    held = metric_figures.coverage_of_intervals(30, np.random.default_rng(0))["coverage"]
    assert held["bias", False, 0.9] < 60 < 80 < held["bias", True, 0.9]


def test_a_map_of_means_scores_well_over_all_places_and_not_at_all_within_them() -> None:
    rng = np.random.default_rng(0)
    values = np.linspace(0.1, 0.4, 20) + 0.02 * rng.standard_normal((200, 20))
    scores = metric_figures.pooled_and_within(values, metric_figures.two_estimates(values, rng)).iloc[0]
    assert scores["pooled r"] > 0.9
    assert scores["R2 within places"] == pytest.approx(0)
    assert np.isnan(scores["median r within places"])
    assert metric_figures.share_between_places(values) > 90
