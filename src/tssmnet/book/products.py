"""The paper's six products: soil moisture of SMAP itself, and of five models everywhere and on every day.

The paper's Table 4 counts 14,265 station-days for SMAP and 60,591 for each model, so a model's product is taken to be
the model's own value on every day, also where SMAP has one (`tssmnet.reconstruct` keeps the observed values instead).
Each product is computed once for a cube and its settings, and read from the store afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr

from tssmnet.book.paper import quick_params
from tssmnet.cache import cached_dataset
from tssmnet.cube import to_pixels
from tssmnet.errors import TssmnetError, require_known
from tssmnet.models import MODELS
from tssmnet.reconstruction.memory import reconstruct

FEATURES = "base+screened"
"""Table 4 does not say which features; Table 3 has one setting for all five models: without collinearity features."""


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
    inputs |= {"seed": seed, "rows": samples, "progress": False, **params}
    filled: xr.DataArray = cached_dataset(reconstruct, inputs)["ssm_model"]
    attrs = {"units": "m3 m-3", "long_name": product.title}
    return filled.rename("ssm").drop_attrs().assign_coords(pixels.coords).assign_attrs(attrs)
