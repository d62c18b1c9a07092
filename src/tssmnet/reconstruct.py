"""From a cube with holes to a gap-free one that says of each value where it comes from.

Observed values are kept as they are; the rest is predicted by a model that learned from all observations. A pixel that
was never observed has no temporal descriptors: it is served by the same model fitted without them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cube import SOURCE_FLAGS, check_cube, from_pixels, predictable, to_pixels
from tssmnet.errors import TssmnetError, require_known
from tssmnet.features import FEATURE_SETS, build_features
from tssmnet.inference import predictor
from tssmnet.models import MODELS, make_model
from tssmnet.progress import bar, quiet
from tssmnet.samples import Features, Samples

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]

DEFAULT_FEATURES = {"network": "lag+desc", "trees": "lag+desc", "baseline": "base"}
"""Feature set of each kind of model when none is asked for: memory decides, so it is in."""

CHUNK_ROWS = 262_144


@dataclass(frozen=True)
class Recipe:
    """How gaps are to be filled: model and its parameters, options of the features, seed, device."""

    model: str
    features: Mapping[str, Any]
    params: Mapping[str, Any]
    seed: int = 0
    device: str = "auto"

    def make(self) -> Any:
        """The model, not yet fitted; an unknown parameter is an error."""
        return make_model(self.model, seed=self.seed, device=self.device, **self.params)

    @property
    def settings(self) -> dict[str, Any]:
        """What the output says of itself, beside model and seed."""
        return {"features": dict(self.features), **self.params}


@dataclass(frozen=True)
class Fitted:
    """Models ready to predict.

    Parameters
    ----------
    own
        Fitted on all features.
    plain
        The same model fitted without descriptors, for pixels that were never observed; None where none is needed.
    """

    own: Any
    plain: Any | None = None


def reconstruct(
    cube: xr.Dataset,
    model: str = "filler",
    *,
    features: str | Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: bool | None = None,
    **params: Any,
) -> xr.Dataset:
    """Fill the gaps of a cube.

    Parameters
    ----------
    cube
        Passes `check_cube`; dims (time, pixel) or (time, y, x).
    model
        A name of `tssmnet.models.MODELS`; by default the project's own filler.
    features
        A name of `FEATURE_SETS`, or options of `build_features`; by default what suits the model (`DEFAULT_FEATURES`).
    seed
        Everything random comes from it.
    device
        ``auto``, ``cpu`` or ``cuda``.
    progress
        Whether to draw bars; by default only at a terminal.
    **params
        Parameters of the model.

    Returns
    -------
    xarray.Dataset
        On the cube's dims: ``ssm`` (m3 m-3; observed values bit for bit, the rest filled), ``ssm_model`` (the model
        everywhere), ``source`` (`tssmnet.cube.SOURCE_FLAGS`), CF attributes, and how it was made in attributes
        ``tssmnet_*``. The filler also gives ``ssm_std``, ``ssm_lower`` and ``ssm_upper``, a 90 % interval, and
        ``days_to_observation`` and ``km_to_observation``.

    Raises
    ------
    CubeError
        If the dataset is no cube.
    UnknownNameError
        If there is no such model, feature set or parameter.

    Examples
    --------
    >>> from tssmnet.testing import mock_cube
    >>> filled = reconstruct(mock_cube(days=60, pixels=4), model="climatology")
    >>> int(filled.ssm.isnull().sum())
    0
    """
    from tssmnet.store import content_hash

    check_cube(cube)
    progress = not quiet() if progress is None else progress
    recipe = choose(model, features, params, seed, device)
    if MODELS[model].kind == "filler":
        filled = _whole(cube, recipe, progress)
    else:
        pixels = to_pixels(cube).load()
        made = features_of(pixels, recipe)
        fitted = fit(all_samples(pixels, made), recipe, plain=needs_plain(pixels, made), progress=progress)
        filled = from_pixels(fill(pixels, made, fitted, progress=progress), cube)
    return describe(filled, cube, recipe, content_hash(cube))


def choose(
    model: str, features: str | Mapping[str, Any] | None, params: Mapping[str, Any], seed: int, device: str
) -> Recipe:
    """A recipe from what the user gave; unknown names are refused before any work is done."""
    spec = MODELS[require_known(model, MODELS, "model")]
    if spec.kind == "filler":  # takes the cube itself, so there are no features to choose
        if features is not None:
            raise TssmnetError(f"model {model!r} chooses its own features; leave `features` out")
        return Recipe(model, {}, params, seed, device)
    chosen = _feature_options(DEFAULT_FEATURES[spec.kind] if features is None else features)
    recipe = Recipe(model, chosen, params, seed, device)
    recipe.make()
    return recipe


def _feature_options(features: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(features, str):
        return FEATURE_SETS[require_known(features, FEATURE_SETS, "feature set")]
    for key in features:
        require_known(key, ("memory", "descriptors", "season", "position"), "option of the features")
    return features


def _whole(cube: xr.Dataset, recipe: Recipe, progress: bool) -> xr.Dataset:
    """A model that fills whole cubes: ``module:function`` called with the cube."""
    spec = MODELS[recipe.model]
    module, _, name = spec.where.partition(":")
    options = {"seed": recipe.seed, "device": recipe.device, "progress": progress}
    filled: xr.Dataset = getattr(import_module(module), name)(cube, **options, **{**spec.defaults, **recipe.params})
    return filled


def features_of(pixels: xr.Dataset, recipe: Recipe) -> Features:
    """Features of every pixel-day of a cube in (time, pixel) form; none for a baseline, which looks at none."""
    if MODELS[recipe.model].kind == "baseline":
        days, n = pixels.sizes["time"], pixels.sizes["pixel"]
        return Features(np.empty((days, n, 0), np.float32), np.empty((n, 0), np.float32), (), ())
    return build_features(pixels, np.isfinite(pixels["ssm"].values), **recipe.features)


def all_samples(pixels: xr.Dataset, features: Features) -> tuple[Samples, Float]:
    """Every observation as a training sample, with its target in m3 m-3."""
    record = pixels["ssm"].values
    observed = np.isfinite(record)
    return features.where(observed), record[observed].astype(np.float32)


def needs_plain(pixels: xr.Dataset, features: Features) -> bool:
    """Whether there are descriptors, and a pixel without them that is to be filled."""
    unseen = ~np.isfinite(pixels["ssm"].values).any(0)
    described = "descriptor" in features.groups.values()
    return bool(described and unseen.any() and predictable(pixels.isel(pixel=unseen)).any())


def fit(training: tuple[Samples, Float], recipe: Recipe, *, plain: bool, progress: bool, **options: Any) -> Fitted:
    """Fit on training samples; if `plain`, also a second model without descriptors. `options` go to the model's fit."""
    X, y = training
    own = recipe.make().fit(X, y, progress=progress, **options)
    if not plain:
        return Fitted(own)
    bare = Samples(without_descriptors(X.features), X.time, X.pixel)
    return Fitted(own, recipe.make().fit(bare, y, progress=progress, **options))


def without_descriptors(features: Features) -> Features:
    """The same features but the descriptors; the dynamic array is shared, not copied."""
    kept = [i for i, n in enumerate(features.static_names) if features.groups.get(n) != "descriptor"]
    names = tuple(features.static_names[i] for i in kept)
    groups = {n: g for n, g in features.groups.items() if g != "descriptor"}
    return Features(features.dynamic, features.static[:, kept], features.dynamic_names, names, groups)


def fill(pixels: xr.Dataset, features: Features, fitted: Fitted, *, progress: bool = False) -> xr.Dataset:
    """Predict every pixel-day that the predictors allow, and put observations and predictions together.

    Parameters
    ----------
    pixels
        A cube, or a block of pixels of one, in (time, pixel) form and in memory.
    features
        Of these pixels.
    fitted
        Of the whole cube.

    Returns
    -------
    xarray.Dataset
        On (time, pixel): ``ssm``, ``ssm_model``, ``source``.
    """
    wanted = predictable(pixels)
    if fitted.plain is None:
        return _assemble(pixels, _predict(fitted.own, features, wanted, progress))
    seen = np.broadcast_to(np.isfinite(pixels["ssm"].values).any(0), wanted.shape)
    own = _predict(fitted.own, features, wanted & seen, progress)
    others = _predict(fitted.plain, without_descriptors(features), wanted & ~seen, progress)
    return _assemble(pixels, np.where(seen, own, others))


def _predict(model: Any, features: Features, wanted: Mask, progress: bool) -> Float:
    """What a model says of the pixel-days wanted, shape (time, pixel); NaN elsewhere."""
    predict = predictor(model)
    mean = np.full(wanted.shape, np.nan, np.float32)
    samples = features.where(wanted)
    starts = range(0, len(samples), CHUNK_ROWS)
    for start in bar(starts, "predicting", progress=progress):
        rows = samples.take(np.arange(start, min(start + CHUNK_ROWS, len(samples))))
        mean[rows.time, rows.pixel] = np.clip(predict(rows), 0, 1)
    return mean


def _assemble(pixels: xr.Dataset, mean: Float) -> xr.Dataset:
    """Observed values where there are any, the model elsewhere, and which is which."""
    record = pixels["ssm"].values
    observed = np.isfinite(record)
    known = np.isfinite(mean)
    source = np.where(
        observed, SOURCE_FLAGS["observed"], np.where(known, SOURCE_FLAGS["filled"], SOURCE_FLAGS["outside"])
    )
    dims = ("time", "pixel")
    variables = {
        "ssm": (dims, np.where(observed, record, mean.astype(record.dtype))),
        "ssm_model": (dims, mean),
        "source": (dims, source.astype(np.int8)),
    }
    return xr.Dataset(variables, pixels.coords)


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
    "ssm_std": {"long_name": "standard deviation of the error of filled values", "units": "m3 m-3"},
    "ssm_lower": {"long_name": "lower end of the interval that is to hold 90 % of the values", "units": "m3 m-3"},
    "ssm_upper": {"long_name": "upper end of the interval that is to hold 90 % of the values", "units": "m3 m-3"},
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


def describe(filled: xr.Dataset, cube: xr.Dataset, recipe: Recipe, input_sha256: str) -> xr.Dataset:
    """Add the CF attributes and the account of how it was made; values are not looked at."""
    from tssmnet import __version__
    from tssmnet.provenance import commit, library_hashes
    from tssmnet.store import content_hash

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
        "title": f"Gap-free surface soil moisture: {cube.attrs.get('title', 'a cube without title')}",
        "history": "\n".join(filter(None, [history, cube.attrs.get("history")])),
        "source": f"observations as given; gaps filled by {MODELS[model].title}",
        "references": cube.attrs.get("references", cube.attrs.get("citation", "")) or "none given with the input",
        "license": cube.attrs.get("license", cube.attrs.get("licence", "as the input; none given with it")),
        "tssmnet_version": __version__,
        "tssmnet_commit": commit()[0] + (" with local changes" if commit()[1] else ""),
        "tssmnet_library_sha256": content_hash(library_hashes(["tssmnet.reconstruct"])),
        "tssmnet_model": model,
        "tssmnet_parameters": json.dumps(params, sort_keys=True, default=str),
        "tssmnet_seed": int(seed),
        "tssmnet_input_sha256": input_sha256,
    }
    return filled


def _inherited(cube: xr.Dataset) -> dict[str, Any]:
    """Attributes of the input that stay true of the output, the mark of synthetic data first among them."""
    return {k: cube.attrs[k] for k in ("synthetic", "profile", "institution", "crs") if k in cube.attrs}


def _now() -> str:
    """This moment, or ``SOURCE_DATE_EPOCH`` where bytes shall be reproducible."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
