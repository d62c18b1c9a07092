"""ESA CCI and C3S images and the gap-filled series against plain readings with h5py."""

import h5py
import numpy as np
import pytest
import xarray as xr

from tssmnet.cube import as_cube, check_cube, dynamic_names
from tssmnet.data.readers import esa_cci
from tssmnet.data.readers.faults import OffWindowError, TruncatedFileError, WrongGridError, WrongProductError
from tssmnet.data.readers.grids import ease_centres, ease_geobox, ease_window, regrid

BOX = (73.0, 18.0, 135.0, 54.0)

pytestmark = pytest.mark.mirror


@pytest.fixture
def day(genuine):
    return next(iter(genuine("esa-cci-sm-days").values()))


def test_the_genuine_days_hold_the_known_number_of_values_over_china(genuine):
    days = [esa_cci.read_image(p, BOX) for p in genuine("esa-cci-sm-days").values()]
    assert [int(d.ssm.notnull().sum()) for d in days] == [22513, 22527]
    assert [d.ssm.size for d in days] == [35712, 35712]
    assert [str(d.time.values[0])[:10] for d in days] == ["2016-06-07", "2016-06-08"]


def test_every_cell_has_the_value_of_its_place_in_the_file(day):
    image = esa_cci.read_image(day, BOX)
    with h5py.File(day) as f:
        sm, std, flag = (f[n][0] for n in ("sm", "sm_uncertainty", "flag"))
        lat, lon = f["lat"][:], f["lon"][:]
    rows, columns = np.flatnonzero((lat > 18) & (lat < 54)), np.flatnonzero((lon > 73) & (lon < 135))
    expected = np.where((sm != -9999) & (flag == 0), sm, np.nan)[np.ix_(rows, columns)]
    np.testing.assert_array_equal(image.ssm.values[0], expected)
    uncertainty = np.where(np.isnan(expected), np.nan, std[np.ix_(rows, columns)])
    seen = ~np.isnan(image.ssm_std.values[0])
    np.testing.assert_array_equal(image.ssm_std.values[0][seen], uncertainty[seen])
    assert seen.sum() > 20000
    np.testing.assert_allclose(image.y, lat[rows])
    np.testing.assert_allclose(image.x, lon[columns])


def test_flagged_values_are_refused_bit_by_bit(day, tmp_path):
    with xr.open_dataset(day, mask_and_scale=False, decode_times=False) as genuine_day:
        made = genuine_day.load().copy(deep=True)
    made = made[["sm", "flag"]]
    made["sm"].values[:] = 0.25
    made["flag"].values[0, 200, 1100:1108] = [0, 1, 2, 4, 8, 16, 64, 127]
    made["flag"].encoding.clear()
    made.to_netcdf(tmp_path / "flags.nc")
    box = (95.0, 39.8, 97.0, 40.0)
    row = esa_cci.read_image(tmp_path / "flags.nc", box).ssm.values.ravel()
    assert (~np.isnan(row)).tolist()[:8] == [True, False, False, False, False, False, True, False]
    kept = esa_cci.read_image(tmp_path / "flags.nc", box, refused=1).ssm.values.ravel()
    assert (~np.isnan(kept)).tolist()[:8] == [True, False, True, True, True, True, True, False]


def test_an_image_goes_to_the_9_km_grid_by_the_nearest_cell(day):
    window = (100.0, 30.0, 104.0, 34.0)
    image = esa_cci.read_image(day, BOX)
    rows, columns = ease_window(window)
    grid = ease_geobox(9)[rows, columns]
    fine = regrid(image.ssm.isel(time=0), grid, "nearest")
    lat, lon = ease_centres(grid)
    for r, c in [(0, 0), (10, 20), (40, 7), (len(lat) - 1, len(lon) - 1)]:
        expected = image.ssm.isel(time=0).sel(y=lat[r], x=lon[c], method="nearest").item()
        np.testing.assert_equal(fine.values[r, c], np.float32(expected))


def test_monthly_means_of_c3s_are_read_with_their_counts(genuine):
    for path in genuine("c3s-sm-monthly").values():
        month = esa_cci.read_image(path, BOX)
        with h5py.File(path) as f:
            sm, nobs = f["sm"][0, 144:288, 1012:1260], f["nobs"][0, 144:288, 1012:1260]
        np.testing.assert_array_equal(month.ssm.values[0], np.where(sm >= 0, sm, np.nan))
        np.testing.assert_array_equal(month.observations.values[0], np.maximum(nobs, 0))
        assert 0.1 < float(month.ssm.mean()) < 0.35


def test_the_gap_filled_series_has_no_gap_and_keeps_what_was_observed(genuine):
    path = genuine("hawaii-esa-cci")["hawaii-timeseries/ESA_CCI_GAPFILLED_V09_2/0165.nc"]
    series = esa_cci.read_gapfilled_series(path)
    assert dict(series.sizes) == {"time": 16802, "pixel": 14}
    with h5py.File(path) as f:
        sm, original, gap = f["sm"][:], f["sm_original"][:], f["gapmask"][:]
    np.testing.assert_array_equal(series.ssm.values, sm.T)
    np.testing.assert_array_equal(series.ssm_original.values, original.T)
    np.testing.assert_array_equal(series.observed.values, gap.T == 1)
    land = series.ssm.notnull().any("time")
    observed = series.ssm_original.notnull() & land
    assert float(np.abs(series.ssm - series.ssm_original).where(observed).max()) == 0
    assert bool((series.observed == series.ssm_original.notnull()).isel(pixel=land.values).all())


def test_foreign_broken_mixed_and_far_files_are_refused(day, genuine, tmp_path):
    with pytest.raises(WrongProductError, match=r"version v?05\.2, 09\.1 is wanted; do not mix"):
        esa_cci.read_image(day, BOX, version="09.1")
    assert esa_cci.read_image(day, BOX, version="v05.2").attrs["product_version"] == "05.2"
    with pytest.raises(OffWindowError, match="has its centre in"):
        esa_cci.read_image(day, (100.0, 30.0, 100.01, 30.01))
    cut = tmp_path / "cut.nc"
    cut.write_bytes(day.read_bytes()[:50_000])
    with pytest.raises(TruncatedFileError, match=r"cut\.nc \(50000 bytes\)"):
        esa_cci.read_image(cut, BOX)
    other = genuine("era5-landmask")["relief/landmask_0.25_0.25.nc"]
    with pytest.raises(WrongProductError, match="is no image of ESA CCI"):
        esa_cci.read_image(other, BOX)
    with pytest.raises(WrongProductError, match="is no series"):
        esa_cci.read_gapfilled_series(day)
    with xr.open_dataset(day, mask_and_scale=False, decode_times=False) as whole:
        whole[["sm", "flag"]].isel(lat=slice(100, 200)).to_netcdf(tmp_path / "part.nc")
    with pytest.raises(WrongGridError, match="100 x 1440 cells"):
        esa_cci.read_image(tmp_path / "part.nc", BOX)


def test_what_the_readers_give_are_cubes_without_predictors(genuine):
    days = [esa_cci.read_image(p, BOX) for p in genuine("esa-cci-sm-days").values()]
    path = genuine("hawaii-esa-cci")["hawaii-timeseries/ESA_CCI_GAPFILLED_V09_2/0165.nc"]
    for cube in (*days, esa_cci.read_gapfilled_series(path)):
        check_cube(cube)
        assert dynamic_names(cube) == []
        assert set(as_cube(cube).data_vars) == {"ssm"}
