"""Cubes broken at random, for tests and for the stress campaign."""

import numpy as np
import pandas as pd
import xarray as xr

from tssmnet.cube import as_cube
from tssmnet.errors import TssmnetError
from tssmnet.testing import mock_cube


def somewhere(cube, rng, name, value):
    """One value of a variable set, at random."""
    new = (
        cube[name]
        .astype("f8" if cube[name].dtype.kind == "i" else cube[name].dtype, keep_attrs=True)
        .load()
        .copy(deep=True)
    )
    new.values.flat[rng.integers(new.size)] = value
    return cube.assign({name: new})


def attribute(cube, name, **attrs):
    return cube.assign({name: cube[name].assign_attrs(attrs)})


def predictor(rng):
    return str(rng.choice(["precipitation", "air_temperature", "clay", "sand"]))


def one_of(rng, *values):
    return values[rng.integers(len(values))]


def on_coordinate(cube, rng, name, value):
    values = cube[name].values.copy()
    values.flat[rng.integers(values.size)] = value
    return cube.assign_coords({name: (cube[name].dims, values, cube[name].attrs)})


HARMFUL = {
    "sentinel": lambda c, r: somewhere(c, r, predictor(r), one_of(r, -9999, -999, 1e20, 1e30, 9.97e36, -32768)),
    "infinite": lambda c, r: somewhere(c, r, one_of(r, "ssm", predictor(r)), one_of(r, np.inf, -np.inf)),
    "ssm beyond": lambda c, r: somewhere(c, r, "ssm", one_of(r, -9999, -0.1, 1.2, 45.0)),
    "unknown class": lambda c, r: somewhere(c, r, "landcover", one_of(r, 0, 3, 255)),
    "units of ssm": lambda c, r: attribute(c, "ssm", units=one_of(r, "%", "mm", "kg m-2", "", "?", "kg/kg", 3)),
    "units missing": lambda c, r: c.assign({(n := predictor(r)): c[n].drop_attrs()}),
    "degrees C called K": lambda c, r: attribute(
        c.assign(air_temperature=c["air_temperature"] - 273.15), "air_temperature", units="K"
    ),
    "K called degrees C": lambda c, r: attribute(c, "air_temperature", units=one_of(r, "degC", "celsius", "degF")),
    "units of the forcing": lambda c, r: attribute(
        c, one_of(r, "precipitation", "air_temperature"), units=one_of(r, "gobbledygook", "mm (3h)-1")
    ),
    "undecoded": lambda c, r: attribute(
        c, predictor(r), **{one_of(r, "_FillValue", "scale_factor", "missing_value"): 0.5}
    ),
    "valid range": lambda c, r: attribute(c, predictor(r), valid_range=[1e5, 2e5]),
    "attribute": lambda c, r: attribute(c, predictor(r), made=one_of(r, object(), {1, 2}, [object()])),
    "days repeated": lambda c, r: c.isel(time=np.sort(np.r_[np.arange(c.sizes["time"]), r.integers(c.sizes["time"])])),
    "a day absent": lambda c, r: c.drop_isel(time=[r.integers(1, c.sizes["time"] - 1)]),
    "days shuffled": lambda c, r: c.isel(time=np.r_[3, 0, 1, 2, np.arange(4, c.sizes["time"])]),
    "no days": lambda c, r: one_of(r, c.drop_vars("time"), c.isel(time=slice(0, 0)), c.isel(time=0)),
    "a calendar": lambda c, r: c.assign_coords(
        time=xr.date_range(
            "2015-02-01", periods=c.sizes["time"], calendar=one_of(r, "noleap", "360_day", "julian"), use_cftime=True
        )
    ),
    "numbers for days": lambda c, r: c.assign_coords(time=one_of(r, np.arange, np.ones)(c.sizes["time"])),
    "hours": lambda c, r: c.assign_coords(time=c["time"] + one_of(r, np.timedelta64(6, "h"), np.timedelta64(1, "ns"))),
    "half days": lambda c, r: c.assign_coords(time=pd.date_range("2015-04-01", periods=c.sizes["time"], freq="12h")),
    "no day": lambda c, r: on_coordinate(c, r, "time", np.datetime64("NaT")),
    "latitude": lambda c, r: on_coordinate(c, r, "lat", one_of(r, 91.0, np.nan, -9999.0, np.inf)),
    "longitude": lambda c, r: on_coordinate(c, r, "lon", one_of(r, -270.0, 361.0, np.nan, 1e20)),
    "no places": lambda c, r: c.drop_vars(one_of(r, "lat", "lon", ["lat", "lon"])),
    "one place twice": lambda c, r: c.isel({c["ssm"].dims[-1]: [0, *range(c.sizes[c["ssm"].dims[-1]])]}),
    "no pixel": lambda c, r: c.isel({c["ssm"].dims[-1]: slice(0, 0)}),
    "no target": lambda c, r: one_of(r, c.drop_vars("ssm"), c.assign(ssm=c["ssm"] * np.nan), c.rename(ssm="sm")),
    "a target of numbers": lambda c, r: c.assign(ssm=c["ssm"].fillna(0).astype(int)),
    "a target of words": lambda c, r: c.assign(ssm=c["ssm"].astype(str)),
    "a foreign dim": lambda c, r: c.assign(deep=(("time", "depth"), np.ones((c.sizes["time"], 3)), {"units": "1"})),
    "members": lambda c, r: c.expand_dims("member"),
    "words": lambda c, r: c.assign(soil=c["clay"].astype(one_of(r, str, object, complex)).assign_attrs(units="1")),
    "two temperatures": lambda c, r: c.assign(warm=c["air_temperature"].assign_attrs(long_name="air temperature")),
    "a bare unit": lambda c, r: c.drop_vars("precipitation").assign(
        tp=c["precipitation"].drop_attrs().assign_attrs(units="mm")
    ),
    "no dataset": lambda c, r: one_of(r, c["ssm"], None, c.to_array(), 3),
}

HARMLESS = {
    "order of dims": lambda c, r: c.transpose(*r.permutation([*c.dims])),
    "order of variables": lambda c, r: c[[*r.permutation([*c.data_vars])]],
    "chunks": lambda c, r: c.chunk(time=int(r.integers(1, 12))),
    "float64": lambda c, r: c.assign(ssm=c["ssm"].astype("f8", keep_attrs=True)),
    "gaps": lambda c, r: c.assign({(n := predictor(r)): c[n].where(r.random(c[n].shape) > 0.1)}),
    "longitudes to 360": lambda c, r: c.assign_coords(lon=c["lon"] % 360),
    "volume": lambda c, r: attribute(c, "ssm", units=one_of(r, "cm**3/cm**3", "m3/m3", "1")),
    "rain in m": lambda c, r: attribute(c.assign(precipitation=c["precipitation"] / 1000), "precipitation", units="m"),
    "degrees C": lambda c, r: attribute(
        c.assign(air_temperature=c["air_temperature"] - 273.15), "air_temperature", units="degC"
    ),
    "a date": lambda c, r: c.assign_attrs(made=pd.Timestamp("2026-01-01"), by=None),
    "variables": lambda c, r: c.reset_coords(["lat", "lon"]),
    "valid_time": lambda c, r: c.rename(time="valid_time"),
    "an empty layer": lambda c, r: c.assign(wind=(c["precipitation"] * np.nan).assign_attrs(units="m s-1")),
}


def broken(seed):
    """A small cube, and the names of one to three changes made to it; the harmful one comes last."""
    rng = np.random.default_rng(seed)
    cube = mock_cube(days=12, seed=seed, **one_of(rng, {"pixels": 4}, {"shape": (2, 3)}))
    names = [*rng.choice([*HARMLESS], rng.integers(0, 3), replace=False)]
    for name in names:
        if not (name == "chunks" and "valid_time" in names):
            cube = HARMLESS[name](cube, rng)
    return cube, names, rng


def refused(cube):
    try:
        as_cube(cube)
    except TssmnetError:
        return True
    return False


def broken_pair(seed):
    """A sound cube with harmless changes, the same with a harmful one in the end, and what was done to it, in words."""
    cube, names, rng = broken(seed)
    last = [*HARMFUL][seed % len(HARMFUL)]
    base = cube
    if {"valid_time", "variables", "degrees C", "rain in m"} & {*names}:
        base = as_cube(cube)  # what is broken next has its usual name and unit
    return cube, HARMFUL[last](base, rng), f"{last} after {', '.join(map(str, names)) or 'nothing'}, seed {seed}"
