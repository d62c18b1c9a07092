"""What can be asked for by profile; the twin is simulated once and then read from the store."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import xarray as xr

from tssmnet import profiles
from tssmnet.cube import check_cube, dynamic_names
from tssmnet.errors import TssmnetError, UnknownNameError
from tssmnet.twin import profile

TINY = {"days": 20, "cell_km": 72, "region": (100, 30, 105, 35), "spinup": 5}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TSSMNET_STORE_DIR", str(tmp_path_factory.mktemp("store")))
        yield patch


@pytest.fixture(scope="module")
def cube(shelf):
    return profiles.profile_cube("twin", **TINY)


def test_the_twins_cube_is_a_cube_of_land_cells(cube):
    check_cube(cube)
    assert cube["ssm"].dims == ("time", "pixel")
    assert cube.sizes["time"] == 20
    assert bool(cube["dem"].notnull().all())


def test_the_twin_is_simulated_at_the_first_call_only(cube, shelf):
    def refuse(**parameters):
        raise AssertionError("simulated twice")

    refuse.__module__, refuse.__qualname__, refuse.__name__ = "tssmnet.twin.world", "twin_world", "twin_world"
    refuse.__signature__ = inspect.signature(profile.twin_world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profile, "twin_world", refuse)
        again = profiles.profile_cube("twin", **TINY)
        xr.testing.assert_identical(again.load(), cube.load())
        profiles.profile_cube("twin", seed=0, start="2016-01-01", **TINY)  # the defaults, said aloud
        with pytest.raises(AssertionError, match="twice"):
            profiles.profile_cube("twin", **{**TINY, "seed": 1})


def test_variables_stand_in_one_order_whatever_the_folder_says(cube):
    assert dynamic_names(cube) == ["lst", "ndvi", "evi", "tvdi"]
    assert next(iter(cube.data_vars)) == "ssm"


@pytest.mark.parametrize("part", profiles.PROFILE_PARTS)
def test_the_twin_has_every_part_and_its_labels(part, cube):
    found = profiles.profile_part("twin", part, **TINY)
    assert found.attrs["title"] == "synthetic twin"
    assert found.sizes["time"] == cube.sizes["time"]


def test_truth_lies_on_the_pixels_of_the_cube(cube):
    truth = profiles.profile_part("twin", "truth", **TINY)
    np.testing.assert_array_equal(truth["lat"], cube["lat"])
    assert bool(truth["ssm_true"].notnull().all())


def test_stations_know_the_pixel_they_stand_in(cube):
    stations = profiles.profile_part("twin", "stations", **TINY)
    assert stations["cell"].values.max(initial=0) < cube.sizes["pixel"]


def test_the_parts_in_the_table_are_those_the_twin_gives():
    assert profiles.profile_parts("twin") == profile.TWIN_PARTS == tuple(profiles.PROFILE_PARTS)


def test_a_part_that_a_profile_lacks_is_one_error_that_names_who_has_it():
    with pytest.raises(TssmnetError, match=r"'conus' has no part 'truth' .* it has cube\. Profiles .*: twin"):
        profiles.profile_part("conus", "truth")


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'twin'"):
        profiles.profile_cube("twinn")
    with pytest.raises(UnknownNameError, match="did you mean 'truth'"):
        profiles.profile_part("twin", "thruth")
    with pytest.raises(UnknownNameError, match="did you mean 'cell_km'"):
        profiles.profile_cube("twin", cellkm=36)
