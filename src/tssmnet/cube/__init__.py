"""The cube: daily soil moisture and its predictors in one dataset; its meaning, its check, its files."""

from tssmnet.cube.check import check_cube, require_ssm
from tssmnet.cube.contract import (
    SOURCE_FLAGS,
    SPACES,
    SSM_UNITS,
    CubeError,
    dynamic_names,
    from_pixels,
    is_categorical,
    predictable,
    space_dims,
    static_names,
    to_pixels,
)
from tssmnet.cube.files import consolidate, open_cube, open_dataset, write_cube, write_dataset, write_zarr
from tssmnet.cube.roles import is_rain, is_temperature, roles

__all__ = [
    "SOURCE_FLAGS",
    "SPACES",
    "SSM_UNITS",
    "CubeError",
    "check_cube",
    "consolidate",
    "dynamic_names",
    "from_pixels",
    "is_categorical",
    "is_rain",
    "is_temperature",
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
