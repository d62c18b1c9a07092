"""Random fields as sums of plane waves: the same field at any cell size, and stationary in time by an AR(1) step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A periodic box larger than the map, so that no field meets its own copy.
BOX = (9.2e6, 6.2e6)
Complex = NDArray[np.complex64]


@dataclass(frozen=True)
class Waves:
    """Waves of a periodic box with a spectrum that peaks at one length.

    The field at (y, x) is Re(sum_jk a_jk exp(i (l_j y + k_k x))): two small matrix products, whatever the map's size.
    """

    east: Complex  # (nx, k)
    north: Complex  # (ny, l)
    kx: NDArray  # rad m-1
    ky: NDArray
    amplitude: NDArray[np.float32]  # (l, k), makes unit variance

    def draw(self, rng: np.random.Generator) -> NDArray:
        """Coefficients of a new field with mean 0 and variance 1."""
        parts = rng.standard_normal((2, *self.amplitude.shape), np.float32)
        return self.amplitude * (parts[0] + 1j * parts[1]).astype(np.complex64)

    def field(self, coefficients: Complex) -> NDArray:
        """The field on the map, shape (ny, nx)."""
        return (self.north @ coefficients @ self.east.T).real

    def step(
        self, coefficients: Complex, rng: np.random.Generator, memory: float, wind: tuple[float, float]
    ) -> Complex:
        """One step later: waves carried by `wind` (metres a step), correlation `memory` kept, the rest drawn anew."""
        phase = np.exp(-1j * (self.ky[:, None] * wind[1] + self.kx[None, :] * wind[0])).astype(np.complex64)
        fresh = np.float32(np.sqrt(1 - memory**2)) * self.draw(rng)
        return np.complex64(memory) * phase * coefficients + fresh


def make_waves(x: NDArray, y: NDArray, peak_km: float, shortest_km: float, slope: float = 3.0) -> Waves:
    """Waves for the cell centres `x`, `y` (metres).

    Power is level down to the wavelength `peak_km`, then falls as wavenumber ** -`slope` to `shortest_km`.
    """
    nx, ny = (max(1, round(length / (shortest_km * 1e3))) for length in BOX)
    kx = 2 * np.pi / BOX[0] * np.arange(0, nx + 1)
    ky = 2 * np.pi / BOX[1] * np.arange(-ny, ny + 1)
    k = np.hypot(ky[:, None], kx[None, :])
    power = (1 + (k * peak_km * 1e3 / (2 * np.pi)) ** 2) ** (-(slope + 1) / 2)
    power[k > 2 * np.pi / (shortest_km * 1e3)] = 0
    power[k == 0] = 0
    amplitude = np.sqrt(power / power.sum()).astype(np.float32)
    return Waves(
        np.exp(1j * np.outer(x, kx)).astype(np.complex64),
        np.exp(1j * np.outer(y, ky)).astype(np.complex64),
        kx,
        ky,
        amplitude,
    )
