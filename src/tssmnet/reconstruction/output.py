"""What a filled cube says of itself: CF attributes and the account of how it was made."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from tssmnet.cube import NOTES, SOURCE_FLAGS, CubeError, dynamic_names, notes_of, roles
from tssmnet.reconstruction.fitted import RECONSTRUCTORS, Recipe

VARIABLE_ATTRS: dict[str, dict[str, Any]] = {
    "ssm": {
        "long_name": "surface soil moisture, observed where there is an observation, else filled",
        "standard_name": "volume_fraction_of_condensed_water_in_soil",
        "units": "m3 m-3",
        "ancillary_variables": "source",
    },
    "ssm_model": {
        "long_name": "surface soil moisture of the model, also where there is an observation",
        "standard_name": "volume_fraction_of_condensed_water_in_soil",
        "units": "m3 m-3",
    },
    "ssm_std": {"long_name": "standard deviation of filled values against a retrieval", "units": "m3 m-3"},
    "ssm_lower": {"long_name": "5 % quantile of what a retrieval would have said", "units": "m3 m-3"},
    "ssm_q25": {"long_name": "25 % quantile of what a retrieval would have said", "units": "m3 m-3"},
    "ssm_q75": {"long_name": "75 % quantile of what a retrieval would have said", "units": "m3 m-3"},
    "ssm_upper": {"long_name": "95 % quantile of what a retrieval would have said", "units": "m3 m-3"},
    "days_to_observation": {"long_name": "days to the nearest observation of the pixel", "units": "d"},
    "km_to_observation": {"long_name": "distance of the nearest pixel observed that day", "units": "km"},
    "source": {
        "long_name": "where the value of ssm comes from",
        "standard_name": "status_flag",
        "flag_values": np.array([*SOURCE_FLAGS.values()], np.int8),
        "flag_meanings": " ".join(SOURCE_FLAGS),
    },
    "lat": {"long_name": "latitude", "standard_name": "latitude", "units": "degrees_north"},
    "lon": {"long_name": "longitude", "standard_name": "longitude", "units": "degrees_east"},
    "time": {"long_name": "day", "standard_name": "time", "axis": "T"},
}
"""CF attributes of what is written; those a variable has already are kept, but for ``ssm``."""


def source_counts(source: Any) -> dict[str, int]:
    """How many values there are of each source; `source` may be lazy."""
    return {name: int((source == flag).sum()) for name, flag in SOURCE_FLAGS.items()}


def require_filled(source: Any, cube: xr.Dataset, name: str) -> None:
    """Raise a `CubeError` if a cube has gaps and nothing could be said in any; `source` may be counted already."""
    counts = source if isinstance(source, Mapping) else source_counts(source)
    gaps = sum(n for origin, n in counts.items() if origin != "observed")
    if gaps and gaps == counts["outside"]:
        missing = ", ".join(dynamic_names(cube))
        fault = (
            f"ssm: nothing can be said in any of its {gaps} gaps, since all of its predictors are missing there "
            f"({missing}); give these values in the gaps, or use model 'linear' or 'climatology', which need none"
        )
        raise CubeError([fault], name)


def describe(filled: xr.Dataset, cube: xr.Dataset, recipe: Recipe, input_sha256: str) -> xr.Dataset:
    """Add the CF attributes and the account of how it was made; values are not looked at."""
    from tssmnet._public import __version__
    from tssmnet.provenance import commit, content_hash, library_hashes

    model, seed, params = recipe.model, recipe.seed, recipe.settings
    cells = cube["ssm"].attrs.get("cell_methods", "area: mean")
    for name in VARIABLE_ATTRS:
        if name in filled.variables:
            filled[name].attrs = VARIABLE_ATTRS[name] | ({} if name == "ssm" else filled[name].attrs)
    for name in ("ssm", "ssm_model"):
        filled[name].attrs["cell_methods"] = cells
    call = f"tssmnet.reconstruct(model={model!r}, seed={seed}, {', '.join(f'{k}={v!r}' for k, v in params.items())})"
    history = f"{_now()} {call}, tssmnet {__version__}"
    filled.attrs = _inherited(cube) | {
        "Conventions": "CF-1.11",
        "title": _title(cube, model),
        "history": "\n".join(filter(None, [history, str(cube.attrs.get("history", ""))])),
        "source": f"observations as given; gaps filled by {RECONSTRUCTORS[model].title}",
        "references": cube.attrs.get("references", cube.attrs.get("citation", "")) or "none given with the input",
        "license": cube.attrs.get("license", cube.attrs.get("licence", "as the input; none given with it")),
        "tssmnet_version": __version__,
        "tssmnet_commit": commit()[0] + (" with local changes" if commit()[1] else ""),
        "tssmnet_library_sha256": content_hash(library_hashes(["tssmnet.reconstruction.memory"])),
        "tssmnet_model": model,
        "tssmnet_parameters": json.dumps(params, sort_keys=True, default=str),
        "tssmnet_seed": int(seed),
        "tssmnet_input_sha256": input_sha256,
        **_taken_for(cube),
    }
    return in_fixed_order(filled)


def _title(cube: xr.Dataset, model: str) -> str:
    """What the output is, and what it is made from by the input's own title, where it has one."""
    what = f"Gap-free daily surface soil moisture, observed and, in its gaps, filled by {RECONSTRUCTORS[model].title}"
    return f"{what}; made from: {cube.attrs['title']}" if cube.attrs.get("title") else what


def in_fixed_order(filled: xr.Dataset) -> xr.Dataset:
    """The output with ``ssm`` first and every variable and coordinate in its place, however the input lists them."""
    variables = [n for n in VARIABLE_ATTRS if n in filled.data_vars]
    variables += sorted(str(n) for n in filled.data_vars if n not in VARIABLE_ATTRS)
    first = [n for n in ("time", "y", "x", "pixel", "lat", "lon") if n in filled.coords]
    coords = first + sorted(str(n) for n in filled.coords if n not in first)
    bare = filled.reset_coords(drop=True).drop_vars([*filled.indexes])
    return bare[variables].assign_coords({n: filled.coords[n].variable for n in coords}).assign_attrs(filled.attrs)


def _taken_for(cube: xr.Dataset) -> dict[str, str]:
    """What the input was read as, and which of its variables are rain, temperature and land cover."""
    found = roles(cube)
    return {f"tssmnet_{role}": found.get(role, "none") for role in ("rain", "temperature", "landcover")} | {
        NOTES: notes_of(cube) or "as it came"
    }


def _inherited(cube: xr.Dataset) -> dict[str, Any]:
    """Attributes of the input that stay true of the output, the mark of synthetic data first among them."""
    return {k: cube.attrs[k] for k in ("synthetic", "profile", "institution", "crs") if k in cube.attrs}


def _now() -> str:
    """This moment, or ``SOURCE_DATE_EPOCH`` where bytes shall be reproducible."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
