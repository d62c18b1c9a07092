"""Gap-free satellite soil moisture with honest error bars."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tssmnet.cube import check_cube, open_cube, write_cube
    from tssmnet.descriptors import temporal_descriptors
    from tssmnet.metrics import score
    from tssmnet.reconstruct import reconstruct

# The public calls and the module each lives in; resolved on first use so that `import tssmnet` stays instant.
_PUBLIC = {
    "check_cube": "cube",
    "open_cube": "cube",
    "write_cube": "cube",
    "temporal_descriptors": "descriptors",
    "score": "metrics",
    "reconstruct": "reconstruct",
}
__all__ = ["check_cube", "open_cube", "reconstruct", "score", "temporal_descriptors", "write_cube"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _PUBLIC:
        return getattr(import_module(f"tssmnet.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'tssmnet' has no attribute {name!r}")


class _Package(ModuleType):
    """Importing the submodule ``tssmnet.reconstruct`` would put the module in the place of the call of that name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
