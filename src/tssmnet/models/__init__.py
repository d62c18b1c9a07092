"""The models, one table: what each is called, where it lives, and what it is started with.

Every model is used the same way, as scikit-learn has it:

>>> from tssmnet.models import make_model
>>> model = make_model("linear")
>>> model.name
'linear'

``model.fit(X, y)`` takes `tssmnet.features.Samples` (or a plain 2-D array, or a data frame) and a target in m3 m-3,
``model.predict(X)`` gives float32 values in m3 m-3. ``model.save(folder)`` writes JSON and weights, never a pickle, and
`load_model` reads them back without running any code from the folder.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tssmnet.errors import TssmnetError, require_known
from tssmnet.models.base import MODEL_FILE, Model, read_json

__all__ = ["MODELS", "Model", "ModelSpec", "load_model", "make_model", "parameters_of"]


@dataclass(frozen=True)
class ModelSpec:
    """One row of the table of models."""

    name: str  # what the user types
    title: str  # what a table or a figure prints
    where: str  # ``module:Class`` that builds it; imported only when it is asked for
    kind: str  # ``network``, ``trees``, ``baseline`` or ``filler``
    paper: bool  # whether the paper has it
    seeded: bool  # whether its result depends on the seed
    # parameters that make it this model and not its class's default one
    defaults: Mapping[str, Any] = field(default_factory=dict)


def _table(*rows: ModelSpec) -> Mapping[str, ModelSpec]:
    return MappingProxyType({row.name: row for row in rows})


MODELS: Mapping[str, ModelSpec] = _table(
    ModelSpec("tssmnet", "TsSMNet", "tssmnet.models.tssmnet:TsSMNet", "network", True, True),
    ModelSpec("smnet", "SMNet", "tssmnet.models.tssmnet:TsSMNet", "network", True, True, {"descriptors": False}),
    ModelSpec("resautonet", "ResAutoNet", "tssmnet.models.tssmnet:TsSMNet", "network", True, True, {"channels": ()}),
    ModelSpec("transformer", "Transformer", "tssmnet.models.transformer:Transformer", "network", True, True),
    ModelSpec("rf", "Random forest", "tssmnet.models.trees:RandomForest", "trees", True, True),
    ModelSpec("xgboost", "XGBoost", "tssmnet.models.trees:XGBoost", "trees", True, True),
    ModelSpec("climatology", "Climatology", "tssmnet.models.baselines:Climatology", "baseline", False, False),
    ModelSpec("linear", "Linear in time", "tssmnet.models.baselines:LinearInTime", "baseline", False, False),
    ModelSpec("dctpls", "DCT-PLS", "tssmnet.models.baselines:DctPls", "baseline", False, True),
)


def _class_of(spec: ModelSpec) -> Any:
    module, _, name = spec.where.partition(":")
    return getattr(import_module(module), name)


def parameters_of(name: str) -> dict[str, Any]:
    """Every parameter of a model with the value it has when nothing is given.

    Raises
    ------
    UnknownNameError
        If there is no such model.

    Examples
    --------
    >>> parameters_of("climatology")["smoothing"]
    15.0
    """
    spec = MODELS[require_known(name, MODELS, "model")]
    model_class = _class_of(spec)
    config: Any = getattr(model_class, "Config", None)
    if config is not None:
        standard = {f.name: getattr(config(), f.name) for f in fields(config)}
    else:
        signature = inspect.signature(model_class).parameters.values()
        standard = {p.name: p.default for p in signature if p.kind is p.KEYWORD_ONLY or p.default is not p.empty}
        standard = {k: v for k, v in standard.items() if k not in ("seed", "device")}
    return {**standard, **spec.defaults}


def make_model(name: str, *, seed: int = 0, device: str = "auto", **params: Any) -> Any:
    """Build a model of the table, not yet fitted.

    Parameters
    ----------
    name
        A key of `MODELS`.
    seed
        Everything random in the model comes from it.
    device
        ``auto``, ``cpu`` or ``cuda``; only networks look at it.
    **params
        Parameters of the model; `parameters_of` lists them.

    Raises
    ------
    UnknownNameError
        For an unknown model or parameter, naming the nearest known one.

    Examples
    --------
    >>> make_model("lineer")
    Traceback (most recent call last):
    ...
    tssmnet.errors.UnknownNameError: unknown model 'lineer'; did you mean 'linear'? Known: ...
    """
    spec = MODELS[require_known(name, MODELS, "model")]
    known = parameters_of(name)
    for key in params:
        require_known(key, known, f"parameter of {name}")
    model = _class_of(spec)(seed=seed, device=device, **{**spec.defaults, **params})
    model.name = name
    return model


def load_model(folder: str | Path, *, device: str = "auto") -> Any:
    """Open a model that ``model.save(folder)`` wrote, ready to predict.

    Raises
    ------
    TssmnetError
        If the folder holds no saved model, or one whose files are damaged.
    """
    path = Path(folder) / MODEL_FILE
    if not path.is_file():
        raise TssmnetError(f"{folder} holds no saved model: {MODEL_FILE} is missing; save one with model.save(folder)")
    try:
        about = read_json(path)
        model = make_model(about["name"], seed=about["seed"], device=device, **about["params"])
        model.read_state(Path(folder), about["state"])
    except TssmnetError:
        raise
    except Exception as error:  # each library has its own words for bytes that it cannot read
        raise TssmnetError(f"the model in {folder} cannot be read ({error}); fit and save it again") from error
    return model
