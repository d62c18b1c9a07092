"""A filled record grows by its new days; what was written stays."""

import numpy as np
import pytest
import xarray as xr

from tssmnet.cube import write_dataset
from tssmnet.errors import TssmnetError
from tssmnet.reconstruction.extend import extend
from tssmnet.reconstruction.memory import reconstruct
from tssmnet.testing import mock_cube


@pytest.fixture(scope="module")
def cube():
    cube = mock_cube(days=100, pixels=5)
    cube["ssm"][:, 4] = np.nan
    return cube


@pytest.fixture
def grown(cube, tmp_path):
    """The files after the first 70 days, and the record after 100."""
    out = tmp_path / "filled.zarr"
    extend(cube.isel(time=slice(0, 70)), out, "xgboost", features="lag+desc", rounds=8)
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in out.rglob("c/*/*")}
    first = xr.open_zarr(out, consolidated=False).load()
    report = extend(cube, out, "xgboost", features="lag+desc", rounds=8)
    return out, before, first, report


def test_only_the_chunk_that_the_new_days_complete_is_touched(grown):
    out, before, _, report = grown
    touched = {p.relative_to(out).parts[-2] for p, (stamp, _) in before.items() if p.stat().st_mtime_ns != stamp}
    assert (report.kept, report.added, report.fitted) == (70, 30, False)
    assert touched == {"2"}  # days 64 to 95; those of 0 to 63 are as they were


def test_the_past_keeps_its_values_and_the_new_days_are_filled_around_their_observations(grown, cube):
    out, _, first, _ = grown
    record = xr.open_zarr(out, consolidated=False).load()
    assert record.ssm.isel(time=slice(0, 70)).equals(first.ssm)
    assert not record.ssm.isnull().any()
    seen = cube.ssm.notnull().values
    np.testing.assert_array_equal(record.ssm.values[seen], cube.ssm.values[seen].astype("f4"))
    assert (record.source.values == np.where(seen, 0, 1)).all()
    np.testing.assert_array_equal(record.time.values.astype("M8[D]"), cube.time.values.astype("M8[D]"))


def test_a_second_call_without_new_days_changes_nothing(grown, cube):
    out = grown[0]
    assert extend(cube, out, "xgboost", features="lag+desc", rounds=8).added == 0


def test_another_recipe_or_a_shorter_cube_is_refused(grown, cube):
    out = grown[0]
    with pytest.raises(TssmnetError, match="seed was 0 and is 1"):
        extend(cube, out, "xgboost", features="lag+desc", rounds=8, seed=1)
    with pytest.raises(TssmnetError, match="holds 100 days, the cube only 70"):
        extend(cube.isel(time=slice(0, 70)), out, "xgboost", features="lag+desc", rounds=8)


def test_the_filler_that_is_kept_fills_new_days_from_a_window_and_is_not_fitted_again(cube, tmp_path, monkeypatch):
    monkeypatch.setattr("tssmnet.reconstruction.by_filler.FillerModel.WINDOW_DAYS", 40)
    few = {"rounds": 10, "min_child": 5.0}
    settings = {"folds": 2, "thirds": 2, "networks": (), "strangers": (), "far": (), "corrector": ()}
    settings |= dict.fromkeys(("forward", "boosting", "spread"), few)
    out = tmp_path / "filled.zarr"
    extend(cube.isel(time=slice(0, 70)), out, **settings)
    first = xr.open_zarr(out, consolidated=False).load()
    monkeypatch.setattr("tssmnet.reconstruction.by_filler.learn", None)
    report = extend(cube, out, **settings)
    record = xr.open_zarr(out, consolidated=False).load()
    assert (report.kept, report.added, report.fitted) == (70, 30, False)
    assert record.isel(time=slice(0, 70)).equals(first)
    assert not record.ssm.isnull().any()
    assert (record.ssm_upper > record.ssm_lower).all()


@pytest.mark.parametrize("step", ["write_dataset", "write_atomically"])
def test_a_first_call_that_was_killed_is_begun_again(cube, tmp_path, monkeypatch, step):
    out = tmp_path / "filled.zarr"
    with monkeypatch.context() as killed:
        killed.setattr(f"tssmnet.reconstruction.extend.{step}", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            extend(cube, out, "xgboost", rounds=8)
    assert extend(cube, out, "xgboost", rounds=8).added == 100
    assert extend(cube, out, "xgboost", rounds=8).kept == 100


def test_what_extend_did_not_begin_is_not_begun_anew(cube, tmp_path):
    out = tmp_path / "filled.zarr"
    write_dataset(reconstruct(cube, "linear"), out)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    with pytest.raises(TssmnetError, match=r"no record that `extend` began.*another output"):
        extend(cube, out, "linear")
    assert before == {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
