"""Filling by a model of samples: it looks at a pixel's own features, day by day."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cube import SOURCE_FLAGS, dynamic_names, predictable, to_pixels
from tssmnet.disk import write_atomically
from tssmnet.errors import TssmnetError, require_known
from tssmnet.features.build import FEATURE_SETS, build_features, screen_descriptors
from tssmnet.features.descriptors import NAMES, describe_series
from tssmnet.features.samples import Features, Samples
from tssmnet.models import MODELS, load_model, parameters_of
from tssmnet.models.base import read_json
from tssmnet.models.baselines import BINS, Shared, by_day_of_year
from tssmnet.models.folded import predictor
from tssmnet.progress import bar
from tssmnet.reconstruction.blocks import Blocks, Index, cut
from tssmnet.reconstruction.fitted import Mask, Recipe

Float = NDArray[np.float32]

DEFAULT_FEATURES = {"network": "lag+desc", "trees": "lag+desc", "baseline": "base"}
"""Feature set of each kind of model when none is asked for: memory decides, so it is in."""

CHUNK_ROWS = 262_144

ROWS_PER_PIXEL = 64
"""Rows drawn from a pixel where there are more observations than rows: few pixels' features are then computed."""

WHOLE_BYTES = 2**30
"""Features up to this size are held whole for the fit, which is then that of `tssmnet.reconstruct` in memory."""


@dataclass(frozen=True)
class SampleModel:
    """A model fitted on samples, and the same fitted without descriptors for pixels that were never observed.

    Parameters
    ----------
    recipe
        How it was made.
    own
        Fitted on all features.
    plain
        Fitted without descriptors; None where no pixel needs it.
    kept
        Descriptors that a screening of a whole cube on disk has kept; None where features are built at once.
    seen
        The cube in memory that was learned from, and its features, so that they are not built twice.
    """

    FEATURES: ClassVar[bool] = True
    EXTRA: ClassVar[tuple[str, ...]] = ()
    FIRST: ClassVar[tuple[str, ...]] = ()
    LOOKS_AT_PREDICTORS: ClassVar[bool] = True
    LEAST: ClassVar[tuple[int, int]] = (1, 10)
    WINDOW_DAYS: ClassVar[int | None] = None

    recipe: Recipe
    own: Any
    plain: Any | None = None
    kept: tuple[str, ...] | None = None
    seen: tuple[xr.Dataset, Features] | None = field(default=None, repr=False)

    @classmethod
    def check(cls, recipe: Recipe, features: str | Mapping[str, Any] | None) -> Recipe:
        """The recipe with its features chosen; an unknown feature set or parameter is an error."""
        chosen = _feature_options(DEFAULT_FEATURES[MODELS[recipe.model].kind] if features is None else features)
        checked = replace(recipe, features=chosen)
        checked.make()
        return checked

    @classmethod
    def parameters(cls, model: str) -> dict[str, Any]:
        """Every parameter of the model with its default."""
        return parameters_of(model)

    @classmethod
    def learn(cls, pixels: xr.Dataset, recipe: Recipe, *, progress: bool = False) -> Self:
        """Fit on every observation; also without descriptors where a pixel without any is to be filled."""
        features = build_features(pixels, np.isfinite(pixels["ssm"].values), **recipe.features)
        X, y = drawn(*all_samples(pixels, features), recipe)
        models = _fit_both(X, y, recipe, needs_plain(pixels, features), progress)
        return cls(recipe, *models, seen=(pixels, features))

    def fill(
        self, pixels: xr.Dataset, *, known: Mask | None = None, days: slice = slice(None), progress: bool = False
    ) -> xr.Dataset:
        """Predict every pixel-day that the predictors allow, and put observations and predictions together.

        Parameters
        ----------
        pixels
            In (time, pixel) form and in memory.
        known
            Shape (time, pixel): the observations that descriptors are taken from; all by default.
        days
            Which days to fill; memory still comes from those before them.
        progress
            Whether to draw bars.
        """
        observed = np.isfinite(pixels["ssm"].values) if known is None else known
        features = of_days(self._features(pixels, observed, known), days)
        some = pixels.isel(time=days)
        where = predictable(some)
        if self.plain is None:
            return assemble(some, predict(self.own, features, where, progress))
        seen = np.broadcast_to(observed.any(0), where.shape)
        own = predict(self.own, features, where & seen, progress)
        others = predict(self.plain, without_descriptors(features), where & ~seen, progress)
        return assemble(some, np.where(seen, own, others))

    def _features(self, pixels: xr.Dataset, observed: Mask, known: Mask | None) -> Features:
        if known is None and self.seen is not None and pixels is self.seen[0]:
            return self.seen[1]
        return features_of(pixels, observed, self.recipe, self.kept)

    def save(self, folder: Path) -> None:
        """Each model in a folder of its own, and what else is known, as JSON."""
        self.own.save(folder / "own")
        if self.plain is not None:
            self.plain.save(folder / "plain")
        write_atomically(folder / "fitted.json", json.dumps({"kept": self.kept}).encode())

    @classmethod
    def load(cls, folder: Path, recipe: Recipe) -> Self:
        """What `save` wrote."""
        kept = read_json(folder / "fitted.json")["kept"]
        plain = load_model(folder / "plain", device=recipe.device) if (folder / "plain").is_dir() else None
        own = load_model(folder / "own", device=recipe.device)
        return cls(recipe, own, plain, None if kept is None else tuple(kept))

    @classmethod
    def whole(cls, cube: xr.Dataset, rows: int, block_bytes: int) -> bool:
        """Never: block by block gives the same values, and the memory stays small."""
        return False

    @classmethod
    def blocks(cls, cube: xr.Dataset, block_bytes: int) -> Blocks:
        """Blocks of so many bytes of input."""
        return Blocks(cube, cut(cube, block_bytes), block_bytes)

    @classmethod
    def learn_blocks(cls, blocks: Blocks, rows: int, recipe: Recipe, folder: Path, progress: bool) -> Self:
        """Fit on all observations of a small cube, or on rows drawn over a large one."""
        survey = look_through(blocks, rows, recipe, progress)
        if survey.whole:
            pixels = to_pixels(blocks.cube.load())
            features = features_of(pixels, np.isfinite(pixels["ssm"].values), recipe, survey.kept)
            X, y = all_samples(pixels, features)
        else:
            X, y = _drawn_samples(blocks, rows, recipe, survey, progress)
        return cls(recipe, *_fit_both(X, y, recipe, survey.unseen, progress, folder), kept=survey.kept)

    def first_block(self, blocks: Blocks, index: int) -> dict[str, NDArray[Any]]:
        """Nothing: one pass is enough."""
        return {}

    def fill_block(self, blocks: Blocks, index: int, first: xr.Dataset | None) -> dict[str, NDArray[Any]]:
        """Output arrays of a block; features are built for a piece of its pixels at a time."""
        pixels = blocks.load(index)
        out = _nothing_known(pixels.isel(time=blocks.to_fill))
        alive = np.flatnonzero(predictable(pixels).any(0) | np.isfinite(pixels["ssm"].values).any(0))
        for piece in blocks.pieces(pixels.isel(pixel=alive), self._columns(blocks)):
            some = pixels.isel(pixel=alive[piece])
            filled = self.fill(some, known=blocks.known(some), days=blocks.to_fill)
            for name, array in out.items():
                array[:, alive[piece]] = filled[name].values
        return out

    def _columns(self, blocks: Blocks) -> int:
        """Columns of features, at least about."""
        names = getattr(self.own, "names_", None)
        return len(names) if names else 1 + 8 * len(dynamic_names(blocks.cube))


@dataclass(frozen=True)
class RecordModel(SampleModel):
    """A baseline: it looks at no feature, and its model is the record that it is given to fill.

    `shared` is what it has taken from the whole of a cube on disk, before it fills parts of it.
    """

    LOOKS_AT_PREDICTORS: ClassVar[bool] = False
    LEAST: ClassVar[tuple[int, int]] = (1, 1)

    FEATURES: ClassVar[bool] = False

    own: Any = None
    shared: Shared | None = None

    @classmethod
    def learn(cls, pixels: xr.Dataset, recipe: Recipe, *, progress: bool = False) -> Self:
        """Nothing is learned beforehand, but a record without any observation is refused."""
        if not np.isfinite(pixels["ssm"].values).any():
            raise TssmnetError(NO_OBSERVATION)
        return cls(recipe)

    def fill(
        self, pixels: xr.Dataset, *, known: Mask | None = None, days: slice = slice(None), progress: bool = False
    ) -> xr.Dataset:
        """Fit on the observations of these pixels, and say what that gives on every day."""
        observed = np.isfinite(pixels["ssm"].values)
        features = no_features(*observed.shape)
        if not observed.any() and self.shared is None:
            return assemble(pixels.isel(time=days), np.full(observed[days].shape, np.nan, np.float32))
        own = self.recipe.make()
        own.shared = self.shared
        own.fit_samples(*drawn(*all_samples(pixels, features), self.recipe))
        own.fitted_ = True
        return assemble(pixels, predict(own, features, predictable(pixels), progress)).isel(time=days)

    def save(self, folder: Path) -> None:
        """What is shared, as JSON, which keeps every digit."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.shared is not None:
            plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in asdict(self.shared).items()}
            write_atomically(folder / "shared.json", json.dumps(plain))

    @classmethod
    def load(cls, folder: Path, recipe: Recipe) -> Self:
        """What `save` wrote."""
        if not (folder / "shared.json").is_file():
            return cls(recipe)
        about = read_json(folder / "shared.json")
        return cls(recipe, shared=Shared(np.array(about["total"]), np.array(about["count"]), about["smooth"]))

    @classmethod
    def learn_blocks(cls, blocks: Blocks, rows: int, recipe: Recipe, folder: Path, progress: bool) -> Self:
        """What all pixels share: the mean course of the year, and a smoothing chosen on some of them."""
        counts = np.zeros(math.prod(blocks.grid.sizes), np.int64)
        total, count = np.zeros(BINS), np.zeros(BINS)
        for index in bar(range(len(blocks.grid)), "looking through", progress=progress):
            record = blocks.load(index, ["ssm"])["ssm"].values
            time, pixel = np.nonzero(np.isfinite(record))
            counts[blocks.grid.pixels(index)] = np.bincount(pixel, minlength=record.shape[1])
            part = by_day_of_year(time, record[time, pixel].astype(np.float32))
            total, count = total + part[0], count + part[1]
        if not counts.any():
            raise TssmnetError(NO_OBSERVATION)
        smooth = recipe.make().smoothing(
            np.flatnonzero(counts), lambda few: blocks.load_pixels(few)["ssm"].values.astype(np.float32)
        )
        return cls(recipe, shared=Shared(total, count, smooth))


NO_OBSERVATION = "ssm has no observation at all, so there is nothing to learn from"


def _feature_options(features: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(features, str):
        return FEATURE_SETS[require_known(features, FEATURE_SETS, "feature set")]
    for key in features:
        require_known(key, ("memory", "descriptors", "season", "position"), "option of the features")
    return features


def no_features(days: int, pixels: int) -> Features:
    """Features of a model that looks at none."""
    return Features(np.empty((days, pixels, 0), np.float32), np.empty((pixels, 0), np.float32), (), ())


def features_of(pixels: xr.Dataset, observed: Mask, recipe: Recipe, kept: tuple[str, ...] | None) -> Features:
    """Features of some pixels; a screening is that of the whole cube, whose descriptors are `kept`."""
    if kept is None:
        return build_features(pixels, observed, **recipe.features)
    features = build_features(pixels, observed, **{**recipe.features, "descriptors": "full"})
    return _select_static(
        features, [n for n in features.static_names if features.groups.get(n) != "descriptor" or n in kept]
    )


def without_descriptors(features: Features) -> Features:
    """The same features but the descriptors; the dynamic array is shared, not copied."""
    return _select_static(features, [n for n in features.static_names if features.groups.get(n) != "descriptor"])


def _select_static(features: Features, names: list[str]) -> Features:
    stay = [features.static_names.index(n) for n in names]
    groups = {n: g for n, g in features.groups.items() if n in names or n in features.dynamic_names}
    return Features(features.dynamic, features.static[:, stay], features.dynamic_names, tuple(names), groups)


def of_days(features: Features, days: slice) -> Features:
    """The features of some days; nothing is copied."""
    return Features(
        features.dynamic[days], features.static, features.dynamic_names, features.static_names, features.groups
    )


def all_samples(pixels: xr.Dataset, features: Features) -> tuple[Samples, Float]:
    """Every observation as a training sample, with its target in m3 m-3."""
    record = pixels["ssm"].values
    observed = np.isfinite(record)
    return features.where(observed), record[observed].astype(np.float32)


def needs_plain(pixels: xr.Dataset, features: Features) -> bool:
    """Whether there are descriptors, and a pixel without them that is to be filled."""
    unseen = ~np.isfinite(pixels["ssm"].values).any(0)
    described = "descriptor" in features.groups.values()
    return bool(described and unseen.any() and predictable(pixels.isel(pixel=unseen)).any())


def drawn(X: Samples, y: Float, recipe: Recipe) -> tuple[Samples, Float]:
    """At most as many samples as the recipe says, drawn without replacement and in their order."""
    if recipe.rows <= 0 or recipe.rows >= len(X):
        return X, y
    rng = np.random.default_rng(np.random.SeedSequence([recipe.seed, recipe.rows]))
    chosen = np.sort(rng.choice(len(X), recipe.rows, replace=False))
    return X.take(chosen), y[chosen]


def _fit_both(
    X: Samples, y: Float, recipe: Recipe, plain: bool, progress: bool, folder: Path | None = None
) -> tuple[Any, Any | None]:
    """The model, and if need be the same without descriptors; with a folder, the states of a network's fit are kept."""
    if not len(y):
        raise TssmnetError(NO_OBSERVATION)
    checkpoints = folder is not None and "checkpoint" in inspect.signature(recipe.make().fit_samples).parameters

    def fit(name: str, samples: Samples) -> Any:
        options = {"checkpoint": folder / f"training-{name}"} if checkpoints and folder is not None else {}
        return recipe.make().fit(samples, y, progress=progress, **options)

    own = fit("own", X)
    return own, fit("plain", Samples(without_descriptors(X.features), X.time, X.pixel)) if plain else None


def predict(model: Any, features: Features, wanted: Mask, progress: bool) -> Float:
    """What a model says where it is wanted, shape (time, pixel), m3 m-3; NaN elsewhere."""
    say, mean = predictor(model), np.full(wanted.shape, np.nan, np.float32)
    samples = features.where(wanted)
    starts = range(0, len(samples), CHUNK_ROWS)
    for start in bar(starts, "predicting", progress=progress):
        rows = samples.take(np.arange(start, min(start + CHUNK_ROWS, len(samples))))
        mean[rows.time, rows.pixel] = np.clip(say(rows), 0, 1)
    return mean


def assemble(pixels: xr.Dataset, mean: Float) -> xr.Dataset:
    """Observed values where there are any, the model elsewhere, and which is which."""
    record = pixels["ssm"].values
    observed = np.isfinite(record)
    source = np.where(
        observed, SOURCE_FLAGS["observed"], np.where(np.isfinite(mean), SOURCE_FLAGS["filled"], SOURCE_FLAGS["outside"])
    )
    dims = ("time", "pixel")
    variables = {
        "ssm": (dims, np.where(observed, record, mean.astype(record.dtype))),
        "ssm_model": (dims, mean),
        "source": (dims, source.astype(np.int8)),
    }
    return xr.Dataset(variables, pixels.coords)


def _nothing_known(pixels: xr.Dataset) -> dict[str, NDArray[Any]]:
    """Output arrays of pixels of which nothing is known."""
    shape = pixels["ssm"].shape
    return {
        "ssm": np.full(shape, np.nan, pixels["ssm"].dtype),
        "ssm_model": np.full(shape, np.nan, np.float32),
        "source": np.full(shape, SOURCE_FLAGS["outside"], np.int8),
    }


@dataclass(frozen=True)
class Survey:
    """Observations of each pixel, whether pixels never observed are to be filled, descriptors that are kept."""

    counts: Index
    unseen: bool
    kept: tuple[str, ...] | None
    whole: bool


def look_through(blocks: Blocks, rows: int, recipe: Recipe, progress: bool) -> Survey:
    """One pass over the target, and over the forcing where a pixel was never observed."""
    chosen = recipe.features.get("descriptors")
    counts = np.zeros(math.prod(blocks.grid.sizes), np.int64)
    table = np.full((len(counts), len(NAMES)), np.nan) if chosen == "screened" else None
    unseen = False
    for index in bar(range(len(blocks.grid)), "looking through", progress=progress):
        here = blocks.grid.pixels(index)
        values = blocks.load(index, ["ssm"])["ssm"].values
        counts[here] = np.isfinite(values).sum(0)
        if table is not None:
            table[here] = describe_series(values.T)
        if chosen and not unseen and not counts[here].all():
            unseen = bool(predictable(blocks.load(index).isel(pixel=counts[here] == 0)).any())
    if not counts.any():
        raise TssmnetError(NO_OBSERVATION)
    kept = None if table is None else tuple(screen_descriptors(table).kept)
    size = 4 * len(_example(blocks, recipe).names) * blocks.cube.sizes["time"] * len(counts)
    return Survey(counts, unseen, kept, whole=size <= WHOLE_BYTES and int(counts.sum()) <= rows)


def _example(blocks: Blocks, recipe: Recipe) -> Features:
    """Features of the cube's first pixel: which there are."""
    pixels = to_pixels(blocks.cube.isel(dict.fromkeys(blocks.grid.dims, slice(0, 1))).load())
    screened = recipe.features.get("descriptors") == "screened"
    return features_of(pixels, np.isfinite(pixels["ssm"].values), recipe, NAMES if screened else None)


def draw_pixels(counts: Index, rows: int, seed: int) -> tuple[Index, int]:
    """Which pixels give training rows, and how many each at most.

    Parameters
    ----------
    counts
        Observations of each pixel.
    rows
        Rows wanted in all.

    Returns
    -------
    Numbers of the pixels, sorted, one out of each of as many equal stretches of those ever observed; and rows of each.
    With no more than `rows` observations these are all pixels and all their days.
    """
    seen = np.flatnonzero(counts)
    if counts.sum() <= rows:
        return seen, int(counts.max())
    n = min(len(seen), -(-rows // ROWS_PER_PIXEL))
    edges = np.linspace(0, len(seen), n + 1).astype(np.int64)
    offset = np.random.default_rng(seed).random(n) * np.diff(edges)
    return seen[edges[:-1] + offset.astype(np.int64)], max(1, rows // n)


def _drawn_samples(blocks: Blocks, rows: int, recipe: Recipe, survey: Survey, progress: bool) -> tuple[Samples, Float]:
    """Training rows as `Features` in which the k-th day of a pixel is its k-th drawn row, packed without gaps.

    Days stay in order, so that what a model holds out (stretches of a pixel's rows) is a stretch of time.
    """
    chosen, most = draw_pixels(survey.counts, rows, recipe.seed)
    target = np.full((most, len(chosen)), np.nan, np.float32)
    last = _example(blocks, recipe)
    columns = len(last.names)
    dynamic = np.zeros((most, len(chosen), len(last.dynamic_names)), np.float32)
    static: Float | None = None
    for place, part in _chosen_pixels(blocks, chosen, columns, progress):
        last = features_of(part, np.isfinite(part["ssm"].values), recipe, survey.kept)
        static = np.zeros((len(chosen), len(last.static_names)), np.float32) if static is None else static
        static[place] = last.static
        for i, p in enumerate(place):
            days = _drawn_days(part["ssm"].values[:, i], most, [recipe.seed, int(chosen[p])])
            dynamic[: len(days), p] = last.dynamic[days, i]
            target[: len(days), p] = part["ssm"].values[days, i]
    assert static is not None
    features = Features(dynamic, static, last.dynamic_names, last.static_names, last.groups)
    known = np.isfinite(target)
    return features.where(known), target[known]


def _chosen_pixels(blocks: Blocks, chosen: Index, columns: int, progress: bool) -> Iterator[tuple[Index, xr.Dataset]]:
    """Places in `chosen`, and the pixels there, a piece of a block at a time."""
    for index in bar(range(len(blocks.grid)), "drawing rows", progress=progress):
        numbers = blocks.grid.pixels(index)
        inside = np.flatnonzero(np.isin(numbers, chosen))
        if not inside.size:
            continue
        pixels = blocks.load(index).isel(pixel=inside)
        place = np.searchsorted(chosen, numbers[inside])
        for piece in blocks.pieces(pixels, columns):
            yield place[piece], pixels.isel(pixel=piece)


def _drawn_days(series: NDArray[Any], most: int, seed: list[int]) -> Index:
    """At most so many observed days of a series, in order."""
    days = np.flatnonzero(np.isfinite(series))
    if len(days) <= most:
        return days
    return np.sort(np.random.default_rng(seed).choice(days, most, replace=False))
