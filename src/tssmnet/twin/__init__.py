"""The synthetic twin: a made-up world over China whose soil moisture is known everywhere and always.

Terrain, soil and plants, daily weather and a soil water balance make the truth; simulated instruments with their errors
and gaps make the data. Nothing is downloaded and everything follows from a seed. All it gives is labelled synthetic.
"""

from tssmnet.twin.world import Twin, twin_cube, twin_world

__all__ = ["Twin", "twin_cube", "twin_world"]
