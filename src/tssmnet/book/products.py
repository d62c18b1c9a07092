"""The paper's six products: soil moisture of SMAP itself, and of five models everywhere and on every day.

The paper's Table 4 counts 14,265 station-days for SMAP and 60,591 for each model, so a model's product is taken to be
the model's own value on every day, also where SMAP has one (`tssmnet.reconstruct` keeps the observed values instead).
Each product is computed once for a cube and its settings, and read from the store afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.book.paper import quick_params
from tssmnet.cache import cached_dataset
from tssmnet.cube import to_pixels
from tssmnet.errors import TssmnetError, require_known
from tssmnet.features.build import FEATURE_SETS, build_features
from tssmnet.features.samples import Features, Samples
from tssmnet.models import MODELS, make_model
from tssmnet.models.folded import predictor

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]

FEATURES = "base+screened"
"""Table 4 does not say which features; Table 3 has one setting for all five models: without collinearity features."""

CHUNK_ROWS = 262_144


@dataclass(frozen=True)
class Product:
    """One row of the paper's Table 4."""

    name: str  # key in `PRODUCTS`
    title: str  # as in Table 4
    model: str = ""  # name in `tssmnet.models.MODELS`; empty for SMAP itself
    features: str = ""  # name in `tssmnet.features.build.FEATURE_SETS`; empty for SMAP itself


def _row(name: str, title: str) -> Product:
    return Product(name, f"{title}-derived SSM", name, FEATURES)


PRODUCTS: Mapping[str, Product] = MappingProxyType(
    {
        "smap": Product("smap", "SMAP"),
        "rf": _row("rf", "RF"),
        "xgboost": _row("xgboost", "XGBoost"),
        "transformer": _row("transformer", "Transformer"),
        "resautonet": _row("resautonet", "ResAutoNet"),
        "tssmnet": _row("tssmnet", "TsSMNet"),
    }
)
"""The rows of the paper's Table 4, in its order."""


def product_params(epochs: int = 0, rounds: int = 0, trees: int = 0) -> dict[str, dict[str, int]]:
    """Model to parameters of a quick run, see `tssmnet.book.paper.quick_params`, for the models that make a product.

    Pages that give the same numbers, seed and `samples` share the stored products.

    Examples
    --------
    >>> list(product_params(epochs=3))
    ['rf', 'xgboost', 'transformer', 'resautonet', 'tssmnet']
    """
    quick = quick_params(epochs, rounds, trees)
    return {product.model: quick[product.model] for product in PRODUCTS.values() if product.model}


def filled_product(
    cube: xr.Dataset,
    name: str,
    *,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
    samples: int = 0,
) -> xr.DataArray:
    """One product over the whole cube, computed once.

    `cube`: dims (time, pixel) or (time, y, x), as `tssmnet.check_cube` has it.
    `name`: a key of `PRODUCTS`.
    `params`: model to its parameters, see `product_params`.
    `seed`: of the model and of the rows drawn.
    `samples`: most observations that a model learns from, drawn at random from all; 0 takes all.
    Returns dims (time, pixel), float32, m3 m-3. SMAP: the observations, NaN in the gaps. A model: its value on every
    pixel-day, cut to 0..1, NaN only where the cube has no predictor.
    Raises UnknownNameError for an unknown product, or a parameter that its model does not have.
    """
    product = PRODUCTS[require_known(name, PRODUCTS, "product")]
    for key in params or {}:
        require_known(key, MODELS, "model")
    pixels = to_pixels(cube)
    if product.model:
        return _stored(pixels.load(), product, dict((params or {}).get(product.model, {})), seed, samples)
    observed: xr.DataArray = pixels["ssm"].astype(np.float32).assign_attrs(long_name=product.title)
    return observed


def products(
    cube: xr.Dataset,
    names: Sequence[str] = tuple(PRODUCTS),
    *,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
    samples: int = 0,
) -> xr.DataArray:
    """Several products side by side, see `filled_product`.

    Returns ``ssm``, dims (product, time, pixel), m3 m-3, lazy; ``product`` holds the keys of `PRODUCTS`.
    """
    if not names:
        raise TssmnetError(f"name one product or more of {', '.join(PRODUCTS)}")
    pixels = to_pixels(cube).load()
    parts = [filled_product(pixels, name, params=params, seed=seed, samples=samples) for name in names]
    # chunked alike, so that nothing but what is asked for is read
    lazy = [part.drop_attrs().chunk(time=366) for part in parts]
    joined = xr.concat(lazy, xr.DataArray(list(names), dims="product", name="product"), coords="minimal")
    return joined.rename("ssm").assign_attrs(units="m3 m-3", long_name="soil moisture of the products")


def _stored(pixels: xr.Dataset, product: Product, params: dict[str, Any], seed: int, samples: int) -> xr.DataArray:
    inputs: dict[str, Any] = {"cube": pixels, "model": product.model, "features": product.features}
    inputs |= {"params": params, "seed": seed, "samples": samples}
    filled: xr.DataArray = cached_dataset(model_everywhere, inputs)["ssm"]
    return filled.assign_coords(pixels.coords).assign_attrs(long_name=product.title)


def model_everywhere(
    cube: xr.Dataset, model: str, features: str, params: Mapping[str, Any], seed: int = 0, samples: int = 0
) -> xr.Dataset:
    """Fit a model on the observations of a cube and predict every pixel-day, a block of days at a time.

    A pixel without any observation has no descriptors: it is served by the same model fitted without them.

    `cube`: dims (time, pixel).
    `model`, `features`: names in `MODELS` and `FEATURE_SETS`.
    `params`, `seed`, `samples`: see `filled_product`.
    Returns ``ssm`` (time, pixel), m3 m-3, without coordinates.
    """
    options = FEATURE_SETS[require_known(features, FEATURE_SETS, "feature set")]
    record = cube["ssm"].values
    observed = np.isfinite(record)
    built = build_features(cube, observed, **options)
    seen = observed.any(0)
    own = {n for n in built.names if built.groups.get(n) == "descriptor"}
    out = np.full(record.shape, np.nan, np.float32)
    for pixels, table in ((seen, built), (~seen, built.select([n for n in built.names if n not in own]))):
        if not own:
            pixels = np.ones_like(seen)
        if pixels.any() and observed.any():
            rows = drawn(table.where(observed), samples, seed)
            fitted = make_model(model, seed=seed, **params)
            fitted.fit(rows, record[rows.time, rows.pixel].astype(np.float32))
            predict_blocks(fitted, table, pixels, out)
        if not own:
            break
    attrs = {"units": "m3 m-3", "long_name": f"soil moisture of {MODELS[model].title} on every day"}
    return xr.Dataset({"ssm": (("time", "pixel"), out, attrs)})


def drawn(rows: Samples, most: int, seed: int) -> Samples:
    """At most `most` of the rows, drawn without replacement and in their order; all of them for 0.

    Examples
    --------
    >>> from tssmnet.features.samples import as_samples
    >>> len(drawn(as_samples(np.zeros((50, 2))), 20, seed=0))
    20
    """
    if most <= 0 or most >= len(rows):
        return rows
    chosen = np.random.default_rng(np.random.SeedSequence([seed, most])).choice(len(rows), most, replace=False)
    return rows.take(np.sort(chosen))


def predict_blocks(fitted: Any, features: Features, pixels: Mask, out: Float) -> None:
    """Predict all days of the chosen pixels into `out` (time, pixel), `CHUNK_ROWS` rows at a time, cut to 0..1.

    A pixel-day on which every predictor of the day is missing stays NaN; season alone is no predictor.
    """
    chosen, predict = np.flatnonzero(pixels), predictor(fitted)
    daily = [i for i, n in enumerate(features.dynamic_names) if features.groups.get(n) != "season"]
    for days in _blocks(features.shape[0], max(1, CHUNK_ROWS // len(chosen))):
        time, pixel = (axis.ravel() for axis in np.meshgrid(days, chosen, indexing="ij"))
        if daily:
            known = np.isfinite(features.dynamic[time, pixel][:, daily]).any(1)
            time, pixel = time[known], pixel[known]
        out[time, pixel] = np.clip(predict(features.at(time, pixel)), 0, 1)


def _blocks(count: int, size: int) -> Iterable[NDArray[np.int64]]:
    return (np.arange(start, min(start + size, count)) for start in range(0, count, size))
