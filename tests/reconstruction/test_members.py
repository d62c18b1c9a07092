"""Members: quantiles, mean, observations and dependence that they are to have."""

import numpy as np
import pytest
import xarray as xr

from tssmnet.cube import SOURCE_FLAGS, open_dataset
from tssmnet.errors import TssmnetError
from tssmnet.reconstruction.members import Dependence, Draws, members, members_file


def filled_cube(days=60, pixels=6, seed=0, gap=slice(10, 50)):
    """A filled cube with skewed intervals; the days of `gap` are filled."""
    rng = np.random.default_rng(seed)
    model = rng.uniform(0.2, 0.3, (days, pixels)).astype("f4")
    source = np.zeros((days, pixels), np.int8)
    source[gap] = 1
    ends = {"ssm_lower": -0.04, "ssm_q25": -0.02, "ssm_q75": 0.015, "ssm_upper": 0.06}
    fields = {"ssm": model, "ssm_model": model, "source": source} | {n: model + v for n, v in ends.items()}
    coords = {"time": np.arange(days).astype("M8[D]").astype("M8[ns]"), "lat": ("pixel", 30 + 0.3 * np.arange(pixels))}
    return xr.Dataset(
        {n: (("time", "pixel"), v) for n, v in fields.items()}, coords | {"lon": ("pixel", [5.0] * pixels)}
    )


@pytest.fixture(scope="module")
def drawn():
    filled = filled_cube()
    return filled, members(filled, 400)


def test_observed_days_are_as_they_were_seen_in_every_member(drawn):
    filled, out = drawn
    seen = filled.source.values == 0
    assert (out.values[:, seen] == filled.ssm.values[seen]).all()


def test_members_have_the_quantiles_and_the_mean_of_the_filled_cube(drawn):
    filled, out = drawn
    gap = out.isel(time=slice(10, 50))
    for name, share in {"ssm_lower": 0.05, "ssm_q25": 0.25, "ssm_q75": 0.75, "ssm_upper": 0.95}.items():
        assert float((gap < filled[name]).mean()) == pytest.approx(share, abs=0.02)
    np.testing.assert_allclose((gap.mean("member") - filled.ssm_model.isel(time=slice(10, 50))).mean(), 0, atol=1e-3)


def test_errors_go_together_in_time_and_space_as_stated():
    d = Dependence(slow=0.6, slow_days=6.0, fast_days=0.5, offset=0.0, common=0.7, km=200.0)
    lat, lon = np.array([40.0, 40.9]), np.array([0.0, 0.0])
    draws = Draws(np.zeros((300, 2), bool), lat, lon, d)
    z = np.stack([draws.member(1, k) for k in range(60)])
    assert z.std() == pytest.approx(1, abs=0.03)
    assert np.mean(z[:, 1:] * z[:, :-1]) == pytest.approx(0.6 * np.exp(-1 / 6) + 0.4 * np.exp(-2), abs=0.03)
    assert np.mean(z[:, 8:] * z[:, :-8]) == pytest.approx(0.6 * np.exp(-8 / 6), abs=0.03)
    assert np.mean(z[..., 0] * z[..., 1]) == pytest.approx(0.7 * np.exp(-100 / 200), abs=0.05)


def test_beside_an_observation_the_slow_part_starts_from_nothing():
    observed = np.zeros((41, 1), bool)
    observed[20] = True
    draws = Draws(observed, np.zeros(1), np.zeros(1), Dependence(slow=1.0, offset=0.0))
    z = np.stack([draws.member(0, k)[:, 0] for k in range(2000)])
    assert z[:, 21].std() == pytest.approx(1, abs=0.05)
    assert abs(np.mean(z[:, 19] * z[:, 21])) < 0.08  # what was observed parts the days before from those after
    assert np.mean(z[:, 22] * z[:, 21]) > 0.5


def test_a_pixel_never_observed_is_off_on_all_days_alike_and_one_observed_often_is_not():
    observed = np.zeros((200, 2), bool)
    observed[::3, 1] = True
    draws = Draws(observed, np.zeros(2), np.array([0.0, 30.0]), Dependence())
    means = np.stack([draws.member(0, k).mean(0) for k in range(200)])
    assert means[:, 0].var() == pytest.approx(0.65 + 0.35 * 0.52 * 2 * 15 / 200, abs=0.12)
    assert means[:, 1].var() < 0.1


def test_a_part_of_the_map_and_fewer_members_have_the_values_of_the_whole(drawn):
    filled, out = drawn
    part = members(filled.isel(pixel=[4, 1]), 3)
    np.testing.assert_allclose(part, out.isel(pixel=[4, 1], member=slice(3)), atol=1e-6)
    assert not np.allclose(members(filled, 3, seed=1), out[:3])


def test_a_cube_without_intervals_has_no_members():
    with pytest.raises(TssmnetError, match="ssm_q25 not found: fill the cube with model 'filler'"):
        members(filled_cube().drop_vars("ssm_q25"))


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_members_of_a_file_drawn_in_blocks_are_those_drawn_in_memory(suffix, tmp_path):
    filled = filled_cube()
    values = [n for n in filled.data_vars if n != "source"]
    filled[values] = filled[values].where(xr.DataArray(np.arange(6) != 2, dims="pixel"))  # nothing is known there
    filled.source[:, 2] = SOURCE_FLAGS["outside"]
    path = tmp_path / f"filled{suffix}"
    (filled.to_zarr if suffix == ".zarr" else filled.to_netcdf)(path)
    members_file(path, tmp_path / "members.zarr", 3, block_bytes=1)
    out = open_dataset(tmp_path / "members.zarr").load()  # which asks for every chunk
    np.testing.assert_allclose(out.ssm_member, members(filled, 3), atol=1e-6)
    assert out.ssm_member.isnull().all(("member", "time")).values.tolist() == [False] * 2 + [True] + [False] * 3
    for name in ("time", "lat", "lon"):
        np.testing.assert_array_equal(out[name], filled[name])
