"""The project's own gap filler on small synthetic cubes."""

import json

import numpy as np
import pytest
import xarray as xr

from tssmnet.cli import main
from tssmnet.cube import SOURCE_FLAGS, write_dataset
from tssmnet.filler.config import FillerConfig
from tssmnet.filler.ensemble import block_days, block_folds
from tssmnet.filler.fill import answer, apply, first_values, learn
from tssmnet.filler.forward import Forward, prepare
from tssmnet.filler.lessons import draws
from tssmnet.filler.prior import SHIPPED
from tssmnet.gaps import simulate_gaps, swaths
from tssmnet.models import make_model
from tssmnet.reconstruction.fitted import choose, load
from tssmnet.reconstruction.fitted import learn as learn_to_fill
from tssmnet.reconstruction.memory import reconstruct
from tssmnet.testing import mock_cube

SMALL = {
    "folds": 2,
    "parts": 2,
    "networks": (),
    "strangers": (),
    "far": (),
    "epochs": 2,
    "hidden": 16,
    "few_events": 0,
    "forward": {"rounds": 40, "rate": 0.15, "depth": 5, "min_child": 5.0},
    "boosting": {"rounds": 40, "rate": 0.15, "depth": 4, "min_child": 5.0},
}


def _hide(cube, kind, seed=0):
    observed = np.isfinite(cube.ssm.values)
    hidden = simulate_gaps(observed, kind, seed)
    return cube.assign(ssm=cube.ssm.where(~hidden)), hidden


@pytest.fixture(scope="module")
def cube():
    return mock_cube(days=120, pixels=24, seed=3)


@pytest.fixture(scope="module")
def filled(cube):
    gappy, hidden = _hide(cube, "random")
    return reconstruct(gappy, model="filler", seed=1, **SMALL), gappy, hidden


def _rmse(a, b, where):
    return float(np.sqrt(np.mean((np.asarray(a)[where] - np.asarray(b)[where]) ** 2)))


def test_no_gap_is_left_and_observations_stay_as_they_are(filled):
    out, gappy, _ = filled
    assert int(out.ssm.isnull().sum()) == 0
    np.testing.assert_array_equal(out.ssm.where(gappy.ssm.notnull()), gappy.ssm)


def test_it_beats_a_straight_line_on_rain_driven_gaps(cube, filled):
    out, gappy, hidden = filled
    line = reconstruct(gappy, model="linear")
    assert _rmse(out.ssm, cube.ssm, hidden) < 0.8 * _rmse(line.ssm, cube.ssm, hidden)


def test_error_bars_are_positive_and_the_interval_holds_most_hidden_values(cube, filled):
    out, _, hidden = filled
    assert (out.ssm_std.values > 0).all()
    inside = (cube.ssm >= out.ssm_lower) & (cube.ssm <= out.ssm_upper)
    assert 0.75 < inside.values[hidden].mean() <= 1


def test_distances_say_how_far_the_nearest_observation_is(filled):
    out, gappy, _ = filled
    seen = gappy.ssm.notnull().values
    assert (out.days_to_observation.values[seen] == 0).all()
    assert (out.days_to_observation.values[~seen] >= 1).all()


def test_the_same_seed_gives_the_same_cube():
    gappy = mock_cube(days=60, pixels=10, seed=5)
    first, second = (reconstruct(gappy, model="filler", seed=4, **SMALL) for _ in range(2))
    xr.testing.assert_equal(first, second)


def test_hidden_pixels_blocks_and_the_future_are_served_by_the_same_call(cube):
    for kind in ("blocks", "pixels", "ahead"):
        gappy, hidden = _hide(cube, kind)
        out = reconstruct(gappy, model="filler", **SMALL)
        assert int(out.ssm.isnull().sum()) == 0
        assert _rmse(out.ssm, cube.ssm, hidden) < float(cube.ssm.std())


@pytest.mark.parametrize(
    "shape",
    [{"days": 31, "shape": (6, 7)}, {"days": 31, "pixels": 10}, {"days": 40, "pixels": 1}],
    ids=["a gridded month", "ten pixels", "one pixel"],
)
def test_small_cubes_with_one_predictor_are_filled_better_than_by_a_straight_line(shape):
    cube = mock_cube(**shape, predictors=("precipitation",), seed=2)
    observed = cube.ssm.notnull().values
    hidden = simulate_gaps(observed.reshape(len(observed), -1), "blocks", 0, lengths=(5, 10)).reshape(observed.shape)
    gappy = cube.assign(ssm=cube.ssm.where(~hidden))
    out, line = (reconstruct(gappy, model="filler", **SMALL), reconstruct(gappy, model="linear"))
    assert out.ssm.dims == gappy.ssm.dims
    assert int(out.ssm.isnull().sum()) == 0
    assert _rmse(out.ssm, cube.ssm, hidden) < 0.8 * _rmse(line.ssm, cube.ssm, hidden)
    inside = ((out.ssm_lower <= cube.ssm) & (cube.ssm <= out.ssm_upper)).values[hidden]
    assert inside.mean() > 0.75


def test_a_pixel_with_a_handful_of_observations_gets_first_values_that_have_not_seen_them(cube):
    few = cube.ssm.copy()
    few[12:, 0] = np.nan
    records = few, few + 0.1 * (few.pixel == 0)
    first, shifted = (prepare(cube.assign(ssm=s), Forward(FillerConfig(**SMALL), 0, "cpu"), False) for s in records)
    np.testing.assert_array_equal(first.record.known[:, 0], shifted.record.known[:, 0])
    np.testing.assert_array_equal(first.record.known[:, 0], first.record.blind[:, 0])


def test_ten_own_observations_of_a_pixel_take_its_offset_away(cube):
    strange = cube.assign(ssm=(cube.ssm + 0.15 * (cube.pixel == 0)).assign_attrs(cube.ssm.attrs))
    hidden = strange.ssm.notnull() & (strange.pixel == 0)
    told = hidden & (np.cumsum(hidden, axis=0) % 10 != 0)
    without, with_ten = (reconstruct(strange.assign(ssm=strange.ssm.where(~gone)), **SMALL) for gone in (hidden, told))
    assert _rmse(with_ten.ssm_model, strange.ssm, told.values) < 0.4 * _rmse(
        without.ssm_model, strange.ssm, told.values
    )


def test_masks_hide_only_observations_and_the_forward_model_of_a_hidden_pixel_is_the_blind_one(cube):
    case = prepare(cube, Forward(FillerConfig(**SMALL), 0, "cpu"), False)
    kinds = set()
    for kind, hidden, record in draws(case, 0):
        kinds.add(kind)
        assert not (hidden & ~case.observed).any()
        assert hidden.any()
        if kind == "pixels":
            gone = hidden.any(0)
            np.testing.assert_array_equal(record.known[:, gone], record.blind[:, gone])
    assert kinds == {"random", "blocks", "swaths", "fronts", "pixels", "few", "regions", "ahead"}


def applied(cube, learned, numbers, place=None):
    """Both passes over pixels of a cube: the forward models, then the correction of those at `place`."""
    blind, known = first_values(cube, learned, numbers)
    beside = cube[["ssm", "precipitation"]].assign(blind=(("time", "pixel"), blind), known=(("time", "pixel"), known))
    place = np.arange(len(numbers)) if place is None else place
    return apply(cube.isel(pixel=place), beside, place, learned)


def test_a_filler_applied_to_the_pixels_it_was_fitted_on_fills_them_as_it_did(cube):
    numbers = np.arange(100, 100 + cube.sizes["pixel"])
    _, learned = learn(cube, FillerConfig(**SMALL), progress=False, numbers=numbers)
    again = applied(cube, learned, numbers)
    case, learned = learn(cube, FillerConfig(**SMALL), progress=False)
    xr.testing.assert_identical(
        applied(cube, learned, np.arange(len(numbers))), answer(cube, case, learned, progress=False)
    )
    assert not again.ssm.isnull().any()


def test_a_pixel_is_filled_alike_among_many_and_with_its_neighbours_alone(cube):
    numbers, place = np.arange(cube.sizes["pixel"]), np.array([3, 4, 17])
    _, learned = learn(cube, FillerConfig(**SMALL), progress=False)
    few = applied(cube, learned, numbers, place)
    xr.testing.assert_identical(few, applied(cube, learned, numbers).isel(pixel=place))


def test_where_neither_forcing_nor_observations_are_known_nothing_is_said(cube):
    lost = np.arange(cube.sizes["pixel"]) == 5
    day = {n: v.where(~xr.DataArray(lost, dims="pixel")) for n, v in cube.data_vars.items() if "time" in v.dims}
    out = reconstruct(cube.assign(day), progress=False, **SMALL)
    for name in ("ssm", "ssm_model", "ssm_std", "ssm_lower", "ssm_upper"):
        np.testing.assert_array_equal(out[name].isnull().all("time"), lost)
    assert set(np.unique(out.source[:, 5])) == {SOURCE_FLAGS["outside"]}


def test_a_filler_fills_pixels_it_has_not_seen_about_as_well_as_those_it_was_fitted_on():
    cube = mock_cube(days=200, pixels=60, seed=3)
    gappy, hidden = _hide(cube, "blocks", 1)
    known = np.arange(0, 60, 2)
    _, learned = learn(gappy.isel(pixel=known), FillerConfig(**SMALL), progress=False, numbers=known, complete=True)
    out, line = applied(gappy, learned, np.arange(60)), reconstruct(gappy, model="linear")
    seen = hidden & (np.arange(60) % 2 == 0)
    unseen = hidden & ~seen
    assert _rmse(out.ssm, cube.ssm, unseen) < 1.15 * _rmse(out.ssm, cube.ssm, seen)
    assert _rmse(out.ssm, cube.ssm, unseen) < 0.3 * _rmse(line.ssm, cube.ssm, unseen)
    inside = ((out.ssm_lower <= cube.ssm) & (cube.ssm <= out.ssm_upper)).values[unseen]
    assert inside.mean() > 0.75


def test_frozen_days_and_days_beyond_the_range_of_training_are_flagged():
    gappy = mock_cube(days=60, pixels=10, seed=6)
    temperature = gappy.air_temperature.copy(deep=True)
    temperature[5], temperature[6] = 250.0, 330.0
    record = gappy.ssm.copy(deep=True)
    record[5:7] = np.nan
    out = reconstruct(gappy.assign(air_temperature=temperature, ssm=record), model="filler", **SMALL)
    meaning = dict(zip(out.source.attrs["flag_meanings"].split(), out.source.attrs["flag_values"], strict=True))
    assert (out.source[6] == meaning["filled_extrapolated"]).all()
    cold = gappy.assign(air_temperature=temperature.where(temperature > 260, 272.0), ssm=record)
    cold.air_temperature[:20] = 272.0
    again = reconstruct(cold, model="filler", **SMALL)
    assert (again.source[5] == meaning["filled_frozen"]).all()


def test_an_unknown_setting_is_named_with_its_nearest_neighbour(cube):
    with pytest.raises(KeyError, match="parts"):
        reconstruct(cube, model="filler", part=2)


def test_the_filler_is_in_the_table_of_models_but_is_no_sample_model():
    with pytest.raises(Exception, match="filler"):
        make_model("filler")


def test_without_any_option_the_command_fills_with_the_filler_and_its_error_bars(tmp_path):
    write_dataset(mock_cube(days=31, pixels=6, seed=1), tmp_path / "cube.nc")
    assert main(["reconstruct", str(tmp_path / "cube.nc"), str(tmp_path / "filled.nc")]) == 0
    with xr.open_dataset(tmp_path / "filled.nc") as out:
        assert not out.ssm.isnull().any()
        assert (out.ssm_lower <= out.ssm_model).all()
        assert (out.ssm_model <= out.ssm_upper).all()
        assert {"ssm_std", "days_to_observation", "km_to_observation"} <= set(out)


def test_a_source_of_information_can_be_left_out_to_see_what_it_is_worth(cube):
    gappy, hidden = _hide(cube, "blocks")
    errors = {
        ignore: _rmse(reconstruct(gappy, model="filler", ignore=ignore, **SMALL).ssm_model, cube.ssm, hidden)
        for ignore in ((), ("memory", "own", "neighbours"))
    }
    assert errors[()] < 0.8 * errors[("memory", "own", "neighbours")]
    with pytest.raises(KeyError, match="neighbours"):
        reconstruct(gappy, model="filler", ignore=("neighbour",), **SMALL)


def test_a_later_stretch_of_a_record_has_the_folds_of_the_whole():
    whole = block_folds((300, 4), 3, 0)
    np.testing.assert_array_equal(whole[70:], block_folds((230, 4), 3, 0, length=block_days(300, 3), begin=70))


def test_first_values_of_a_later_stretch_are_those_of_models_that_have_not_seen_its_observations(cube):
    _, learned = learn(cube, FillerConfig(**SMALL), progress=False)
    asked = []
    learned.forward._together = lambda plans, shape: asked.extend(plans) or (np.zeros(shape), np.zeros(shape))
    numbers = np.arange(cube.sizes["pixel"])
    for first in (0, 33):
        first_values(cube.isel(time=slice(first, None)), learned, numbers)
    known = [plan for plan in asked if plan.kind == "known"]
    for early, late in zip(known[: len(known) // 2], known[len(known) // 2 :], strict=True):
        np.testing.assert_array_equal(early.training[33:], late.training)


def test_a_filler_kept_as_files_answers_as_before_and_nothing_in_its_folder_can_run(cube, tmp_path):
    recipe = choose("filler", None, SMALL, 0, "cpu")
    fitted = learn_to_fill(cube, recipe)
    fitted.save(tmp_path / "kept")
    kinds = {p.suffix for p in (tmp_path / "kept").rglob("*") if p.is_file()}
    assert kinds <= {".json", ".ubj", ".safetensors"}
    again = load(tmp_path / "kept", recipe)
    xr.testing.assert_identical(again.fill(cube), fitted.fill(cube))


def test_a_short_record_is_served_by_what_was_learned_elsewhere():
    cube = mock_cube(days=24, shape=(8, 9), seed=4)
    observed = cube.ssm.notnull().values
    hidden = swaths(observed.reshape(24, -1), 1, 0.3).reshape(observed.shape)
    hidden[[7, 15]] = observed[[7, 15]]  # two days that nobody saw
    out = reconstruct(cube.assign(ssm=cube.ssm.where(~hidden)))
    inside = ((out.ssm_lower <= cube.ssm) & (cube.ssm <= out.ssm_upper)).values[hidden]
    assert inside.mean() > 0.75
    assert not out.ssm.isnull().any()


def test_the_shipped_prior_is_small_and_has_a_card():
    assert sum(p.stat().st_size for p in SHIPPED.iterdir()) < 2e6
    card = json.loads((SHIPPED / "card.json").read_text(encoding="utf-8"))
    assert {"data", "licence", "scores"} <= set(card)
