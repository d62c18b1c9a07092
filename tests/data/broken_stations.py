"""Station files broken at random, for tests and for the stress campaign."""

import numpy as np
import pandas as pd
import xarray as xr

from tssmnet.errors import TssmnetError
from tssmnet.metrics.stations import open_stations

HEADER = "station,lat,lon,time,ssm"

# from the outermost change to the innermost
HARMLESS = {
    "bom": lambda text, _: "\ufeff" + text,
    "crlf": lambda text, _: text.replace("\n", "\r\n"),
    "semicolons": lambda text, _: text.replace(",", ";"),
    "spaces": lambda text, _: text.replace(",", ", "),
    "zone": lambda text, _: text.replace(":00,", ":00Z,"),
    "blank line": lambda text, rng: at_line(text, rng, lambda line: line + "\n"),
    "missing value": lambda text, rng: at_line(text, rng, lambda line: line.rpartition(",")[0] + ","),
    "shuffled": lambda text, rng: "\n".join([text.split("\n")[0], *rng.sample(b := text.split("\n")[1:], len(b))]),
}
HARMFUL = {
    "sentinel": lambda line, rng: line.rpartition(",")[0] + rng.choice([",-9999", ",-99", ",1e20", ",9.97e36", ",-1"]),
    "text": lambda line, rng: line.rpartition(",")[0] + rng.choice([",wet", ",0,2", ",--", ",0.2%", ",#N/A", ",0x1"]),
    "percent": lambda line, _: line.rpartition(",")[0] + ",23.5",
    "date": lambda line, rng: line.replace("2018-07-", rng.choice(["07/2018/", "2018/07/", "7-", "2018-19-", ""])),
    "place": lambda line, rng: line.replace(",34.0,", rng.choice([",94.0,", ",,", ",-9999,", ",N34,", ",35.0,"])),
    "again": lambda line, _: f"{line}\n{line}",
    "cut": lambda line, rng: line[: rng.randrange(1, 12)],
    "quote": lambda line, rng: line.replace(",", rng.choice([',"', ',"a"b",']), 1),
    "control": lambda line, _: line.replace("A", "\x07"),
}


def at_line(text, rng, change):
    lines = text.split("\n")
    i = rng.randrange(1, len(lines))
    lines[i] = change(lines[i])
    return "\n".join(lines)


def random_table(rng):
    """A table of one to three stations by the hour, and the value of each."""
    truth = {name: rng.randrange(5, 60) / 100 for name in rng.sample("ABC", rng.randrange(1, 4))}
    hours = pd.date_range("2018-07-01", periods=rng.choice([1, 24, 60]), freq="h")
    rows = [f"{n},34.0,102.0,{t:%Y-%m-%dT%H:%M:%S},{v}" for n, v in truth.items() for t in hours]
    return "\n".join([HEADER, *rows]), truth


def damaged(content, rng):
    """Bytes cut, flipped, doubled or thrown in at a random place."""
    i, n = rng.randrange(len(content)), rng.randrange(1, 40)
    thrown = rng.choice([b"", rng.randbytes(n), content[i : i + n] * 2, b"\x00" * n, b",;\"'\n"])
    return content[:i] + thrown + content[i + n :]


def random_file(rng):
    """The bytes of a table, sound or broken; what kind it is; the truth."""
    text, truth = random_table(rng)
    kind = rng.choice(["harmless", "harmful", "bytes"])
    if kind == "harmful":
        change = HARMFUL[rng.choice(sorted(HARMFUL))]
        text = at_line(text, rng, lambda line: change(line, rng))
    for name in sorted(rng.sample(sorted(HARMLESS), rng.randrange(3)), key=list(HARMLESS).index, reverse=True):
        text = HARMLESS[name](text, rng)
    return (damaged(text.encode(), rng) if kind == "bytes" else text.encode()), kind, truth


def random_netcdf(rng, path):
    """Write a netCDF file, sound or broken; what kind it is and the value of each station."""
    stations, truth = random_stations(rng)
    kind, engine = rng.choice(["harmless", "harmful", "bytes"]), rng.choice(["h5netcdf", "h5netcdf", "scipy"])
    if kind == "harmful":
        stations = HARMFUL_NETCDF[rng.choice(sorted(HARMFUL_NETCDF))](stations, rng)
    for name in rng.sample(sorted(HARMLESS_NETCDF), rng.randrange(3)):
        stations = HARMLESS_NETCDF[name](stations, rng)
    stations.to_netcdf(path, engine=engine)
    if kind == "bytes":
        path.write_bytes(damaged(path.read_bytes(), rng))
    return kind, truth


def random_stations(rng):
    """One to three stations by the hour, and the value of each."""
    truth = {name: rng.randrange(5, 60) / 100 for name in rng.sample("ABC", rng.randrange(1, 4))}
    time = pd.date_range("2018-07-01", periods=rng.choice([1, 24, 60]), freq="h")
    values = np.tile([*truth.values()], (len(time), 1))
    places = {c: ("station", v + np.arange(len(truth))) for c, v in (("lat", 34.0), ("lon", 102.0))}
    coords = {"time": time, "station": [*truth], **places}
    return xr.Dataset({"ssm": (("time", "station"), values, {"units": "m3 m-3"})}, coords), truth


def with_value(stations, rng, name, value):
    """One value of a variable replaced, at random."""
    new = stations[name].copy(deep=True)
    new.values.flat[rng.randrange(new.size)] = value
    return stations.assign_coords({name: new}) if name in stations.coords else stations.assign({name: new})


def with_flag(stations, value, **attrs):
    values = np.full(stations.ssm.shape, value, "i1")
    return stations.assign(ssm_flag=(stations.ssm.dims, values, attrs))


# the harmless ones keep what they do not name, so that they come after any other
HARMLESS_NETCDF = {
    "order of dims": lambda s, _: s.transpose(),
    "names": lambda s, _: s.rename({n: m for n, m in (("lat", "latitude"), ("lon", "longitude")) if n in s.variables}),
    "float32": lambda s, _: s.assign({n: v.astype("f4") for n, v in s.data_vars.items() if v.dtype == "f8"}),
    "a remark": lambda s, _: s.assign_attrs(remark="made up"),
    "an own depth": lambda s, _: s.assign_coords(depth=0.05) if "depth" not in s.variables else s,
}
HARMFUL_NETCDF = {
    "sentinel": lambda s, r: with_value(s, r, "ssm", r.choice([-9999.0, -99.0, 1e20, 9.97e36, -1.0, np.inf])),
    "percent": lambda s, _: s.assign(ssm=(100 * s.ssm).assign_attrs(units="m3 m-3")),
    "units": lambda s, r: s.assign(ssm=s.ssm.assign_attrs(units=r.choice(["%", "mm", "", "kg m-2", "?"]))),
    "no units": lambda s, _: s.assign(ssm=s.ssm.drop_attrs()),
    "text": lambda s, _: s.assign(ssm=s.ssm.astype(str).assign_attrs(units="m3 m-3")),
    "latitude": lambda s, r: with_value(s, r, "lat", r.choice([94.0, -9999.0, np.nan, np.inf])),
    "longitude": lambda s, r: with_value(s, r, "lon", r.choice([-270.0, 1e20, np.nan])),
    "no place": lambda s, r: s.drop_vars(r.choice(["lat", "lon"])),
    "no time": lambda s, r: r.choice([s.drop_vars("time"), s.assign_coords(time=np.arange(s.sizes["time"]))]),
    "a time twice": lambda s, _: xr.concat([s, s.isel(time=[0])], "time"),
    "a name twice": lambda s, _: xr.concat([s, s.isel(station=[0])], "station"),
    "no name": lambda s, _: s.assign_coords(station=["", *s.station.values[1:]]),
    "depths": lambda s, _: xr.concat([s, s], pd.Index([0.05, 0.5], name="depth")),
    "a deep sensor": lambda s, _: s.assign_coords(depth=0.5),
    "a foreign dim": lambda s, _: s.expand_dims(member=2),
    "flags of no scheme": lambda s, r: with_flag(s, r.randrange(2)),
    "bad flags": lambda s, _: with_flag(s, 1, flag_values=np.array([0, 1], "i1"), flag_meanings="good bad"),
    "masks": lambda s, _: with_flag(s, 1, flag_masks=np.array([1, 2], "i1"), flag_meanings="wet cold"),
    "no target": lambda s, _: s.drop_vars("ssm"),
}


def read_or_refused(path):
    try:
        return open_stations(path)
    except TssmnetError as error:
        return str(error)


def fault_of(found, path, kind, truth):
    """What is wrong with what came of a random file, a dataset or a refusal; "" if nothing is."""
    if isinstance(found, str):
        if str(path) not in found:
            return f"the refusal does not name the file: {found}"
        return f"a sound file is refused: {found}" if kind == "harmless" and not found.endswith("no reading") else ""
    values = found.ssm.values[np.isfinite(found.ssm.values)]
    if not ((values >= 0) & (values <= 1)).all():
        return "values lie outside 0..1"
    if kind == "bytes":  # a changed digit is a value like any other
        return ""
    wrong = [n for n in found.station.values if not np.allclose(values_of(found, n), truth.get(n, np.nan), atol=1e-6)]
    return f"stations {', '.join(map(str, wrong))} have other values" if wrong else ""


def values_of(found, name):
    return found.ssm.sel(station=name).dropna("time").values
