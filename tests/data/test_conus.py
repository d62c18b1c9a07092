"""The real SMAP cube holds what its files hold, checked against plain readings of them and published numbers."""

import csv
from datetime import date

import numpy as np
import pytest

from tssmnet.data import conus
from tssmnet.data.readers.faults import SourceError
from tssmnet.profiles import profile_cube

pytestmark = pytest.mark.mirror


@pytest.fixture(scope="module", autouse=True)
def files(genuine):
    return genuine(conus.DATASET)


@pytest.fixture(scope="module")
def cube():
    return profile_cube("conus")


def rows(path):
    with open(path) as f:
        return [[float(x) for x in row] for row in csv.reader(f)]


def rmse(estimate, reference):
    return float(np.sqrt(np.nanmean((estimate.values.astype(float) - reference.values) ** 2)))


def test_it_has_412_pixels_731_days_and_125407_observations(cube):
    assert dict(cube.sizes) == {"time": 731, "pixel": 412}
    assert int(cube.ssm.notnull().sum()) == 125_407
    assert str(cube.time.values[0])[:10] == "2015-04-01"
    assert str(cube.time.values[-1])[:10] == "2017-03-31"


def test_each_pixel_and_day_is_where_the_csv_has_it(cube, files):
    for year, first in (("2015", 0), ("2016", 366)):
        smap = rows(files[f"smap-conus/CONUSv4f1/{year}/SMAP_AM.csv"])
        rain = rows(files[f"smap-conus/CONUSv4f1/{year}/APCP_FORA.csv"])
        for pixel, day in [(0, 0), (3, 17), (200, 100), (411, 364)]:
            expected = np.nan if smap[pixel][day] == -9999 else smap[pixel][day]
            np.testing.assert_allclose(cube.ssm.values[first + day, pixel], expected, rtol=1e-6)
            np.testing.assert_allclose(cube.precipitation.values[first + day, pixel], 24 * rain[pixel][day], rtol=1e-6)


def test_days_agree_with_the_matlab_day_numbers_of_the_origin(cube, files):
    numbers = [int(r[0]) for y in conus.YEARS for r in rows(files[f"smap-conus/CONUSv4f1/{y}/time.csv"])]
    days = [date.fromordinal(n - 366).isoformat() for n in numbers]
    assert days == [str(t)[:10] for t in cube.time.values]


def test_no_missing_value_code_is_left_and_only_one_pixel_lacks_soil_constants(cube):
    assert all(np.nanmin(v.values) > -1000 for v in cube.data_vars.values())
    missing = {name: int(v.isnull().sum()) for name, v in cube.data_vars.items() if name != "ssm"}
    soil = {"bulk_density", "water_capacity", "clay", "sand", "silt"}
    assert {name for name, n in missing.items() if n} == soil
    assert {missing[name] for name in soil} == {1}


def test_values_lie_in_the_range_of_their_units(cube):
    mean = {name: np.nanmean(v.values) for name, v in cube.data_vars.items()}
    assert np.nanmin(cube.ssm.values) == np.float32(0.02)
    assert np.nanmax(cube.ssm.values) <= 0.5
    assert 600 < 365.25 * mean["precipitation"] < 1000
    assert 280 < mean["air_temperature"] < 295
    assert 0.003 < mean["specific_humidity"] < 0.02
    np.testing.assert_allclose(mean["clay"] + mean["sand"] + mean["silt"], 100, atol=1)


def test_every_variable_says_its_unit_and_what_it_is(cube):
    assert all(v.attrs["units"] and v.attrs["long_name"] for v in cube.data_vars.values())
    assert {"title", "source", "licence", "citation", "profile"} <= set(cube.attrs)


def test_land_cover_is_categorical_in_igbp_classes(cube):
    flags = cube.landcover.attrs
    assert len(flags["flag_meanings"].split()) == len(flags["flag_values"]) == 17
    assert set(np.unique(cube.landcover)) <= set(flags["flag_values"])
    assert int((cube.landcover == 10).sum()) == 131  # grassland, counted in the file


def test_published_predictions_score_as_published(cube):
    published = conus.published_predictions()
    assert dict(published.sizes) == {"time": 365, "pixel": 412}
    assert str(published.time.values[0])[:10] == "2016-04-01"
    reference = cube.ssm.sel(time=published.time)
    assert rmse(published.lstm, reference) == pytest.approx(0.0377, abs=5e-5)
    assert rmse(published.lstm_multitask, reference) == pytest.approx(0.0351, abs=5e-5)


def test_a_file_of_another_shape_is_refused_by_name(tmp_path):
    wrong = tmp_path / "Clay.csv"
    wrong.write_text("1\n2\n")
    with pytest.raises(SourceError, match=r"Clay\.csv holds 2 rows and 1 columns, expected 412 and 1"):
        conus._table(wrong, (412, 1))
