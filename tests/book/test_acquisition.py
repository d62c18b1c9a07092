"""What the page on data counts: causes of gaps, and the repeat of the orbits."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tssmnet.book import acquisition, sanity
from tssmnet.testing import mock_cube

CAUSES = xr.DataArray(
    np.array([[0, 1], [1, 1], [2, 1], [2, 1]]),
    dims=("time", "pixel"),
    attrs={"flag_values": np.array([0, 1, 2]), "flag_meanings": "observed orbit open_water"},
)


def test_every_pixel_day_has_one_cause() -> None:
    assert acquisition.cause_shares(CAUSES) == {"observed": 12.5, "orbit": 62.5, "open water": 25.0}


def test_what_a_cause_takes_is_a_share_of_the_days_that_a_swath_reached() -> None:
    lost = acquisition.lost_by_cause(CAUSES)
    assert list(lost) == ["open water"]
    assert lost["open water"].values == pytest.approx([2 / 3, np.nan], nan_ok=True)


def test_the_orbits_repeat_after_eight_days() -> None:
    seen = np.where(np.arange(20)[:, None] % 8 == np.arange(3), 0.2, np.nan)
    assert acquisition.seen_again(xr.DataArray(seen, dims=("time", "pixel")), 12) == 1
    seen[8] = np.nan
    assert acquisition.seen_again(xr.DataArray(seen, dims=("time", "pixel")), 12) == pytest.approx(4 / 5)


def test_holes_are_counted_by_the_days_in_them() -> None:
    import matplotlib.pyplot as plt

    cube = mock_cube(days=40, pixels=4)
    fig = acquisition.gaps_figure(cube["ssm"].notnull().mean("pixel"), sanity.gap_lengths(cube["ssm"].values))
    heights = [bar.get_height() for bar in fig.axes[1].patches]
    labels = [tick.get_text() for tick in fig.axes[1].get_xticklabels()]
    plt.close(fig)
    assert sum(heights) == pytest.approx(1)
    assert labels[-2:] == ["31–90", "> 90"]
