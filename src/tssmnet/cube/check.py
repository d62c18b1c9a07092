"""The door of every command: a dataset is read, checked, and what is wrong with it is said in one error.

Days, space and target are checked by `tssmnet.cube.faults`, predictors by their values' statistics; all statistics of
all variables come from one pass over the chunks.
"""

from __future__ import annotations

import logging

import xarray as xr

from tssmnet.cube.contract import CubeError
from tssmnet.cube.faults import attribute_faults, place_faults, predictor_faults, target_faults, time_faults
from tssmnet.cube.reading import in_standard_form, in_standard_units, notes_of, with_notes
from tssmnet.cube.roles import role_faults
from tssmnet.cube.statistics import statistics, without_use

_LOG = logging.getLogger("tssmnet")


def as_cube(dataset: xr.Dataset, name: str = "this cube", *, predictors: bool = True) -> xr.Dataset:
    """A dataset read as a cube: checked, in the form and the units of the contract.

    What is told without doubt is brought into form: names of dims and coordinates, dates, units of rain and
    temperature. Predictors that are missing where ``ssm`` is missing are left out. Both is said, in the log and in the
    attribute ``tssmnet_read_as``.

    Parameters
    ----------
    dataset
        Anything like a cube; dask-backed variables stay lazy and are looked at chunk by chunk.
    name
        What messages call it, for instance its path.
    predictors
        Whether they are wanted; without them only ``ssm`` is checked and kept.

    Raises
    ------
    CubeError
        If anything breaks the contract; its `faults` holds one line for each fault.
    """
    cube = _read(dataset, name, predictors)
    if (notes := notes_of(cube)) and notes != _notes_before(dataset):
        _LOG.warning("%s: %s", name, notes)
    return cube


def check_cube(cube: xr.Dataset, name: str = "this cube") -> None:
    """Raise one error that lists everything wrong with a cube, and where.

    Parameters
    ----------
    cube
        The dataset to check; dask-backed variables are reduced chunk by chunk.
    name
        What the message calls it, for instance its path.

    Raises
    ------
    CubeError
        If `as_cube` cannot read it; its `faults` holds one line for each fault.

    Examples
    --------
    >>> from tssmnet.testing import mock_cube
    >>> cube = mock_cube(days=40, pixels=3)
    >>> check_cube(cube)
    >>> cube["ssm"].attrs["units"] = "%"
    >>> check_cube(cube)
    Traceback (most recent call last):
    ...
    tssmnet.cube.contract.CubeError: this cube has 1 fault:
      1. ssm: units are '%', expected 'm3 m-3'; use cube['ssm'] = (cube['ssm'] / 100).assign_attrs(units='m3 m-3')
    """
    _read(cube, name, True)


def require_ssm(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """The days, places and ``ssm`` of a dataset, which is all that a comparison needs.

    Raises
    ------
    CubeError
        If one of them is missing or wrong.
    """
    return as_cube(dataset, name, predictors=False)


def _read(dataset: xr.Dataset, name: str, predictors: bool) -> xr.Dataset:
    if not isinstance(dataset, xr.Dataset):
        raise CubeError([f"a cube is an xarray.Dataset, got {type(dataset).__name__}"], name)
    cube = in_standard_form(dataset)
    if not predictors and "ssm" in cube.data_vars:
        cube = cube[["ssm"]]
    form = [*time_faults(cube), *place_faults(cube), *attribute_faults(cube)]
    found = statistics(cube)
    faults = [*form, *target_faults(cube, found), *predictor_faults(cube, found)]
    if not form:
        left_out, reasons = without_use(cube, found)
        cube = with_notes(cube.drop_vars(left_out), reasons)
    faults += [*role_faults(cube)]
    if faults:
        raise CubeError(faults, name)
    return in_standard_units(cube)


def _notes_before(dataset: xr.Dataset) -> str:
    return notes_of(dataset) if isinstance(dataset, xr.Dataset) else ""
