"""The twin's land: analytic relief, climate normals, soil and land cover with China's large structure.

Everything here is hand-made: shapes and anchor values of roughly the right size at roughly the right place. It is a
stage for a synthetic world, not a map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tssmnet.data.processing import aggregate_mean, aspect_components, horn_gradient, slope_degrees
from tssmnet.twin.grid import Grid, inside_outline, polyline_distance, refined, signed_distance
from tssmnet.twin.waves import make_waves

Array = NDArray[np.float64]

# Level areas: name -> (height m, edge width km, ring). Later ones overlay earlier ones, so basins cut into plateaus.
AREAS: dict[str, tuple[float, float, tuple[tuple[float, float], ...]]] = {
    "western lowlands": (900, 120, ((73, 36), (73, 47), (86, 50), (98, 43.5), (98, 39), (90, 36))),
    "Alxa and Hexi": (1350, 90, ((93, 42.5), (106, 42.5), (106, 38.5), (100, 38.6), (94, 40))),
    "Inner Mongolia and Loess": (
        1250, 100,
        ((100, 42.5), (105, 42.5), (112, 43), (116.5, 44.5), (118, 42), (114.5, 40.5), (112.8, 37), (110.5, 34.8),
         (106, 34.3), (103, 36.5), (100, 39.5)),
    ),
    "Hulunbuir": (680, 70, ((116, 46), (116, 49.5), (120, 50), (119.5, 46))),
    "Yunnan and Guizhou": (
        1700, 110, ((98.2, 27.5), (104, 27.8), (108.5, 28.3), (109, 26), (106.5, 24.3), (102, 22.5), (99, 23)),
    ),
    "Tibetan Plateau": (
        4700, 65,
        ((74.3, 37.2), (76, 38.6), (78, 36.7), (84, 36.4), (90, 37.9), (95, 39), (100, 38.6), (102.5, 36.5),
         (103.7, 34.3), (103.3, 32), (102.5, 30), (101, 28), (98, 27.2), (95, 28.7), (88, 27.6), (82, 29.6),
         (78, 32.3), (75, 35.3)),
    ),
    "Qaidam": (2800, 60, ((91, 38), (95, 37.8), (98, 36.6), (96, 36.3), (92, 37))),
    "Tarim": (
        1050, 45,
        ((75.6, 38.4), (76.3, 39.8), (80, 40.9), (86, 41.7), (90.5, 40.7), (94, 40.4), (92, 39.4), (86, 37.7),
         (80, 37.3)),
    ),
    "Junggar": (480, 60, ((82.3, 45.3), (85, 46.6), (89, 46.6), (91, 45), (88, 44.3), (84, 44.5))),
    "Turpan": (0, 40, ((88.3, 42.8), (89.8, 42.9), (90.2, 42.5), (88.8, 42.4))),
    "Sichuan": (420, 50, ((103.8, 30.3), (105, 32), (107.5, 31.3), (107.8, 30), (106.5, 28.8), (104.3, 28.8))),
    "North China Plain": (
        40, 55,
        ((114.2, 35), (115.3, 38.5), (117, 40), (119.5, 39.3), (118, 37), (118, 35.3), (120.5, 33), (121, 31),
         (117, 31),
         (114.5, 33)),
    ),
    "Northeast Plain": (160, 75, ((122, 41), (122, 46.5), (125, 48), (127, 46), (125, 43), (123.5, 41))),
    "Sanjiang": (60, 50, ((130.5, 46.5), (130.5, 48), (134, 48), (133, 46))),
    "Middle Yangtze": (40, 55, ((111.8, 29), (112, 30.6), (114.5, 30.8), (116.5, 29.5), (115.5, 28.3))),
}  # fmt: skip

# Ranges: name -> (crest m, half width km, line).
RANGES: dict[str, tuple[float, float, tuple[tuple[float, float], ...]]] = {
    "Tian Shan": (3600, 75, ((75, 41), (80, 42.1), (85, 43.3), (89, 43.6), (94, 43.2))),
    "Altai": (2400, 65, ((86.5, 48.8), (89, 47.6), (92, 45.8))),
    "Kunlun": (5400, 60, ((76, 37), (80, 35.8), (86, 36), (92, 35.6), (99, 34.5))),
    "Himalaya": (5600, 60, ((78.5, 31.8), (83, 29.4), (88, 28.1), (94, 28.6))),
    "Qilian": (4200, 55, ((94.5, 39), (98.5, 38.8), (102, 37.4))),
    "Hengduan": (4300, 120, ((99, 27.6), (100, 29.5), (101.8, 31.8))),
    "Helan and Yin": (1900, 40, ((105.9, 38.6), (106.5, 40.6), (110.5, 41), (114, 41))),
    "Qinling": (2200, 55, ((104, 33.9), (108, 33.8), (111.5, 33.6))),
    "Daba": (1800, 60, ((107, 32.1), (110.3, 31.6))),
    "Taihang": (1400, 50, ((113.2, 35.8), (113.8, 38), (115.5, 40.3))),
    "Greater Khingan": (1150, 95, ((117.5, 43.2), (120.2, 46), (121.5, 49), (123, 52.5))),
    "Lesser Khingan": (620, 80, ((126.3, 49.6), (129.3, 47.8))),
    "Changbai": (950, 110, ((124.5, 40.9), (128, 42.3), (130.3, 44.6))),
    "Shandong": (450, 60, ((117.3, 36.2), (120.5, 37.1))),
    "Wuyi": (950, 90, ((115.8, 25), (118.5, 28), (119.5, 29))),
    "Nanling": (900, 80, ((110, 25.4), (112.8, 25.1), (115.5, 24.7))),
    "Xuefeng": (900, 80, ((109.8, 26), (111, 28.4))),
    "Dabie": (700, 50, ((114, 31.6), (116.2, 31))),
    "Taiwan": (2400, 30, ((120.8, 22.7), (121.4, 24.6))),
    "Wuzhi": (800, 35, ((109.6, 18.9),)),
}

# Anchors: lon, lat, precipitation mm a-1, concentration and peak day of the wet season (von Mises), sand %, clay %,
# organic carbon g kg-1. Rough normals of the region around, smoothed by a kernel.
ANCHORS = np.array([
    (110.0, 19.2, 1800, 1.0, 235, 50, 25, 14), (113.3, 23.2, 1750, 1.1, 180, 38, 32, 15),
    (108.4, 23.0, 1350, 1.2, 190, 35, 36, 16), (118.5, 25.5, 1600, 0.9, 165, 40, 30, 18),
    (121.0, 23.8, 2300, 0.9, 200, 38, 30, 20), (115.0, 27.5, 1650, 0.8, 150, 33, 34, 16),
    (111.5, 27.0, 1400, 0.8, 155, 30, 36, 16), (120.3, 29.5, 1450, 0.7, 170, 33, 30, 15),
    (116.0, 31.0, 1200, 0.9, 180, 30, 30, 13), (112.5, 30.2, 1150, 0.9, 180, 26, 32, 14),
    (119.8, 32.8, 1000, 1.2, 190, 28, 28, 12), (107.0, 26.8, 1150, 1.1, 180, 26, 38, 22),
    (101.8, 24.5, 1050, 1.6, 205, 32, 38, 22), (105.2, 30.4, 1020, 1.4, 200, 30, 30, 12),
    (108.2, 32.3, 950, 1.3, 205, 36, 24, 16), (113.8, 33.8, 800, 1.5, 198, 34, 26, 10),
    (116.8, 36.6, 640, 1.8, 203, 38, 22, 9), (115.5, 38.8, 540, 2.1, 203, 42, 20, 9),
    (108.8, 34.8, 590, 1.3, 210, 28, 24, 9), (109.5, 37.0, 460, 1.7, 210, 32, 18, 6),
    (104.5, 36.0, 350, 1.5, 212, 30, 20, 9), (112.5, 39.3, 420, 1.8, 208, 46, 18, 9),
    (108.0, 39.2, 240, 1.7, 213, 74, 9, 4), (116.0, 42.0, 370, 1.8, 205, 58, 16, 16),
    (115.6, 44.0, 270, 1.8, 203, 64, 14, 14), (111.0, 42.5, 180, 1.8, 207, 66, 13, 8),
    (119.5, 48.8, 330, 1.8, 203, 52, 20, 26), (122.0, 51.5, 480, 1.7, 203, 44, 24, 42),
    (127.5, 48.8, 560, 1.7, 203, 30, 34, 38), (125.0, 44.5, 520, 1.8, 202, 34, 30, 22),
    (128.3, 43.0, 720, 1.5, 205, 38, 26, 34), (132.3, 47.2, 560, 1.4, 208, 26, 36, 36),
    (123.0, 41.6, 640, 1.7, 205, 42, 22, 14), (119.5, 41.8, 440, 1.9, 203, 52, 18, 10),
    (102.5, 39.0, 130, 1.3, 213, 72, 10, 4), (98.5, 41.5, 55, 1.0, 205, 74, 9, 2),
    (94.5, 40.5, 45, 0.9, 195, 74, 9, 2), (88.5, 42.7, 40, 0.7, 190, 66, 11, 3),
    (83.0, 39.5, 45, 0.8, 185, 86, 5, 1.5), (77.0, 39.0, 75, 0.6, 170, 62, 13, 4),
    (88.0, 45.3, 150, 0.3, 170, 64, 13, 5), (84.5, 43.6, 380, 0.7, 175, 40, 20, 26),
    (88.5, 47.8, 260, 0.3, 180, 50, 16, 14), (95.0, 37.0, 60, 1.5, 190, 66, 12, 4),
    (98.5, 37.8, 330, 2.0, 205, 44, 18, 26), (100.5, 34.8, 540, 1.9, 203, 36, 20, 40),
    (102.2, 33.8, 620, 1.7, 203, 34, 22, 55), (97.0, 32.5, 520, 2.1, 205, 42, 18, 34),
    (92.0, 31.5, 440, 2.4, 208, 54, 14, 24), (91.0, 29.6, 420, 2.8, 212, 56, 14, 14),
    (95.5, 29.5, 900, 1.4, 205, 46, 18, 30), (86.5, 31.5, 190, 2.4, 212, 64, 11, 9),
    (80.2, 32.6, 80, 1.8, 218, 70, 9, 5), (88.0, 35.0, 180, 2.2, 207, 66, 10, 7),
    (82.0, 35.5, 60, 1.5, 205, 72, 8, 4),
])  # fmt: skip

ANCHOR_COLUMNS = ("precipitation", "concentration", "peak", "sand", "clay", "organic_carbon")

# Lakes: name -> (lon, lat, radius km).
LAKES = {
    "Qinghai": (100.2, 36.9, 36), "Poyang": (116.3, 29.1, 32), "Dongting": (112.8, 29.1, 26), "Tai": (120.2, 31.2, 27),
    "Hulun": (117.4, 48.95, 26), "Nam": (90.6, 30.7, 25), "Siling": (89.0, 31.8, 26), "Bosten": (87.0, 42.0, 17),
    "Hongze": (118.6, 33.3, 22), "Khanka": (132.4, 45.1, 30), "Tangra": (86.6, 31.1, 16), "Zhari": (85.6, 30.9, 18),
}  # fmt: skip

# MODIS land cover, IGBP legend.
IGBP = {
    1: "evergreen needleleaf forest", 2: "evergreen broadleaf forest", 3: "deciduous needleleaf forest",
    4: "deciduous broadleaf forest", 5: "mixed forest", 6: "closed shrubland", 7: "open shrubland", 8: "woody savanna",
    9: "savanna", 10: "grassland", 11: "permanent wetland", 12: "cropland", 13: "urban", 14: "cropland mosaic",
    15: "snow and ice", 16: "barren", 17: "water",
}  # fmt: skip

# Largest green cover fraction a class can reach, and its evergreen share.
COVER = {
    1: (0.85, 0.80), 2: (0.92, 0.85), 3: (0.80, 0.20), 4: (0.88, 0.15), 5: (0.88, 0.40), 6: (0.55, 0.20),
    7: (0.28, 0.15), 8: (0.75, 0.35), 9: (0.62, 0.25), 10: (0.58, 0.05), 11: (0.70, 0.15), 12: (0.82, 0.08),
    13: (0.35, 0.15), 14: (0.78, 0.20), 15: (0.02, 0.0), 16: (0.06, 0.0), 17: (0.05, 0.0),
}  # fmt: skip

TEXTURE = (
    "sand", "loamy sand", "sandy loam", "loam", "silt loam", "silt", "sandy clay loam", "clay loam", "silty clay loam",
    "sandy clay", "silty clay", "clay",
)  # fmt: skip

SOIL = ("Arenosols", "Calcisols", "Kastanozems", "Chernozems", "Luvisols", "Acrisols", "Cambisols", "Leptosols",
        "Cryosols", "Gleysols")  # fmt: skip


@dataclass(frozen=True)
class Land:
    """Static fields of the land cells, each of shape (pixel,).

    Heights in m, slope and aspect in degrees (aspect as its sine and cosine), sand, silt and clay in %, organic carbon
    in g kg-1, bulk density in g cm-3, annual precipitation in mm, peak in days of the year, water as a fraction.
    """

    dem: Array
    slope: Array
    aspect_sin: Array
    aspect_cos: Array
    precipitation: Array
    concentration: Array
    peak: Array
    sand: Array
    silt: Array
    clay: Array
    organic_carbon: Array
    bulk_density: Array
    water_fraction: Array
    texture: NDArray[np.int8]
    soil_class: NDArray[np.int8]
    landcover: NDArray[np.int8]


def make_land(grid: Grid, seed: int = 0, refine: int | None = None) -> Land:
    """Static fields on `grid`: relief made `refine` times finer and aggregated, the rest at the cell centres.

    By default relief is made at 4.5 to 9 km, finer than its shortest wave of 45 km needs.
    """
    refine = refine or (2 if grid.cell < 30e3 else 4)
    lon, lat = grid.points
    relief = {name: grid.pack(field) for name, field in _relief(grid, seed, refine).items()}
    climate = _climate(grid, lon, lat, relief["dem"], seed)
    soil = _soil(climate, relief["dem"])
    water = _water_fraction(grid, lon, lat)
    # Ragged borders between classes: the place is shaken by a smooth field of a degree.
    waves = make_waves(grid.x, grid.y, peak_km=200, shortest_km=72)
    shake = grid.pack(waves.field(waves.draw(np.random.default_rng([seed, 3]))))
    cover = classify_landcover(climate["precipitation"], relief["dem"], lon + shake, lat + shake, water)
    height, rain = relief["dem"], climate["precipitation"]
    soil_class = classify_soil(rain, height, relief["slope"], soil["sand"], lat + shake, lon + shake, cover)
    normals = {name: climate[name] for name in ("precipitation", "concentration", "peak")}
    classes = {"texture": texture_class(soil["sand"], soil["clay"]), "soil_class": soil_class, "landcover": cover}
    return Land(**relief, **normals, **soil, water_fraction=water, **classes)  # type: ignore[arg-type]


def elevation(lon: Array, lat: Array) -> Array:
    """Smooth relief in metres at broadcastable lon, lat: areas laid over each other, then ranges lifted."""
    lon, lat = np.broadcast_arrays(lon, lat)
    height = np.full(lon.shape, 130.0)
    for level, width, ring in AREAS.values():
        weight = 1 / (1 + np.exp(-np.clip(signed_distance(lon, lat, ring) / (0.5 * width), -30, 30)))
        height = height + weight * (level - height)
    for crest, width, line in RANGES.values():
        weight = np.exp(-((polyline_distance(lon, lat, line) / width) ** 2))
        height = height + weight * np.maximum(crest - height, 0)
    return height


def texture_class(sand: NDArray, clay: NDArray) -> NDArray[np.int8]:
    """USDA texture class (index into `TEXTURE`) from sand and clay in %."""
    silt = 100 - sand - clay
    rules = [
        silt + 1.5 * clay < 15,
        silt + 2 * clay < 30,
        ((clay >= 7) & (clay < 20) & (sand > 52)) | ((clay < 7) & (silt < 50)),
        (clay >= 7) & (clay < 27) & (silt >= 28) & (silt < 50) & (sand <= 52),
        (silt >= 50) & (clay < 27) & ~((silt >= 80) & (clay < 12)),
        (silt >= 80) & (clay < 12),
        (clay >= 20) & (clay < 35) & (silt < 28) & (sand > 45),
        (clay >= 27) & (clay < 40) & (sand > 20) & (sand <= 45),
        (clay >= 27) & (clay < 40) & (sand <= 20),
        (clay >= 35) & (sand > 45),
        (clay >= 40) & (silt >= 40),
    ]
    return np.select(rules, range(len(rules)), len(TEXTURE) - 1).astype(np.int8)


def classify_landcover(rain: Array, dem: Array, lon: Array, lat: Array, water: Array) -> NDArray[np.int8]:
    """IGBP class from annual rain (mm), height (m), place and water fraction: the first rule that holds."""
    northeast = (lat > 41) & (lon > 118)
    rules = [
        (water > 0.5, 17),
        (dem > 5450, 15),
        (rain < 130, 16),
        (rain < 210, 7),
        (dem > 3300, 10),
        (rain < 380, 10),
        (northeast & (dem < 330), 12),
        ((lat > 50.5) & northeast, 3),
        (northeast & (dem > 650), 5),
        (northeast, 4),
        ((dem < 180) & (lat > 24.5), 12),
        ((dem > 380) & (dem < 520) & (lon < 108) & (lat > 28.5), 12),
        ((rain < 620) & (dem > 1500), 9),
        (rain < 620, 14),
        ((lat < 24.3) & (dem > 120), 2),
        ((rain > 900) & (dem > 450), 5),
        ((rain > 900) & (dem > 260), 8),
        (dem > 1100, 4),
    ]
    return np.select([r for r, _ in rules], [c for _, c in rules], 14).astype(np.int8)


def classify_soil(
    rain: Array, dem: Array, slope: Array, sand: Array, lat: Array, lon: Array, cover: NDArray
) -> NDArray[np.int8]:
    """Soil group (index into `SOIL`): a coarse rule of climate, height and texture."""
    rules = [
        (cover == 11, 9),
        (dem > 4300, 8),
        (sand > 70, 0),
        (rain < 260, 1),
        (slope > 2.0, 7),
        ((lat > 43) & (lon > 122) & (dem < 400), 3),
        (rain < 430, 2),
        ((lat < 30) & (rain > 1050), 5),
        ((lat > 40) | (rain < 750), 4),
    ]
    return np.select([r for r, _ in rules], [c for _, c in rules], 6).astype(np.int8)


def _relief(grid: Grid, seed: int, refine: int) -> dict[str, Array]:
    x, y, lon, lat = refined(grid, refine)
    fine = elevation(lon[None, :], lat[:, None])
    waves = make_waves(x, y, peak_km=160, shortest_km=45, slope=2.0)
    rough = waves.field(waves.draw(np.random.default_rng([seed, 1])))
    fine = fine + np.minimum(15 + 0.11 * np.abs(fine), 330) * rough
    east, north = horn_gradient(fine, grid.cell / refine)
    sin, cos = aspect_components(east, north)
    fields: dict[str, NDArray] = {
        "dem": fine,
        "slope": slope_degrees(east, north),
        "aspect_sin": sin,
        "aspect_cos": cos,
    }
    return {name: np.asarray(aggregate_mean(field, refine), float) for name, field in fields.items()}


def _kernel(lon: Array, lat: Array, width_km: float = 170.0) -> NDArray[np.float64]:
    """Weights (pixel, anchor) of a Gaussian kernel, rows summing to one."""
    east = (lon[:, None] - ANCHORS[:, 0]) * np.cos(np.deg2rad(lat))[:, None]
    d2 = (east**2 + (lat[:, None] - ANCHORS[:, 1]) ** 2) * 111.2**2
    log = -0.5 * d2 / width_km**2
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    return weight / weight.sum(axis=1, keepdims=True)


def _climate(grid: Grid, lon: Array, lat: Array, dem: Array, seed: int) -> dict[str, Array]:
    weight = _kernel(lon, lat)
    values = {name: weight @ ANCHORS[:, 2 + i] for i, name in enumerate(ANCHOR_COLUMNS)}
    values["precipitation"] = np.exp(weight @ np.log(ANCHORS[:, 2]))
    # Dry ranges stand out of dry basins as islands of rain, up to the snow line.
    lift = np.clip(dem - 1800, 0, 2200) * (dem < 4300) * np.clip(1 - values["precipitation"] / 400, 0, 1)
    values["precipitation"] = values["precipitation"] * (1 + lift / 700)
    waves = make_waves(grid.x, grid.y, peak_km=250, shortest_km=72)
    rng = np.random.default_rng([seed, 2])
    for name, spread in (("precipitation", 0.10), ("sand", 0.16), ("clay", 0.16), ("organic_carbon", 0.20)):
        values[name] = values[name] * np.exp(spread * grid.pack(waves.field(waves.draw(rng))))
    return values


def _soil(climate: dict[str, Array], dem: Array) -> dict[str, Array]:
    sand = np.clip(climate["sand"], 5, 92)
    clay = np.clip(climate["clay"], 3, 60)
    total = np.maximum(sand + clay, 1)
    over = np.maximum(total / 97, 1)
    sand, clay = sand / over, clay / over
    carbon = np.clip(climate["organic_carbon"] * (1 + 0.08 * np.clip(dem - 2500, 0, 2000) / 1000), 0.5, 90)
    # Organic soils are light: an exponential of organic matter, as in common pedotransfer rules.
    bulk = np.clip(1.62 - 0.0035 * clay - 0.0085 * carbon, 0.75, 1.70)
    return {"sand": sand, "clay": clay, "silt": 100 - sand - clay, "organic_carbon": carbon, "bulk_density": bulk}


def _water_fraction(grid: Grid, lon: Array, lat: Array) -> Array:
    """Share of open water: lakes as discs, and the coast where a cell straddles the outline."""
    half = grid.cell / 2e3
    fraction = np.zeros(lon.shape)
    for lake_lon, lake_lat, radius in LAKES.values():
        away = polyline_distance(lon, lat, ((lake_lon, lake_lat),))
        cover = np.clip((radius + half - away) / (2 * half), 0, 1) * min(1.0, (radius / half) ** 2 * np.pi / 4)
        fraction = np.maximum(fraction, cover)
    sea = _sea_share(grid)
    return np.clip(np.maximum(fraction, sea), 0, 1)


def _sea_share(grid: Grid) -> Array:
    """Share of a cell's finer points outside the outline where that is sea (east of 108 E, south of 41 N)."""
    _, _, lon, lat = refined(grid, 3)
    seaward = (lon[None, :] > 108.0) & (lat[:, None] < 41.0)
    outside = seaward & ~inside_outline(*np.meshgrid(lon, lat))
    return grid.pack(aggregate_mean(outside.astype(float), 3))
