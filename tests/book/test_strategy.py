"""How far hidden and truly missing days lie from what a model may see."""

from __future__ import annotations

import numpy as np
import pytest

from tssmnet.book import strategy
from tssmnet.gaps import GAP_KINDS


def test_each_kind_of_gaps_and_the_truly_missing_days_have_their_distances() -> None:
    observed = np.ones((60, 4), bool)
    observed[1::3] = False
    observed[:, 3] = False  # a place never observed
    apart = strategy.distances(observed)
    assert [*apart] == [*GAP_KINDS.values(), strategy.MISSING]
    assert np.isinf(apart[GAP_KINDS["pixels"]]).all()
    table = strategy.distance_table(apart).loc[strategy.MISSING]
    assert table["pixel-days"] == 3 * 20 + 60
    assert table["median (days)"] == 1
    assert table["place never shown (%)"] == pytest.approx(100 * 60 / 120)


def test_arrows_lead_from_box_to_box_and_every_box_has_one() -> None:
    ends = {end for ends in strategy.ARROWS.values() for end in ends}
    assert {*strategy.ARROWS, *ends} == {*strategy.BOXES}
