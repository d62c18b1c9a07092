"""What the page on speed computes: tables of stored results, a live comparison, a projection that says so."""

import json
from pathlib import Path

import numpy as np
import pytest

from tssmnet.book import speed
from tssmnet.models import make_model

PEER = {"name": "a peer", "functions": 21, "workers": 1, "series_per_s": 50.4, "tssmnet_is_faster_by": 9.0}


def test_a_table_of_descriptors_has_a_row_for_each_peer():
    table = speed.descriptor_table({"peers": [PEER | {"and_per_core_by": None}]})
    assert table.loc["a peer", "series per second"] == 50


def test_the_mark_is_reached_at_the_first_epoch_that_is_as_good():
    runs = [{"name": n, "samples_per_s": 10.0, "loss": loss, "best": min(loss), "seconds": [1.0, 2.0, 3.0]}
            for n, loss in (("ours", [0.9, 0.4, 0.3]), ("usual", [0.9, 0.8, 0.5]))]  # fmt: skip
    table = speed.training_table({"runs": runs, "mark": 0.5})
    assert table["seconds to the mark"].tolist() == [2.0, 3.0]


def test_scaling_has_a_panel_for_each_axis_with_more_than_one_point():
    import matplotlib.pyplot as plt

    rows = {"days": [{"days": 100, "s": 1.0}, {"days": 200, "s": 2.0}], "workers": [{"workers": 1, "s": 1.0}]}
    fig = speed.draw_scaling(rows, "s", "seconds")
    labels = [ax.get_xlabel() for ax in fig.axes]
    plt.close(fig)
    assert labels == ["days"]


@pytest.mark.parametrize(
    ("axis", "flat", "line"), [("days", False, [3, 6]), ("workers", False, [3, 1.5]), ("days", True, [3, 3])]
)
def test_the_thin_line_is_growth_in_proportion_or_an_even_split_or_level(axis, flat, line):
    import matplotlib.pyplot as plt

    fig = speed.draw_scaling({axis: [{axis: 1, "s": 3.0}, {axis: 2, "s": 5.0}]}, "s", "seconds", flat)
    thin = fig.axes[0].lines[1].get_ydata()
    plt.close(fig)
    assert list(thin) == line


def test_training_costs_about_three_predictions_and_more_kernels():
    prediction, training = speed.work_of("tssmnet", 40, batch=64)
    shared = 2 * speed.work_of("tssmnet", 40, batch=128)[1].flops - training.flops  # without the optimiser's
    assert 2.5 < shared / prediction.flops < 3.2
    assert training.flops > shared
    assert training.kernels > prediction.kernels > 10
    weights = sum(p.numel() for p in make_model("resautonet").build(40).parameters() if p.ndim > 1)
    assert speed.work_of("resautonet", 40, batch=64)[0].flops == 2 * weights


def test_a_projection_is_its_slowest_limit_and_halves_with_twice_the_share():
    work, gpu = speed.Work(1e6, 1e4, 100), speed.Gpu("made up", 1.0, 1.0)
    slow = speed.projected_minutes(work, 6e7, 1000, gpu, 0.1)
    assert slow["arithmetic"] == pytest.approx(10)
    assert slow["memory"] == pytest.approx(0.1)
    assert slow["launches"] == pytest.approx(0.5)
    assert slow["minutes"] == slow["arithmetic"]
    assert speed.projected_minutes(work, 6e7, 1000, gpu, 0.2)["minutes"] == pytest.approx(5)


def test_the_live_comparison_takes_tsfresh_as_one():
    pytest.importorskip("tsfresh")
    table = speed.beside_tsfresh(speed.synthetic_series(40, 200), 1)
    assert table.loc["tsfresh", "ratio"] == 1
    assert table.loc["tssmnet", "ratio"] > 5


def test_series_are_the_same_for_the_same_seed():
    assert np.array_equal(speed.synthetic_series(3, 50), speed.synthetic_series(3, 50))


@pytest.mark.parametrize("name", ["descriptors", "training", "reconstruction"])
def test_stored_results_make_tables(name):
    path = Path(__file__).resolve().parents[2] / "results" / f"benchmark-{name}.json"
    if not path.is_file():
        pytest.skip(f"no stored result of {name}")
    content = json.loads(path.read_text(encoding="utf-8"))
    table = {"descriptors": "descriptor_table", "training": "training_table", "reconstruction": "reconstruction_table"}
    assert len(getattr(speed, table[name])(content)) > 2
