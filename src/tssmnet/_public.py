"""The version, and the public calls with the module each lives in; resolved on first use."""

from __future__ import annotations

__version__ = "0.2.0"

PUBLIC = {
    "check_cube": "cube",
    "open_cube": "cube",
    "write_cube": "cube",
    "temporal_descriptors": "features.descriptors",
    "score": "metrics.scores",
    "reconstruct": "reconstruction.memory",
    "members": "reconstruction.members",
}
