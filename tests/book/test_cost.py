"""What the study costs: units counted, seconds measured, nothing that could be negative or left out."""

import time
from dataclasses import replace

import numpy as np
import pytest

from tssmnet.book import cost
from tssmnet.data.china.settings import Settings


def test_the_work_is_counted_from_period_and_window():
    day = replace(Settings(), last="2016-01-01")
    whole, one = cost.disk(Settings()), cost.disk(day)
    assert whole == 2557 * one
    assert one == 4 * 11 * 403 * 661


def test_each_stage_is_measured_and_says_what_a_kill_keeps(monkeypatch):
    monkeypatch.setattr(cost, "regridding", lambda rng: 0.1)
    monkeypatch.setattr(cost, "terrain", lambda rng: 1.0)
    found = cost.stages(replace(Settings(), last="2016-01-31"))
    assert [s.unit for s in found][:2] == ["granule", "tile"]
    assert found[1].units == 31 * 33
    assert found[1].hours == 31 * 33 * 0.1 / 3600
    assert all(s.seconds > 0 and np.isfinite(s.hours) and s.resumes for s in found)


def test_stored_benchmarks_give_hours_where_they_are():
    run = {"pixels": 1000, "days": 365, "processor_seconds": 7200.0}
    china_more = {"pixels": 1000 + cost.LAND, "processor_seconds": 7200.0 + 3 * 3600}
    filled = {"china": [run, run], "seven_years": [run | {"days": 2557}], "filler": {"runs": [run, run | china_more]}}
    assert cost.stored(None, None) == []
    rows = cost.stored({"china": [run]}, filled)
    assert [r["processor hours"] for r in rows] == [2.0, 2.0, 2.0, 2.0, pytest.approx(3.0)]
    assert "1,000 pixels, 2557 days filled" in rows[3]["stage"]
    assert len(cost.stored(None, {k: v for k, v in filled.items() if k != "seven_years"})) == 3


def test_the_first_fit_with_its_imports_stays_out_of_the_training_time(monkeypatch):
    fits = []

    class Slow:
        def fit(self, X, y):
            fits.append(len(X))
            end = time.process_time() + (0.2 if len(fits) == 1 else 0)
            while time.process_time() < end:
                pass

    monkeypatch.setattr("tssmnet.models.make_model", lambda *_, **__: Slow())
    assert cost.training("tssmnet", samples=2000) * 2000 < 0.2
    assert fits == [1000, 2000]
