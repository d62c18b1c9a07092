"""Soil layers and terrain: genuine rasters against plain block means, made-up hills against geometry."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from tssmnet.data.readers import rasters
from tssmnet.data.readers.faults import OffWindowError, TruncatedFileError, WrongGridError
from tssmnet.data.readers.grids import ease_geobox, ease_position, ease_window
from tssmnet.errors import UnknownNameError

SECOND = 1 / 3600


@pytest.fixture
def dem(genuine):
    return genuine("rome-dem")["rasters/Rome-30m-DEM.tif"]


@pytest.fixture
def cropland(genuine):
    return next(iter(genuine("openlandmap-cropland").values()))


def write(path, values, transform, crs="EPSG:4326", nodata=None):
    profile = {"driver": "GTiff", "height": values.shape[0], "width": values.shape[1], "count": 1}
    with rasterio.open(path, "w", dtype=values.dtype.name, crs=crs, transform=transform, nodata=nodata, **profile) as f:
        f.write(values, 1)
    return path


def coarser(transform, shape, factor, crs="EPSG:4326"):
    return GeoBox((shape[0] // factor, shape[1] // factor), transform @ Affine.scale(factor), crs)


def blocks(values, factor):
    ny, nx = values.shape[0] // factor, values.shape[1] // factor
    return values[: ny * factor, : nx * factor].reshape(ny, factor, nx, factor).swapaxes(1, 2).reshape(ny, nx, -1)


@pytest.mark.mirror
def test_the_genuine_elevation_model_is_averaged_to_the_block_mean(dem):
    with rasterio.open(dem) as f:
        values, transform = f.read(1), f.transform
    grid = coarser(transform, values.shape, 40)
    terrain = rasters.read_terrain([dem], grid)
    np.testing.assert_allclose(terrain.elevation.values, blocks(values.astype(float), 40).mean(-1), rtol=1e-5)
    assert terrain.elevation.attrs["units"] == "m"


@pytest.mark.mirror
def test_slope_and_aspect_of_the_genuine_model_agree_with_a_pixel_by_pixel_reckoning(dem):
    with rasterio.open(dem) as f:
        z, transform = f.read(1).astype(float), f.transform
    grid = coarser(transform, z.shape, 36)
    terrain = rasters.read_terrain([dem], grid)
    north_step = np.pi / 180 * 6378137 * SECOND
    for block in ((2, 3), (5, 7)):
        slopes, sines, cosines = [], [], []
        for r in range(block[0] * 36, block[0] * 36 + 36):
            east_step = north_step * np.cos(np.deg2rad(transform.f + (r + 0.5) * transform.e))
            for c in range(block[1] * 36, block[1] * 36 + 36):
                n = z[r - 1 : r + 2, c - 1 : c + 2]
                east = ((n[0, 2] + 2 * n[1, 2] + n[2, 2]) - (n[0, 0] + 2 * n[1, 0] + n[2, 0])) / (8 * east_step)
                north = ((n[0, 0] + 2 * n[0, 1] + n[0, 2]) - (n[2, 0] + 2 * n[2, 1] + n[2, 2])) / (8 * north_step)
                steep = np.hypot(east, north)
                slopes.append(np.rad2deg(np.arctan(steep)))
                sines.append(-east / steep if steep else 0)
                cosines.append(-north / steep if steep else 0)
        here = terrain.isel(y=block[0], x=block[1])
        np.testing.assert_allclose(here.slope.item(), np.mean(slopes), rtol=1e-4)
        np.testing.assert_allclose(here.aspect_sin.item(), np.mean(sines), atol=1e-4)
        np.testing.assert_allclose(here.aspect_cos.item(), np.mean(cosines), atol=1e-4)


@pytest.mark.mirror
def test_the_genuine_model_cut_into_tiles_gives_the_same_means(dem, tmp_path):
    with rasterio.open(dem) as f:
        z, transform = f.read(1), f.transform
    parts = []
    for i in range(2):
        for j in range(2):
            part = transform @ Affine.translation(180 * j, 180 * i)
            tile = np.ascontiguousarray(z[180 * i : 180 * i + 180, 180 * j : 180 * j + 180])
            parts.append(write(tmp_path / f"t{i}{j}.tif", tile, part))
    grid = coarser(transform, z.shape, 120)
    whole, joined = rasters.read_terrain([dem], grid), rasters.read_terrain(parts, grid)
    np.testing.assert_allclose(joined.elevation, whole.elevation, rtol=1e-5)
    np.testing.assert_allclose(joined.slope, whole.slope, rtol=0.02)


def test_a_hillside_that_faces_east_has_its_slope_and_aspect(tmp_path):
    lat, lon = 40 - (np.arange(400) + 0.5) * SECOND, 100 + (np.arange(400) + 0.5) * SECOND
    east = (lon - 100) * np.cos(np.deg2rad(lat))[:, None] * 111_319.490793
    z = (3000 - 0.2 * east).astype("f4")
    path = write(tmp_path / "hill.tif", z, rasterio.transform.from_origin(100, 40, SECOND, SECOND))
    grid = GeoBox((4, 4), Affine(0.02, 0, 100.01, 0, -0.02, 39.99), "EPSG:4326")
    terrain = rasters.read_terrain([path], grid)
    np.testing.assert_allclose(terrain.slope, np.rad2deg(np.arctan(0.2)), rtol=2e-3)
    np.testing.assert_allclose(terrain.aspect_sin, 1, atol=1e-3)
    np.testing.assert_allclose(terrain.aspect_cos, 0, atol=0.01)


def test_missing_pixels_count_neither_for_elevation_nor_for_slope(tmp_path):
    z = np.full((200, 200), 500, "i2")
    z[:, :110] = -32768
    path = write(tmp_path / "z.tif", z, rasterio.transform.from_origin(100, 40, SECOND, SECOND), nodata=-32768)
    grid = GeoBox((2, 2), Affine(100 * SECOND, 0, 100, 0, -100 * SECOND, 40), "EPSG:4326")
    terrain = rasters.read_terrain([path], grid)
    assert np.isnan(terrain.elevation.values[:, 0]).all()
    np.testing.assert_allclose(terrain.elevation.values[:, 1], 500)
    np.testing.assert_allclose(terrain.slope.values[:, 1], 0)


@pytest.mark.mirror
def test_the_genuine_openlandmap_layer_is_averaged_block_by_block_without_its_nodata(cropland):
    with rasterio.open(cropland) as f:
        values, transform = f.read(1), f.transform
    top, left = 420, 3200
    cut = transform @ Affine.translation(left, top)
    grid = coarser(cut, (200, 400), 10)
    expected = blocks(values[top : top + 200, left : left + 400].astype(float), 10)
    seen = expected != 255
    mean = np.where(seen, expected, 0).sum(-1) / np.maximum(seen.sum(-1), 1)
    for block in (rasters.BLOCK, 97):
        field = rasters.read_raster(cropland, grid, block=block)
        np.testing.assert_array_equal(np.isnan(field.values), ~seen.any(-1))
        np.testing.assert_allclose(field.values[seen.any(-1)], mean[seen.any(-1)], rtol=1e-4, atol=1e-4)
    assert 0 < np.nanmean(field.values) < 100


@pytest.mark.mirror
def test_the_layer_reaches_the_9_km_grid_of_china_with_plausible_cropland(cropland):
    grid = ease_geobox(36)[ease_window(cell_km=36)]
    field = rasters.read_raster(cropland, grid)
    plain = field.sel(y=4.4e6, x=115.5 / 180 * 17367530, method="nearest").item()
    tibet = field.sel(y=4.0e6, x=88.0 / 180 * 17367530, method="nearest").item()
    assert plain > 30
    assert tibet < 5


def test_soil_layers_come_in_their_real_units_and_classes_by_majority(tmp_path):
    rng = np.random.default_rng(0)
    transform = rasterio.transform.from_origin(100, 40, 1 / 480, 1 / 480)
    stored = rng.integers(10, 60, (96, 96)).astype("u1")
    stored[:12, :12] = 255
    path = write(tmp_path / "sol.tif", stored, transform, nodata=255)
    grid = coarser(transform, stored.shape, 12)
    mean = blocks(stored.astype(float), 12).mean(-1)
    for name, scale, units in (("clay", 1, "%"), ("bulk_density", 10, "kg m-3"), ("organic_carbon", 5, "g kg-1")):
        field = rasters.read_soil(path, name, grid)
        assert np.isnan(field.values[0, 0])
        np.testing.assert_allclose(field.values.ravel()[1:], scale * mean.ravel()[1:], rtol=1e-5)
        assert field.attrs["units"] == units
    classes = np.repeat(np.repeat(rng.integers(1, 13, (8, 8)), 12, 0), 12, 1).astype("u1")
    winner = classes[::12, ::12].copy()
    classes[0::2, 0::3] = 12
    path = write(tmp_path / "tex.tif", classes, transform, nodata=255)
    texture = rasters.read_soil(path, "texture_class", grid)
    np.testing.assert_array_equal(texture.values, winner)
    assert len(texture.attrs["flag_meanings"].split()) == len(texture.attrs["flag_values"]) == 12
    groups = rasters.read_soil(path, "soil_class", grid)
    assert set(groups.attrs["flag_values"]) == set(winner.ravel())
    with pytest.raises(UnknownNameError, match="did you mean 'clay'"):
        rasters.read_soil(path, "cley", grid)


def test_a_cell_cut_by_pixels_takes_them_by_area(tmp_path):
    """Cells of 1.5 pixels: each takes one pixel and half of the next."""
    values = np.arange(36, dtype="f4").reshape(6, 6)
    path = write(tmp_path / "v.tif", values, rasterio.transform.from_origin(100, 40, 1, 1))
    grid = GeoBox((4, 4), Affine(1.5, 0, 100, 0, -1.5, 40), "EPSG:4326")
    field = rasters.read_raster(path, grid)
    w = np.array([[1, 0.5, 0, 0, 0, 0], [0, 0.5, 1, 0, 0, 0], [0, 0, 0, 1, 0.5, 0], [0, 0, 0, 0, 0.5, 1]]) / 1.5
    np.testing.assert_allclose(field.values, w @ values @ w.T, rtol=1e-6)
    half = GeoBox((1, 2), Affine(2, 0, 105, 0, -2, 40), "EPSG:4326")
    assert np.isnan(rasters.read_raster(path, half).values).tolist() == [[False, True]]
    assert np.isnan(rasters.read_raster(path, half, min_cover=0.51).values).all()
    assert not np.isnan(rasters.read_raster(path, half, min_cover=0.5).values[0, 0])


def test_on_ease_grid_the_mean_is_weighted_by_true_area(tmp_path):
    """One cell of 36 km holds pixels of 1/480 degree: compared with a plain sum over pixel areas."""
    from pyproj import Transformer

    transform = rasterio.transform.from_origin(100, 36, 1 / 480, 1 / 480)
    values = np.random.default_rng(0).random((480, 480)).astype("f4")
    path = write(tmp_path / "v.tif", values, transform)
    row, column = (round(float(i)) for i in ease_position(35.5, 100.5, 36))
    grid = ease_geobox(36)[row : row + 1, column : column + 1]
    to_metres = Transformer.from_crs("EPSG:4326", "EPSG:6933", always_xy=True)
    edges = 36 - np.arange(481) / 480
    _, y = to_metres.transform(np.zeros(481), edges)
    x, _ = to_metres.transform(100 + np.arange(481) / 480, np.zeros(481))
    box = grid.boundingbox
    dy = np.clip(np.minimum(y[:-1], box.top) - np.maximum(y[1:], box.bottom), 0, None)
    dx = np.clip(np.minimum(x[1:], box.right) - np.maximum(x[:-1], box.left), 0, None)
    expected = (dy[:, None] * dx * values).sum() / (dy.sum() * dx.sum())
    np.testing.assert_allclose(rasters.read_raster(path, grid).values, [[expected]], rtol=1e-5)


def test_far_broken_and_projected_files_are_refused(tmp_path):
    transform = rasterio.transform.from_origin(10, 40, SECOND, SECOND)
    far = write(tmp_path / "far.tif", np.ones((50, 50), "f4"), transform)
    grid = ease_geobox(9)[ease_window((100.0, 34.0, 102.0, 36.0))]
    with pytest.raises(OffWindowError, match=r"far\.tif holds nothing"):
        rasters.read_raster(far, grid)
    with pytest.raises(OffWindowError, match="no elevation tile touches"):
        rasters.read_terrain([far], grid)
    utm = write(tmp_path / "utm.tif", np.ones((50, 50), "f4"), Affine(30, 0, 5e5, 0, -30, 4e6), "EPSG:32648")
    with pytest.raises(WrongGridError, match="not in degrees"):
        rasters.read_terrain([utm], grid)
    cut = tmp_path / "cut.tif"
    cut.write_bytes(far.read_bytes()[:60])
    with pytest.raises(TruncatedFileError, match=r"cut\.tif \(60 bytes\)"):
        rasters.read_raster(cut, grid)
