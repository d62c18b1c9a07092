"""A cube cut into blocks of pixels that fit in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cube import (
    dynamic_names,
    space_dims,
    to_pixels,
)

Index = NDArray[np.int64]


BLOCK_BYTES = 2**27
"""Input values of a block, and features of a piece of it, at most."""


@dataclass(frozen=True)
class Grid:
    """How the space of a cube is cut into blocks: dims, their sizes, and the shape of a block (smaller at the end)."""

    dims: tuple[str, ...]
    sizes: tuple[int, ...]
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return math.prod(self._counts)

    @property
    def _counts(self) -> tuple[int, ...]:
        return tuple(-(-n // s) for n, s in zip(self.sizes, self.shape, strict=True))

    def region(self, index: int) -> dict[str, slice]:
        """The slice of each dim that block `index` takes."""
        at = np.unravel_index(index, self._counts)
        return {
            d: slice(int(i) * s, min((int(i) + 1) * s, n))
            for d, i, s, n in zip(self.dims, at, self.shape, self.sizes, strict=True)
        }

    def block_of(self, at: Index) -> Index:
        """The block of each pixel; `at` has its place along each dim, shape (dims, pixel)."""
        out: Index = np.ravel_multi_index(tuple(at // np.array(self.shape)[:, None]), self._counts)
        return out

    def pixels(self, index: int) -> Index:
        """Numbers, in the whole cube, of the pixels of block `index`, in their order there."""
        numbers = np.arange(math.prod(self.sizes)).reshape(self.sizes)
        return numbers[tuple(self.region(index).values())].ravel()


def cut(cube: xr.Dataset, block_bytes: int = BLOCK_BYTES) -> Grid:
    """Blocks of whole storage chunks of the cube with at most `block_bytes` of input, or even parts of a chunk."""
    dims = space_dims(cube)
    sizes = tuple(cube.sizes[d] for d in dims)
    daily = [cube[n].dtype.itemsize for n in (*dynamic_names(cube), "ssm")]
    most = max(1, block_bytes // (cube.sizes["time"] * sum(daily)))
    chunks = storage_chunks(cube)
    return Grid(dims, sizes, block_shape(sizes, tuple(chunks.get(d, 1) for d in dims), most))


def block_shape(sizes: Sequence[int], chunks: Sequence[int], most: int) -> tuple[int, ...]:
    """Shape of a block of at most `most` pixels: halves of a chunk, or many chunks along the last dims first.

    Examples
    --------
    >>> block_shape((100, 90), (16, 16), most=600), block_shape((100, 90), (16, 16), most=100)
    ((16, 32), (8, 8))
    >>> block_shape((1000,), (64,), most=300)
    (256,)
    """
    shape = [min(c, n) for c, n in zip(chunks, sizes, strict=True)]
    while math.prod(shape) > most and max(shape) > 1:
        longest = shape.index(max(shape))
        shape[longest] = -(-shape[longest] // 2)
    for i in reversed(range(len(shape))):
        shape[i] = min(sizes[i], shape[i] * max(1, most // math.prod(shape)))
    return tuple(shape)


def storage_chunks(cube: xr.Dataset) -> dict[str, int]:
    """Chunk length of the target along each dim as its file has it; nothing for a contiguous one."""
    encoding = cube["ssm"].encoding
    lengths = encoding.get("chunks") or encoding.get("chunksizes") or ()
    return dict(zip(map(str, cube["ssm"].dims), map(int, lengths), strict=False))


def in_order(cube: xr.Dataset) -> xr.Dataset:
    """The cube with its variables by name: a zarr folder lists them in any order, and the features follow it."""
    return cube[sorted(map(str, cube.data_vars))]


@dataclass(frozen=True)
class Days:
    """Which days of a cube are filled: those from number `start` on; the model looks back as far as number `begin`.

    It was learned from the first `learned` days, or from all of them (None).
    """

    begin: int = 0
    start: int = 0
    learned: int | None = None


ALL_DAYS = Days()


@dataclass(frozen=True)
class Blocks:
    """A cube on disk, cut into blocks; `block_bytes` is what a block, or features of a piece of it, may take.

    `start` and `learned` are those of `Days`, as numbers of days of this cube.
    """

    cube: xr.Dataset
    grid: Grid
    block_bytes: int
    start: int = 0
    learned: int | None = None

    @property
    def to_fill(self) -> slice:
        """The days that are to be filled."""
        return slice(self.start, None)

    def known(self, pixels: xr.Dataset) -> NDArray[np.bool_] | None:
        """Observations (time, pixel) that the model learned from; None for all."""
        if self.learned is None:
            return None
        known: NDArray[np.bool_] = np.isfinite(pixels["ssm"].values)
        known[self.learned :] = False
        return known

    def load(self, index: int, names: Sequence[str] | None = None) -> xr.Dataset:
        """Block `index` in (time, pixel) form, in memory; all variables or some."""
        chosen = self.cube if names is None else self.cube[list(names)]
        return to_pixels(chosen.isel(self.grid.region(index)).load())

    def load_pixels(self, numbers: Index) -> xr.Dataset:
        """Pixels by their numbers, sorted, in (time, pixel) form and in memory; of a block only what they span."""
        at = np.stack(np.unravel_index(numbers, self.grid.sizes))
        block = self.grid.block_of(at)
        parts, order = [], []
        for index in np.unique(block):
            own = at[:, block == index]
            low, high = own.min(axis=1), own.max(axis=1) + 1
            region = {d: slice(int(a), int(b)) for d, a, b in zip(self.grid.dims, low, high, strict=True)}
            place = np.ravel_multi_index(tuple(own - low[:, None]), tuple(high - low))
            parts.append(to_pixels(self.cube.isel(region).load()).isel(pixel=place))
            order.append(numbers[block == index])
        together = xr.concat(parts, "pixel", data_vars="minimal", coords="minimal", compat="override", join="override")
        return together.isel(pixel=np.argsort(np.concatenate(order)))

    def pieces(self, pixels: xr.Dataset, columns: int) -> Iterator[slice]:
        """Slices of pixels whose features, `columns` a pixel-day, take no more than a block may."""
        step = max(1, self.block_bytes // (4 * max(1, columns) * pixels.sizes["time"]))
        for start in range(0, pixels.sizes["pixel"], step):
            yield slice(start, start + step)
