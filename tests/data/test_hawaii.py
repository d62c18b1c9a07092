"""Three independent records at one place agree as far as they should, and sit on the right days."""

import h5py
import numpy as np
import pytest

from tssmnet.data.hawaii import hawaii

pytestmark = pytest.mark.mirror


@pytest.fixture(scope="module")
def case(genuine):
    for name in ("ismn-silversword", "hawaii-smap", "hawaii-esa-cci"):
        genuine(name)
    return hawaii()


def test_each_record_holds_the_known_number_of_days(case):
    counts = {n: int(np.isfinite(case[n].values).sum()) for n in ("station", "smap", "cci", "cci_observed")}
    assert counts == {"station": 2155, "smap": 2149, "cci": 3563, "cci_observed": 3433}
    assert [str(t)[:10] for t in case.time.values[[0, -1]]] == ["2015-04-01", "2025-01-25"]
    assert case.attrs["smap_km"] == pytest.approx(12.9, abs=0.1)
    assert list(case.coords) == ["time"]


def test_smap_follows_the_station(case):
    both = np.isfinite(case.station.values) & np.isfinite(case.smap.values)
    assert both.sum() == 1301
    assert np.corrcoef(case.station.values[both], case.smap.values[both])[0, 1] == pytest.approx(0.70, abs=0.01)


def test_the_gap_filled_product_keeps_its_observations(case):
    seen = case.cci_is_observed.values
    np.testing.assert_array_equal(case.cci.values[seen], case.cci_observed.values[seen])


def test_a_day_of_smap_is_the_mean_of_its_overpasses_in_the_file(case, genuine):
    path = genuine("hawaii-smap")["hawaii-timeseries/SMAP_V9_AM_PM/0165.nc"]
    with h5py.File(path) as f:
        here = f["locationIndex"][:] == 6
        assert (f["lat"][6], f["lon"][6]) == pytest.approx((19.7248, -155.5394), abs=1e-3)
        value, flag, seconds = (f[n][:][here] for n in ("soil_moisture", "retrieval_qual_flag", "time"))
    days = (np.datetime64("2000-01-01T12:00") + (seconds * 1e3).astype("timedelta64[ms]")).astype("datetime64[D]")
    good = (value != -9999) & (flag & 6 == 0)
    for day in np.random.default_rng(0).choice(np.unique(days[good]), 50):
        expected = value[good & (days == day)].mean()
        assert case.smap.sel(time=day).item() == pytest.approx(expected, abs=1e-6)
