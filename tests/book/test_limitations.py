"""What the page on limitations says depends on what a run has."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from tssmnet.book import limitations


def test_the_table_has_what_was_found_and_names_each_limit_once() -> None:
    table = limitations.limits_table({"cold": 0.0712, "warm": 0.06, "split": np.nan, "real": 0.08})
    assert table.index.tolist() == ["frozen ground", "", "random split"]
    assert table["here"].tolist() == ["0.071", "0.060", "0.080"]
    assert limitations.limits_table({}).empty


def test_nothing_is_said_of_cells_that_are_not_there() -> None:
    row = pd.Series({"count": 10, "rmse": 0.05, "bias": -0.01})
    worse = pd.Series({"count": 5, "rmse": 0.08, "bias": -0.01})
    assert "higher than in the gaps" in limitations.of_never_seen(worse, row)
    assert limitations.of_never_seen(worse * 0, row) == ""
    assert limitations.of_woods(pd.DataFrame({"count": [3.0], "rmse": [0.1]}, index=["orbit"])) == ""


def test_land_covers_without_a_station_are_named_by_their_size() -> None:
    attrs = {"flag_values": np.array([1, 2, 3]), "flag_meanings": "bare_soil open_shrubland forest"}
    cover = xr.DataArray([1.0, 1, 1, 2, 3, np.nan], dims="pixel", attrs=attrs)
    share = limitations.covers_without(xr.Dataset({"landcover": cover}), np.array([4]))
    assert share.index.tolist() == ["bare soil", "open shrubland"]
    assert limitations.of_covers(share) == (
        "80 % of the map is of land covers without any station, bare soil and open shrubland above all."
    )
    assert limitations.of_covers(limitations.covers_without(xr.Dataset(), np.array([0]))) == ""
