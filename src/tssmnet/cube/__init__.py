"""The cube: daily soil moisture and its predictors in one dataset; its meaning, its check, its files."""

from tssmnet.cube.check import as_cube, check_cube, require_ssm
from tssmnet.cube.contract import (
    SOURCE_FLAGS,
    SPACES,
    CubeError,
    dynamic_names,
    from_pixels,
    is_categorical,
    predictable,
    space_dims,
    static_names,
    to_pixels,
)
from tssmnet.cube.files import (
    absent_chunks,
    consolidate,
    netcdf_encoding,
    open_cube,
    open_dataset,
    write_cube,
    write_dataset,
    write_zarr,
)
from tssmnet.cube.reading import NOTES, in_standard_form, in_standard_units, notes_of
from tssmnet.cube.roles import is_rain, is_temperature, roles
from tssmnet.cube.units import is_by_volume

__all__ = [
    "NOTES",
    "SOURCE_FLAGS",
    "SPACES",
    "CubeError",
    "absent_chunks",
    "as_cube",
    "check_cube",
    "consolidate",
    "dynamic_names",
    "from_pixels",
    "in_standard_form",
    "in_standard_units",
    "is_by_volume",
    "is_categorical",
    "is_rain",
    "is_temperature",
    "netcdf_encoding",
    "notes_of",
    "open_cube",
    "open_dataset",
    "predictable",
    "require_ssm",
    "roles",
    "space_dims",
    "static_names",
    "to_pixels",
    "write_cube",
    "write_dataset",
    "write_zarr",
]
