"""What can be asked for by profile; the twin is simulated once and then read from the store."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import xarray as xr

from tssmnet import sources
from tssmnet.cube import check_cube, dynamic_names
from tssmnet.errors import TssmnetError, UnknownNameError
from tssmnet.sources import twin

TINY = {"days": 20, "cell_km": 72, "region": (100, 30, 105, 35), "spinup": 5}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TSSMNET_STORE_DIR", str(tmp_path_factory.mktemp("store")))
        yield patch


@pytest.fixture(scope="module")
def cube(shelf):
    return sources.profile_cube("twin", **TINY)


def test_the_twins_cube_is_a_cube_of_land_cells(cube):
    check_cube(cube)
    assert cube["ssm"].dims == ("time", "pixel")
    assert cube.sizes["time"] == 20
    assert bool(cube["dem"].notnull().all())


def test_the_twin_is_simulated_at_the_first_call_only(cube, shelf):
    def refuse(**parameters):
        raise AssertionError("simulated twice")

    refuse.__module__, refuse.__qualname__, refuse.__name__ = "tssmnet.twin.world", "twin_world", "twin_world"
    refuse.__signature__ = inspect.signature(twin.twin_world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twin, "twin_world", refuse)
        again = sources.profile_cube("twin", **TINY)
        xr.testing.assert_identical(again.load(), cube.load())
        sources.profile_cube("twin", seed=0, start="2016-01-01", **TINY)  # the defaults, said aloud
        with pytest.raises(AssertionError, match="twice"):
            sources.profile_cube("twin", **{**TINY, "seed": 1})


def test_variables_stand_in_one_order_whatever_the_folder_says(cube):
    assert dynamic_names(cube) == ["lst", "ndvi", "evi", "tvdi"]
    assert next(iter(cube.data_vars)) == "ssm"


@pytest.mark.parametrize("part", sources.PARTS)
def test_the_twin_has_every_part_and_its_labels(part, cube):
    found = sources.profile_part("twin", part, **TINY)
    assert found.attrs["title"] == "synthetic twin"
    assert found.sizes["time"] == cube.sizes["time"]


def test_truth_lies_on_the_pixels_of_the_cube(cube):
    truth = sources.profile_part("twin", "truth", **TINY)
    np.testing.assert_array_equal(truth["lat"], cube["lat"])
    assert bool(truth["ssm_true"].notnull().all())


def test_stations_know_the_pixel_they_stand_in(cube):
    stations = sources.profile_part("twin", "stations", **TINY)
    assert stations["cell"].values.max(initial=0) < cube.sizes["pixel"]


def test_the_parts_in_the_table_are_those_the_twin_gives():
    assert sources.profile_parts("twin") == twin.PARTS == tuple(sources.PARTS)


def test_a_part_that_a_profile_lacks_is_one_error_that_names_who_has_it():
    with pytest.raises(TssmnetError, match=r"'conus' has no part 'truth' .* it has cube\. Profiles .*: twin"):
        sources.profile_part("conus", "truth")


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'twin'"):
        sources.profile_cube("twinn")
    with pytest.raises(UnknownNameError, match="did you mean 'truth'"):
        sources.profile_part("twin", "thruth")
    with pytest.raises(UnknownNameError, match="did you mean 'cell_km'"):
        sources.profile_cube("twin", cellkm=36)
