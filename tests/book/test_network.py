"""The drawing of the networks, the synthetic data of their authors, the findings held against the paper."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tssmnet.book import tables
from tssmnet.book.findings import as_markdown, findings
from tssmnet.book.network import blocks_of, draw_network, parameters_table, r2_by_seed, shortcuts_figure
from tssmnet.book.paper import paper_table
from tssmnet.book.shortcuts import NOISE, shortcut_trials, simulated_data


def test_the_drawing_reads_the_widths_from_the_modules() -> None:
    blocks, shortcuts, weights = blocks_of("tssmnet", 20, channels=(2, 4), layers=(16, 8))
    assert [b.width for b in blocks] == [20, 2 * 10, 4 * 5, 16, 8, 16, 20, 1]
    assert shortcuts == [(3, 5), (0, 6)]
    assert weights > 0


@pytest.mark.parametrize("model", ["tssmnet", "resautonet"])
def test_every_shortcut_joins_layers_of_one_width(model: str) -> None:
    blocks, shortcuts, _ = blocks_of(model, 33)
    assert len(shortcuts) == 4
    for start, end in shortcuts:
        assert blocks[start].width == blocks[end].width


def test_without_shortcuts_there_is_no_arc() -> None:
    assert blocks_of("resautonet", 12, shortcuts=False)[1] == []


def test_the_drawing_writes_each_width() -> None:
    import matplotlib.pyplot as plt

    fig = draw_network("resautonet", 21, "a title", layers=(8, 4))
    written = [t.get_text() for t in fig.axes[0].texts]
    plt.close(fig)
    assert [w for w in written if w.isdigit()] == ["21", "8", "4", "8", "21", "1"]


def test_the_synthetic_samples_are_the_formula_and_its_noise() -> None:
    x, y = simulated_data(seed=3, n=20_000)
    smooth = (
        x[:, 0] + x[:, 1] * np.sqrt(x[:, 2]) + x[:, 3] + (x[:, 4] / 500) ** 0.3 - x[:, 5] + np.sqrt(x[:, 6]) + x[:, 7]
    )
    assert np.std(y - smooth) == pytest.approx(NOISE, rel=0.02)
    assert np.mean(y - smooth) == pytest.approx(0, abs=2)
    np.testing.assert_array_equal(simulated_data(seed=3, n=5)[0], simulated_data(seed=3, n=5)[0])


def test_shortcut_trials_come_with_and_without_on_the_same_samples() -> None:
    runs = shortcut_trials([0], {"epochs": 1})
    assert [r["shortcuts"] for r in runs] == [True, False]
    assert runs[0]["linear_r2"] == runs[1]["linear_r2"] == pytest.approx(0.92, abs=0.02)
    assert len(runs[0]["history"]) == 1


def test_each_seed_has_its_r2_with_and_without_shortcuts_and_of_the_straight_fit() -> None:
    import matplotlib.pyplot as plt

    runs = pd.DataFrame(shortcut_trials([0, 1], {"epochs": 1}))
    r2 = r2_by_seed(runs)
    assert r2.index.tolist() == [0, 1]
    assert r2.columns.tolist() == [False, True, "linear"]
    fig = shortcuts_figure(runs)
    labels = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    plt.close(fig)
    assert labels == ["with shortcuts", "without"]


def test_the_networks_differ_in_what_the_page_says() -> None:
    table = parameters_table()
    assert table.loc["descriptors", ["TsSMNet", "SMNet"]].tolist() == ["True", "False"]
    assert table.loc["channels", ["ResAutoNet", "Transformer"]].tolist() == ["()", "–"]


def some_findings(line: float):
    paper = paper_table(3)
    rows = [
        {"model": m, "features": f, "gap": g, "rmse": line if m == "linear" else 0.04 - 0.01 * f.startswith("lag")}
        for m, f in [("linear", "base"), ("tssmnet", "base+desc"), ("tssmnet", "lag+desc")]
        for g in ("random", "blocks")
    ]
    return findings(paper.to_dict("records"), paper, pd.DataFrame(rows))


def test_the_papers_own_numbers_agree_with_every_claim_it_makes() -> None:
    found = some_findings(line=0.05)
    assert all(f.agrees for f in found)
    assert found[1].paper == "validation loss 0.0431 against 0.0480"


def test_a_straight_line_that_is_better_is_said_to_be() -> None:
    found = {f.claim: f.agrees for f in some_findings(line=0.03)}
    assert found["TsSMNet beats a straight line in time (blocks of 10 to 30 days)"] is False
    assert found["Memory of past weather helps TsSMNet (blocks)"] is True


def test_findings_become_a_table_with_one_row_each() -> None:
    found = some_findings(line=0.03)
    lines = as_markdown(found).splitlines()
    assert len(lines) == 2 + len(found)
    assert all(line.count("|") == 7 for line in lines)


def test_formulas_of_all_metrics_but_the_count_are_found_and_safe_in_a_table() -> None:
    from tssmnet.metrics.scores import METRICS

    for name, metric in METRICS.items():
        formula = tables.formula_of(metric.function)
        assert bool(formula) == (name != "n")
        assert "|" not in formula


def test_the_entry_of_a_data_set_names_its_licence() -> None:
    from tssmnet.data.registry import load_manifest

    for entry in load_manifest().values():
        text = tables.data_entry(entry)
        assert entry.title in text
        assert "**Licence**" in text
