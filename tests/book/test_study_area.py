"""What the page on the study area says of classes, sources and stations follows from the cube."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tssmnet.book import study_area
from tssmnet.book.paper import paper_table
from tssmnet.testing import mock_cube


@pytest.fixture
def cube() -> xr.Dataset:
    attrs = {"flag_values": np.arange(9), "flag_meanings": " ".join(f"class_{i}" for i in range(9))}
    kinds = xr.DataArray(np.array([0, 0, 1, 2, 3, 4, 5, 6, 7, 8]), dims="pixel", attrs=attrs)
    return mock_cube(days=6, pixels=10).assign(landcover=kinds, speed=kinds.copy())


def test_classes_beyond_the_seven_most_frequent_are_one(cube: xr.Dataset) -> None:
    ranks, words = study_area.frequent_classes(cube)["landcover"]
    assert ranks.values[:2].tolist() == [0, 0]
    assert sorted(ranks.values) == [0, 0, 1, 2, 3, 4, 5, 6, 7, 7]
    assert (words[0], words[-1]) == ("class 0 (20 %)", "others (20 %)")


def test_a_row_of_table_1_names_what_stands_for_it(cube: xr.Dataset) -> None:
    rows = study_area.sources_table(paper_table(1), cube, None, "mine")["here (mine)"]
    assert rows.iloc[2] == "landcover: the profile's cells"
    assert rows.loc["ESA CCI"] == "not in this profile"
    assert "speed" in study_area.beyond_the_paper(cube)


def test_stations_belong_to_the_rows_of_table_2_by_name_and_network(cube: xr.Dataset) -> None:
    values = np.full((6, 3), 0.2)
    values[:2, 0] = np.nan
    stations = xr.Dataset(
        {"ssm": (("time", "station"), values)},
        {"time": cube["time"], "station": ["x/NQWest", "x/NQ01", "x/L1"], "network": ("station", ["NAQU"] * 3)}
        | {name: ("station", np.full(3, cube[name].values[2])) for name in ("lat", "lon")},
    )
    table = study_area.stations_table(paper_table(2), cube, stations).set_index("site")
    assert table.loc["NQWest"].tolist()[-4:] == [1, 4, 0.0, "class 1"]
    assert table["stations here"].sum() == 2, "L1 is of another network"
    assert "stations here" not in study_area.stations_table(paper_table(2), cube, None)


def test_a_profile_without_rain_has_no_climate(cube: xr.Dataset) -> None:
    fields = study_area.stage_fields(cube[["ssm"]], None)
    assert study_area.climate(fields) == {}
    rain = np.arange(10.0)
    wet = fields["ssm"].copy(data=np.log(365.25 * rain + 1))
    found = study_area.climate({"ssm": wet, "precipitation": wet.copy(data=365.25 * rain)})
    assert found["r"] == pytest.approx(1)
