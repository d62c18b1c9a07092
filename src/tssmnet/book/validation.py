"""What the pages share that hold the six products against stations, ESA CCI and, where it is known, the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.book.page import Page
from tssmnet.book.products import PRODUCTS, product_params, products
from tssmnet.profiles import profile_part, profile_parts

SHORT = {name: product.title.removesuffix("-derived SSM") for name, product in PRODUCTS.items()}
"""The products as figures and sentences name them."""

RECONSTRUCTIONS = tuple(name for name in PRODUCTS if name != "smap")
"""The products that a model made."""


@dataclass(frozen=True)
class Study:
    """The data of a page's profile and the six products made of them."""

    parts: Mapping[str, xr.Dataset]  # what the profile has, by the names of `tssmnet.profiles.PROFILE_PARTS`
    product: xr.DataArray  # dims (product, time, pixel), m3 m-3, loaded

    @property
    def cube(self) -> xr.Dataset:
        """Soil moisture with its gaps, and the predictors."""
        return self.parts["cube"]

    @cached_property
    def truth(self) -> xr.DataArray | None:
        """Soil moisture as it is, dims (time, pixel), m3 m-3, loaded; None where it is not known."""
        return self.parts["truth"]["ssm_true"].transpose("time", ...).load() if "truth" in self.parts else None

    def values(self, name: str) -> NDArray[np.float32]:
        """One product by its name, shape (time, pixel), m3 m-3."""
        found: NDArray[np.float32] = self.product.sel(product=name).transpose("time", "pixel").values
        return found

    @property
    def observed(self) -> NDArray[np.bool_]:
        """Where SMAP has a value, shape (time, pixel)."""
        return np.isfinite(self.values("smap"))


def open_study(page: Page) -> Study:
    """The data and products of a page, by its parameters.

    `page`: with the parameters ``epochs``, ``rounds``, ``trees``, ``samples``, ``seed`` and, for the twin, ``world``.
    Pages that give the same ones share the stored products.
    """
    given = page.parameters
    world = given.get("world", {})
    parts = {name: profile_part(page.profile, name, **world) for name in profile_parts(page.profile)}
    quick = product_params(**{name: given[name] for name in ("epochs", "rounds", "trees")})
    made = products(parts["cube"], params=quick, samples=given["samples"], seed=given["seed"])
    return Study(parts, made.load())


def at_station_days(field: xr.DataArray, matched: pd.DataFrame) -> NDArray[np.float64]:
    """A field, dims (time, pixel), at the cells and days of a table from `tssmnet.metrics.stations.match`."""
    day = pd.Index(field["time"].values).get_indexer(matched["time"])
    return field.values[day, matched["pixel"]].astype(float)
