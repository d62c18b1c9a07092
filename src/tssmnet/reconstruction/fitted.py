"""Models fitted on what is observed, and what they say everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cube import SOURCE_FLAGS, CubeError, as_cube, predictable
from tssmnet.errors import TssmnetError, require_known
from tssmnet.features.build import FEATURE_SETS, build_features
from tssmnet.features.samples import Features, Samples
from tssmnet.models import MODELS, make_model
from tssmnet.models.folded import predictor
from tssmnet.progress import bar

Float = NDArray[np.float32]


Mask = NDArray[np.bool_]


DEFAULT_FEATURES = {"network": "lag+desc", "trees": "lag+desc", "baseline": "base"}
"""Feature set of each kind of model when none is asked for: memory decides, so it is in."""


CHUNK_ROWS = 262_144


LEAST = {"filler": (3, 2), "network": (1, 10), "trees": (1, 2), "baseline": (1, 1)}
"""Days and observations without which a kind of model cannot be fitted, let alone well."""


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
    def looks_at_predictors(self) -> bool:
        """Whether the model sees anything but ``ssm``."""
        return MODELS[self.model].kind != "baseline"

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


def cube_for(dataset: xr.Dataset, recipe: Recipe, name: str = "this cube") -> xr.Dataset:
    """A dataset read as the cube that a recipe fills: without predictors where its model looks at none.

    Raises
    ------
    CubeError
        If it is no cube, or holds too little to learn from.
    """
    cube = as_cube(dataset, name, predictors=recipe.looks_at_predictors)
    days, count = cube.sizes["time"], int(cube["ssm"].count())
    least_days, least = LEAST[MODELS[recipe.model].kind]
    if days < least_days or count < least:
        fault = (
            f"ssm: {count} observations on {days} days are too few for model {recipe.model!r}, which needs at least "
            f"{least} on {least_days} days; give a longer record, or use model 'climatology'"
        )
        raise CubeError([fault], name)
    return cube


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
