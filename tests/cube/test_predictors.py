"""Predictors are checked as the target is, and those that cannot serve the gaps are left out."""

import dask.array
import numpy as np
import pytest
import xarray as xr

from tssmnet.cli import main
from tssmnet.cube import CubeError, as_cube, check_cube, dynamic_names, notes_of
from tssmnet.data.hawaii import hawaii_cube
from tssmnet.data.readers.smap import read_series
from tssmnet.metrics.scores import rmse
from tssmnet.reconstruction.extend import extend
from tssmnet.reconstruction.files import reconstruct_file
from tssmnet.reconstruction.memory import reconstruct
from tssmnet.testing import mock_cube

TREES = {"model": "xgboost", "rounds": 40, "depth": 4}


def faults_of(cube):
    with pytest.raises(CubeError) as caught:
        check_cube(cube)
    return " ".join(caught.value.faults)


def changed(name, value, at=(3, 2), **attrs):
    cube = mock_cube(days=40, pixels=5)
    cube[name].values[at[-cube[name].ndim :]] = value
    cube[name].attrs.update(attrs)
    return cube


# --- values ---------------------------------------------------------------------------------------------------------

REFUSED = {
    "-9999": (changed("air_temperature", -9999), "air_temperature: 1 values are -9999, first on 2015-04-04 at pixel 2"),
    "1e20": (changed("precipitation", 1e20), "precipitation: 1 values are 1e+20"),
    "9.97e36": (changed("clay", 9.969209968386869e36), "clay: 1 values are 9.96921e+36"),
    "1e30": (changed("sand", 1e30), "sand: 1 values are 1e+30"),
    "-32768": (changed("sand", -32768), "sand: 1 values are -32768"),
    "infinite": (changed("precipitation", np.inf), "precipitation: 1 values are infinite, first on 2015-04-04"),
    "a fill value left": (changed("clay", 20, _FillValue=-1.0), "clay: the attributes _FillValue say"),
    "a missing value left": (changed("clay", 20, missing_value=-1.0), "clay: the attributes missing_value say"),
    "packed": (changed("sand", 20, scale_factor=0.1, add_offset=2.0), "sand: the attributes scale_factor, add_offset"),
    "above valid_max": (
        changed("clay", 200, valid_max=100.0),
        "clay: 1 values are outside its valid range, -inf to 100",
    ),
    "below valid_min": (changed("clay", -3, valid_min=0.0), "clay: 1 values are outside its valid range, 0 to inf"),
    "outside valid_range": (changed("clay", 200, valid_range=[0, 100]), "clay: 1 values are outside its valid range"),
    "degrees C as K": (changed("air_temperature", 12.0), "air_temperature: a temperature from 12"),
    "negative rain": (changed("precipitation", -40.0), "precipitation: rain from -40"),
    "a flood": (changed("precipitation", 1.0, units="m"), "beyond anything measured"),
    "an undeclared class": (changed("landcover", 99), "landcover: 1 values are none of its flag_values, 99 among them"),
    "words for classes": (changed("landcover", 1, flag_values="1b, 2b"), "landcover: flag_values are '1b, 2b'"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("lazy", [False, True])
def test_a_predictor_with_wrong_values_is_refused_and_told_where(case, lazy):
    cube, message = REFUSED[case]
    assert message in faults_of(cube.chunk(time=7) if lazy else cube)


def test_all_that_is_wrong_comes_in_one_error():
    cube = changed("air_temperature", -9999)
    cube["precipitation"].values[1, 1] = np.inf
    cube["landcover"].values[0] = 77
    cube["clay"].attrs["scale_factor"] = 0.1
    text = faults_of(cube.isel(pixel=[0, 1, 2, 3, 4, 4]))
    assert all(name in text for name in ("air_temperature", "precipitation", "landcover", "clay", "more than once"))


def test_a_valid_range_allows_what_looks_like_a_sentinel():
    check_cube(changed("sand", -999.0, valid_range=[-1000.0, 100.0]))


def test_a_valid_range_of_packed_values_is_unpacked():
    cube = mock_cube(days=40, pixels=5)
    cube["air_temperature"].attrs["valid_range"] = np.array([7500, 65535], "u2")
    assert "outside its valid range" in faults_of(cube)
    cube["air_temperature"].encoding = {"scale_factor": 0.02}
    check_cube(cube)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"lon": [-270.0, 1, 2, 3, 4]}, "lon: values reach -270"),
        ({"lat": [95.0, 1, 2, 3, 4]}, "lat: values reach 95"),
        ({"lat": [5.0] * 5, "lon": [6.0, 7, 8, 9, 366 - 360]}, "lat, lon: 1 places occur more than once"),
        ({"lat": [5.0] * 5, "lon": [-10.0, 7, 8, 9, 350]}, "lat, lon: 1 places occur more than once"),
    ],
)
def test_places_off_the_earth_or_twice_are_refused(places, message):
    cube = mock_cube(days=40, pixels=5)
    assert message in faults_of(cube.assign_coords({k: ("pixel", v) for k, v in places.items()}))


@pytest.mark.parametrize("lon", [[0.5, 90, 180, 270, 359.5], [-179.9, 179.9, 0, 1, 2]])
def test_longitudes_to_360_and_across_the_antimeridian_pass(lon):
    check_cube(mock_cube(days=40, pixels=5).assign_coords(lon=("pixel", lon)))


def test_masked_values_are_gaps():
    values = np.random.default_rng(0).random((40, 5))
    masked = np.ma.masked_less(np.where(values < 0.2, -9999, values), 0)
    for given in (masked, dask.array.from_array(masked, chunks=10)):
        cube = as_cube(mock_cube(days=40, pixels=5).assign(x=(("time", "pixel"), given, {"units": "1"})))
        assert np.array_equal(np.isnan(cube["x"].values), masked.mask)


def test_any_storage_of_a_sound_cube_passes():
    cube = mock_cube(days=40, pixels=5)
    check_cube(cube.assign(ssm=cube["ssm"].astype(">f4")).transpose("pixel", "time"))
    check_cube(
        cube.assign(clay=cube["clay"].round().astype("int16"), wet=(cube["precipitation"] > 1).assign_attrs(units="1"))
    )
    check_cube(cube.chunk(time=7, pixel=2))
    check_cube(cube.assign(precipitation=cube["precipitation"].where(cube["precipitation"] < 5)))


# --- use ------------------------------------------------------------------------------------------------------------


def with_layers(cube, extra=0.0):
    """The cube with layers that exist only where ``ssm`` does, but for a share `extra` of the gaps."""
    seen = cube["ssm"].notnull() | (np.random.default_rng(5).random(cube["ssm"].shape) < extra)
    truth = mock_cube(days=cube.sizes["time"], pixels=cube.sizes["pixel"], seed=1, observed=1.0)["ssm"]
    new = {
        "tb_v": (280 - 100 * truth).where(seen).assign_attrs(units="K", long_name="brightness temperature"),
        "ssm_am": (truth * 1.01).where(seen).assign_attrs(units="m3 m-3"),
        "ssm_error": xr.full_like(truth, 0.04).where(seen).assign_attrs(units="m3 m-3"),
        "retrieval_flag": xr.where(cube["ssm"].notnull(), np.uint16(0), np.uint16(65534)).assign_attrs(units="1"),
        "seen": cube["ssm"].notnull().assign_attrs(units="1"),
    }
    return cube.assign({n: v.drop_encoding() for n, v in new.items()})


LAYERS = ("tb_v", "ssm_am", "ssm_error", "seen")


@pytest.fixture(scope="module")
def cube():
    return mock_cube(days=150, pixels=8, seed=1)


def test_layers_that_exist_only_where_ssm_does_are_left_out_and_named(cube, caplog):
    given = with_layers(cube)
    given["retrieval_flag"].attrs["valid_max"] = 65535
    filled = reconstruct(given, **TREES)
    for name in (*LAYERS, "retrieval_flag"):
        assert f"left out {name}" in filled.attrs["tssmnet_read_as"]
        assert f"left out {name}" in caplog.text
    xr.testing.assert_equal(filled["ssm"], reconstruct(cube, **TREES)["ssm"])


@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
def test_a_copy_of_ssm_that_is_in_a_part_of_the_gaps_harms_no_fill(cube, share):
    truth = mock_cube(days=150, pixels=8, seed=1, observed=1.0)["ssm"]
    gaps = cube["ssm"].isnull()
    given = with_layers(cube, extra=share).drop_vars(["retrieval_flag", "seen"])
    errors = [rmse(truth.where(gaps), reconstruct(c, **TREES)["ssm"].where(gaps)) for c in (cube, given)]
    assert errors[1] < 1.05 * errors[0]


def test_a_predictor_with_gaps_of_its_own_is_kept(cube):
    clouds = np.random.default_rng(2).random(cube["ssm"].shape) < 0.6
    given = cube.assign(lst=cube["air_temperature"].where(~clouds).assign_attrs(long_name="surface temperature"))
    assert "lst" in dynamic_names(as_cube(given))


def test_rain_that_lacks_a_tenth_of_the_gaps_is_kept(cube):
    outage = cube["ssm"].isnull() & (np.random.default_rng(3).random(cube["ssm"].shape) < 0.1)
    given = cube.assign(precipitation=cube["precipitation"].where(~outage))
    assert "precipitation" in dynamic_names(as_cube(given))


def test_a_copy_of_ssm_with_gaps_like_any_days_is_kept(cube):
    given = with_layers(cube, extra=1.0)[["ssm", "tb_v", "precipitation"]]
    clouds = np.random.default_rng(3).random(cube["ssm"].shape) < 0.3
    assert "tb_v" in dynamic_names(as_cube(given.assign(tb_v=given["tb_v"].where(~clouds))))


def test_an_all_missing_predictor_is_left_out_and_vetoes_no_gap(cube, tmp_path):
    absent = cube.assign(wind=(cube["precipitation"] * np.nan).assign_attrs(units="m s-1"))
    only = absent[["ssm", "wind"]]
    for model, options in (("linear", {}), ("climatology", {}), ("dctpls", {}), ("xgboost", {"rounds": 3})):
        assert not reconstruct(only, model, **options)["ssm"].isnull().any()
    assert "left out wind" in notes_of(as_cube(absent))
    only.to_netcdf(tmp_path / "cube.nc", engine="h5netcdf")
    assert reconstruct_file(tmp_path / "cube.nc", tmp_path / "filled.nc", "linear").counts["outside"] == 0
    assert extend(tmp_path / "cube.nc", tmp_path / "filled.zarr", "climatology").added == 150


def test_where_nothing_can_be_said_in_any_gap_one_line_says_why(cube, tmp_path, monkeypatch, capsys):
    # predictors without any value in the gaps are left out at the door; here they come through it
    monkeypatch.setattr("tssmnet.cube.check.without_use", lambda *_: ([], []))
    names = ("precipitation", "air_temperature")
    given = cube.assign({n: cube[n].where(cube["ssm"].notnull()) for n in names})
    said = (
        rf"ssm: nothing can be said in any of its {int(cube['ssm'].isnull().sum())} gaps, since all of its predictors"
    )
    with pytest.raises(CubeError, match=said + r" are missing there \(precipitation, air_temperature\)"):
        reconstruct(given, **TREES)
    given.to_netcdf(tmp_path / "cube.nc", engine="h5netcdf")
    for whole in (False, True):  # streamed, and in memory
        monkeypatch.setattr("tssmnet.reconstruction.by_samples.SampleModel.whole", lambda *_, whole=whole: whole)
        assert main(["reconstruct", *(str(tmp_path / n) for n in ("cube.nc", "out.zarr")), "--model", "xgboost"]) == 2
        told = capsys.readouterr().err
        assert f"{tmp_path / 'cube.nc'}: ssm: nothing can be said" in told
        assert told.count("\n") == 1
        assert [p.name for p in tmp_path.iterdir()] == ["cube.nc"]
    main(["reconstruct", str(tmp_path / "cube.nc"), str(tmp_path / "out.zarr"), "--model", "linear"])
    assert " 0 outside" in capsys.readouterr().out  # the advice, followed


def test_a_model_without_predictors_asks_nothing_of_them(cube):
    broken = cube.assign(air_temperature=cube["air_temperature"] * np.inf)
    assert not reconstruct(broken, "climatology")["ssm"].isnull().any()


def test_what_cf_calls_ancillary_to_ssm_is_no_predictor(cube):
    given = with_layers(cube)
    given["ssm"].attrs["ancillary_variables"] = "tb_v ssm_am ssm_error retrieval_flag seen"
    assert dynamic_names(given) == dynamic_names(cube)
    assert set(as_cube(given).data_vars) == set(cube.data_vars)


def test_the_smap_reader_hands_on_no_overpass_as_predictor():
    from tssmnet.data import registry
    from tssmnet.errors import TssmnetError

    try:
        path = registry.path_of("hawaii-smap", "SMAP_V9_AM_PM/0165.nc")
    except TssmnetError:
        pytest.skip("the genuine file is not here")
    series = read_series(path, "retrieved")
    assert {"ssm_am", "ssm_pm"} < set(series.data_vars)
    assert dynamic_names(series) == []
    full = series.isel(pixel=np.flatnonzero(series["ssm"].notnull().values.any(axis=0)))
    assert not reconstruct(full, "climatology")["ssm"].isnull().any()
    # whatever calls itself a predictor: the same layers without the attribute are found out by where they are
    bare = full.assign(ssm=full["ssm"].assign_attrs(ancillary_variables=""))
    filled = reconstruct(bare, **TREES)
    assert not filled["ssm"].isnull().any()
    assert "left out ssm_am" in filled.attrs["tssmnet_read_as"]
    xr.testing.assert_equal(filled["ssm"], reconstruct(hawaii_cube(predictor=False), **TREES)["ssm"])


# --- how much there is ----------------------------------------------------------------------------------------------


def few(days, count):
    made = mock_cube(days=days, pixels=5, observed=1.0)
    keep = np.zeros(made["ssm"].size, bool)
    keep[:count] = True
    return made.assign(ssm=made["ssm"].where(keep.reshape(made["ssm"].shape)))


@pytest.mark.parametrize(("days", "count"), [(1, 5), (2, 10), (40, 1)])
def test_a_record_too_short_is_told_in_one_sentence_with_the_least(days, count):
    said = f"{count} observations on {days} days are too few for model 'filler', which needs at least 2 on 3 days"
    with pytest.raises(CubeError, match=said) as caught:
        reconstruct(few(days, count))
    assert len(caught.value.faults) == 1
    assert not reconstruct(few(days, count), "climatology")["ssm"].isnull().all()


@pytest.mark.parametrize("model", ["tssmnet", "xgboost", "rf"])
def test_each_kind_of_model_says_its_least(model):
    with pytest.raises(CubeError, match=f"too few for model '{model}'"):
        reconstruct(few(40, 1), model)
