"""Gap-free satellite soil moisture with honest error bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tssmnet._public import PUBLIC, __version__

if TYPE_CHECKING:
    from tssmnet.cube import check_cube, open_cube, write_cube
    from tssmnet.features.descriptors import temporal_descriptors
    from tssmnet.metrics.scores import score
    from tssmnet.reconstruction.members import members
    from tssmnet.reconstruction.memory import reconstruct

__all__ = [
    "__version__", "check_cube", "members", "open_cube", "reconstruct", "score", "temporal_descriptors", "write_cube",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in PUBLIC:
        return getattr(import_module(f"tssmnet.{PUBLIC[name]}"), name)
    raise AttributeError(f"module 'tssmnet' has no attribute {name!r}")
