"""What all models share: a checked configuration, fit and predict, saving to JSON and weights."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tssmnet.disk import write_atomically
from tssmnet.errors import TssmnetError, require_known
from tssmnet.features.samples import Samples, as_samples

Float = NDArray[np.float32]
MODEL_FILE = "model.json"
FORMAT = 1


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def make_config(config: type[Any], params: dict[str, Any], owner: str) -> Any:
    """Build the dataclass `config` from `params`, refusing keys it does not have; lists become tuples."""
    for key in params:
        require_known(key, [f.name for f in fields(config)], f"parameter of {owner}")
    return config(**{k: tuple(v) if isinstance(v, list) else v for k, v in params.items()})


class Model(ABC):
    """Base of every model: subclasses give `Config`, `fit_samples`, `predict_samples` and their state on disk.

    Parameters
    ----------
    seed
        Everything random comes from it.
    device
        ``auto``, ``cpu`` or ``cuda``; only networks look at it.
    **params
        Fields of the model's `Config`.
    """

    Config: ClassVar[type[Any]]

    def __init__(self, *, seed: int = 0, device: str = "auto", **params: Any) -> None:
        self.name = type(self).__name__
        self.seed = seed
        self.device = device
        self.config = make_config(self.Config, params, self.name)
        self.history_: list[dict[str, float]] = []
        self.fitted_ = False

    def fit(self, X: Any, y: Any, **options: Any) -> Self:
        """Learn from samples `X` and target `y` (n,) in m3 m-3; samples without a finite target are an error."""
        samples = as_samples(X)
        target = np.asarray(y, np.float32)
        if target.shape != (len(samples),):
            raise TssmnetError(f"{self.name}: {len(samples)} samples need a target of that length; got {target.shape}")
        if len(samples) == 0:
            raise TssmnetError(f"{self.name}: there is no sample to learn from; check that the target has observations")
        if not np.isfinite(target).all():
            bad = int((~np.isfinite(target)).sum())
            raise TssmnetError(f"{self.name}: {bad} of {target.size} target values are not finite; drop those samples")
        self.fit_samples(samples, target, **options)
        self.fitted_ = True
        return self

    def predict(self, X: Any) -> Float:
        """Soil moisture (n,) in m3 m-3 for samples `X`."""
        if not self.fitted_:
            raise TssmnetError(f"{self.name} is not fitted yet; call fit(X, y) first")
        return self.predict_samples(as_samples(X)).astype(np.float32, copy=False)

    def save(self, folder: str | Path) -> None:
        """Write the fitted model into `folder`: ``model.json`` and its weights, nothing that can run."""
        if not self.fitted_:
            raise TssmnetError(f"{self.name} is not fitted yet; there is nothing to save")
        state = self.write_state(Path(folder))
        about = {"format": FORMAT, "name": self.name, "seed": self.seed, "params": asdict(self.config), "state": state}
        write_atomically(Path(folder) / MODEL_FILE, json.dumps(about, indent=1).encode())

    def read_state(self, folder: Path, state: dict[str, Any]) -> None:
        """Take over the fitted state that `save` wrote."""
        self.restore(folder, state)
        self.fitted_ = True

    @abstractmethod
    def fit_samples(self, X: Samples, y: Float, progress: bool = False) -> None:
        """Learn from checked samples."""

    @abstractmethod
    def predict_samples(self, X: Samples) -> Float:
        """Predict for samples."""

    @abstractmethod
    def write_state(self, folder: Path) -> dict[str, Any]:
        """Write arrays into `folder`, return what goes into the JSON."""

    @abstractmethod
    def restore(self, folder: Path, state: dict[str, Any]) -> None:
        """Read what `write_state` wrote."""


def check_same_features(known: list[str], names: tuple[str, ...], owner: str) -> None:
    """Raise an error that names the difference when `names` are not those the model was fitted on.

    Raises
    ------
    TssmnetError
        Naming up to five missing and unexpected features.
    """
    if known == list(names):
        return
    missing = [n for n in known if n not in names][:5]
    extra = [n for n in names if n not in known][:5]
    what = f"missing {missing}, unexpected {extra}" if missing or extra else "the order differs"
    raise TssmnetError(f"{owner} was fitted on {len(known)} features and got {len(names)}: {what}")
