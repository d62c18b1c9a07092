"""Which predictor is rain and which the temperature, by CF first; in which units; and when it cannot be told."""

import numpy as np
import pytest

from tssmnet.cube import CubeError, as_cube, check_cube, roles
from tssmnet.filler.evidence import frozen
from tssmnet.reconstruction.memory import reconstruct
from tssmnet.testing import mock_cube


def cube_with(name, factor=1.0, offset=0.0, like="precipitation", **attrs):
    """A cube whose rain (or temperature) bears another name, other units and other attributes."""
    cube = mock_cube(days=40, pixels=4)
    values = cube[like] * factor + offset
    return cube.drop_vars(like).assign({name: values.drop_attrs().assign_attrs(attrs)})


RAINS = [
    ("tp", 1e-3, {"units": "m", "standard_name": "unknown", "long_name": "Total precipitation"}),
    ("pr", 1 / 86400, {"units": "kg m-2 s-1", "standard_name": "precipitation_flux"}),
    ("mtpr", 1 / 86400, {"units": "kg m**-2 s**-1", "long_name": "Mean total precipitation rate"}),
    ("prate", 1 / 8.64e7, {"units": "m s-1", "standard_name": "lwe_precipitation_rate"}),
    ("rainfall", 1 / 24, {"units": "mm/hr"}),
    ("precip", 1.0, {"units": "mm/day"}),
    ("precip", 1.0, {"units": "mm"}),
    ("APCP", 1.0, {"units": "kg m-2"}),
]


@pytest.mark.parametrize(("name", "factor", "attrs"), RAINS)
def test_rain_is_told_and_becomes_mm_per_day(name, factor, attrs):
    given = cube_with(name, factor, **attrs)
    cube = as_cube(given)
    assert roles(cube)["rain"] == name
    assert cube[name].attrs["units"] == "mm d-1"
    np.testing.assert_allclose(cube[name], given[name] / factor, rtol=1e-5)
    assert given[name].attrs["units"] == attrs["units"], "the input is left as it was"


NO_RAINS = [
    ("pet", {"units": "mm d-1", "long_name": "potential evapotranspiration"}),
    ("et", {"units": "kg m-2"}),
    ("drainage", {"units": "kg m-2"}),
    ("sro", {"units": "m", "long_name": "Surface runoff"}),
    ("sf", {"units": "m", "long_name": "Snowfall"}),
    ("swe", {"units": "kg m-2", "standard_name": "surface_snow_amount"}),
    ("terrain", {"units": "mm", "long_name": "roughness of the terrain"}),
]


@pytest.mark.parametrize(("name", "attrs"), NO_RAINS)
def test_other_water_is_no_rain(name, attrs):
    assert "rain" not in roles(as_cube(cube_with(name, **attrs)))


TEMPERATURES = [
    ("t2m", "K", 1, 0), ("skt", "K", 1, 0), ("Tair", "Kelvins", 1, 0), ("LST_Day_1km", "degK", 1, 0),
    ("tmin", "K", 1, 0),
    ("air_temperature", "degC", 1, -273.15), ("tas", "celsius", 1, -273.15), ("temp", "degF", 1.8, -459.67),
]  # fmt: skip


@pytest.mark.parametrize(("name", "units", "factor", "offset"), TEMPERATURES)
def test_a_temperature_is_told_and_becomes_kelvin(name, units, factor, offset):
    cube = as_cube(cube_with(name, factor, offset, "air_temperature", units=units))
    assert roles(cube)["temperature"] == name
    assert cube[name].attrs["units"] == "K"
    np.testing.assert_allclose(cube[name], mock_cube(days=40, pixels=4)["air_temperature"], rtol=1e-5)


def test_frost_is_seen_whatever_the_unit_and_a_range_is_no_temperature():
    cold = mock_cube(days=40, pixels=4).assign(aaa_range=lambda c: c["air_temperature"] * 0 + 9)
    cold["aaa_range"].attrs = {"units": "K", "long_name": "diurnal temperature range"}
    cold["air_temperature"] = (cold["air_temperature"] - 10).assign_attrs(units="K")
    expected = cold["air_temperature"].values < 273.15
    assert 0 < expected.mean() < 1
    for units, factor, offset in (("Kelvins", 1, 0), ("degC", 1, -273.15), ("degF", 1.8, -459.67)):
        given = cold.assign(air_temperature=(cold["air_temperature"] * factor + offset).assign_attrs(units=units))
        assert (frozen(as_cube(given[sorted(given.data_vars)])) == expected).mean() > 0.99


def test_air_comes_before_surface_before_soil_and_standard_names_before_words():
    cube = mock_cube(days=40, pixels=4)
    warm = cube["air_temperature"].drop_attrs().assign_attrs(units="K")
    bare = cube.drop_vars("air_temperature")
    assert roles(bare.assign(stl1=warm, skt=warm, t2m=warm))["temperature"] == "t2m"
    assert roles(bare.assign(stl1=warm, skt=warm))["temperature"] == "skt"
    named = warm.assign_attrs(standard_name="air_temperature")
    assert roles(bare.assign(t2m=warm, mine=named))["temperature"] == "mine"


DOUBTFUL = {
    "rain without a word": (cube_with("tp", 1e-3, units="m"), "tp: this may be the rain"),
    "an amount without a word": (cube_with("foo", units="kg m-2"), "foo: this may be the rain"),
    "kelvins without a word": (cube_with("foo", like="air_temperature", units="K"), "foo: this may be the temperature"),
    "rain in no unit": (cube_with("rain", units="mm (3h)-1"), "rain: units 'mm (3h)-1' are none of rain"),
    "a temperature in no unit": (
        cube_with("t", like="air_temperature", units="1", standard_name="air_temperature"),
        "t: units '1' are none of a temperature",
    ),
}


@pytest.mark.parametrize("case", DOUBTFUL)
def test_what_cannot_be_told_is_asked_for(case):
    cube, message = DOUBTFUL[case]
    with pytest.raises(CubeError) as caught:
        check_cube(cube)
    assert message in str(caught.value)


def test_two_that_are_told_equally_well_are_asked_for_and_the_answer_helps():
    cube = cube_with("tmin", like="air_temperature", units="K").assign(tmax=lambda c: c["tmin"] + 9)
    cube["tmax"].attrs["units"] = "K"
    with pytest.raises(CubeError, match=r"tmin, tmax: each may be the temperature.*standard_name 'air_temperature'"):
        check_cube(cube)
    cube["tmin"].attrs["standard_name"] = "air_temperature"
    assert roles(as_cube(cube))["temperature"] == "tmin"


@pytest.mark.parametrize("answer", ["lwe_precipitation_rate", "other"])
def test_an_answer_to_a_doubt_is_taken(answer):
    cube = cube_with("tp", 1e-3, units="m", standard_name=answer)
    assert roles(as_cube(cube)).get("rain") == ("tp" if answer != "other" else None)


@pytest.mark.parametrize("units", ["m3 m-3", "cm**3/cm**3", "m3/m3", "cm3 cm-3", "m^3/m^3", "1"])
def test_soil_moisture_by_volume_is_taken(units):
    cube = mock_cube(days=20, pixels=3)
    cube["ssm"].attrs["units"] = units
    check_cube(cube)


@pytest.mark.parametrize("units", ["%", "percent", "kg kg-1", "g/g", "mm", "kg m-2", "", "?"])
def test_soil_moisture_by_anything_else_is_refused_by_name(units):
    cube = mock_cube(days=20, pixels=3)
    cube["ssm"].attrs["units"] = units
    with pytest.raises(CubeError, match="ssm: units"):
        check_cube(cube)


def test_the_output_says_what_was_taken_for_what():
    attrs = reconstruct(mock_cube(days=40, pixels=4), "xgboost", rounds=3).attrs
    assert attrs["tssmnet_rain"] == "precipitation"
    assert attrs["tssmnet_temperature"] == "air_temperature"
    assert attrs["tssmnet_landcover"] == "landcover"
    assert attrs["tssmnet_read_as"] == "as it came"
