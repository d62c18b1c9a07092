"""Tree ensembles, the paper's random forest and gradient boosting; missing predictors are left missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tssmnet.disk import write_atomically
from tssmnet.errors import TssmnetError
from tssmnet.features.samples import Samples
from tssmnet.models.base import Float, Model, check_same_features
from tssmnet.models.holdout import held_out

CHUNK = 200_000

# compiled numeric arrays of scikit-learn that skops does not list by itself; building them runs no code of the file
TRUSTED = ("sklearn.tree._tree.Tree",)


class _Trees(Model):
    """What both have in common: prediction in chunks of rows, since a table of the whole cube would not fit."""

    names_: list[str]

    def predict_samples(self, X: Samples) -> Float:
        check_same_features(self.names_, X.names, self.name)
        rows = np.arange(len(X))
        pieces = [self._predict_table(X.take(rows[i : i + CHUNK]).table()) for i in range(0, len(X), CHUNK)]
        return np.concatenate(pieces) if pieces else np.empty(0, np.float32)

    def _predict_table(self, table: Float) -> Float:
        raise TssmnetError(f"{type(self).__name__} gives no prediction")


@dataclass(frozen=True)
class ForestConfig:
    """Settings of `RandomForest`."""

    trees: int = 40  # how many trees
    min_leaf: int = 2  # least number of samples in a leaf
    features: float = 0.33  # share of the features tried at each split
    samples: float = 0.9  # share of the samples each tree is grown on (drawn with replacement)
    jobs: int = 1  # processes; the result does not depend on it


class RandomForest(_Trees):
    """Random forest (Breiman 2001, doi:10.1023/A:1010933404324), scikit-learn's, saved with skops."""

    Config = ForestConfig

    def fit_samples(self, X: Samples, y: Float, progress: bool = False) -> None:
        from sklearn.ensemble import RandomForestRegressor

        c = self.config
        self.names_ = list(X.names)
        self.forest_ = RandomForestRegressor(
            n_estimators=c.trees,
            min_samples_leaf=c.min_leaf,
            max_features=c.features,
            max_samples=c.samples,
            n_jobs=c.jobs,
            random_state=self.seed,
        )
        self.forest_.fit(X.table(), y)

    def _predict_table(self, table: Float) -> Float:
        return np.asarray(self.forest_.predict(table), np.float32)

    def write_state(self, folder: Path) -> dict[str, Any]:
        from skops.io import dumps

        write_atomically(folder / "forest.skops", dumps(self.forest_))
        return {"names": self.names_}

    def restore(self, folder: Path, state: dict[str, Any]) -> None:
        from skops.io import get_untrusted_types, load

        # skops builds only types it knows to be harmless; the file itself may not extend that list
        path = folder / "forest.skops"
        strangers = set(get_untrusted_types(file=path)) - set(TRUSTED)
        if strangers:
            raise TssmnetError(f"{path} asks for types that are not part of a random forest: {sorted(strangers)}")
        self.forest_ = load(path, trusted=list(TRUSTED))
        self.names_ = state["names"]


@dataclass(frozen=True)
class BoostingConfig:
    """Settings of `XGBoost`."""

    rounds: int = 400  # most boosting rounds; early stopping may take fewer
    rate: float = 0.08  # learning rate
    depth: int = 8  # greatest depth of a tree
    min_child: float = 10.0  # least sum of weights in a leaf
    # rows, columns: share of samples for each tree and of features for each tree
    rows: float = 0.8
    columns: float = 0.3
    l2: float = 1.0  # penalty on leaf values
    # rounds without a better validation error after which boosting stops; 0 takes all rounds and holds nothing out
    patience: int = 0
    # validation, validation_fraction: how training samples are held out for early stopping, see
    # `tssmnet.models.holdout.held_out`
    validation: str = "blocks"
    validation_fraction: float = 0.1
    bins: int = 256  # histogram bins per feature
    threads: int = 0  # OpenMP threads; 0 takes what OMP_NUM_THREADS says


class XGBoost(_Trees):
    """Gradient boosting on histograms (Chen and Guestrin 2016, doi:10.1145/2939672.2939785), saved as UBJSON."""

    Config = BoostingConfig

    def _settings(self) -> dict[str, Any]:
        c = self.config
        settings = {
            "tree_method": "hist",
            "learning_rate": c.rate,
            "max_depth": c.depth,
            "min_child_weight": c.min_child,
            "subsample": c.rows,
            "colsample_bytree": c.columns,
            "reg_lambda": c.l2,
            "max_bin": c.bins,
            "seed": self.seed,
            "device": "cuda" if self.device == "cuda" else "cpu",
        }
        return {**settings, "nthread": c.threads} if c.threads else settings

    def fit_samples(self, X: Samples, y: Float, progress: bool = False) -> None:
        import xgboost as xgb

        c = self.config
        self.names_ = list(X.names)
        hidden = np.zeros(len(X), bool)
        if c.patience:
            hidden = held_out(X, c.validation, c.validation_fraction, self.seed)
        train = xgb.QuantileDMatrix(X.take(~hidden).table(), y[~hidden], max_bin=c.bins)
        evals = [(train, "train")]
        if hidden.any():
            evals.append((xgb.QuantileDMatrix(X.take(hidden).table(), y[hidden], ref=train), "validation"))
        record: dict[str, dict[str, list[float]]] = {}
        self.booster_ = xgb.train(
            {**self._settings(), "base_score": float(y.mean())},
            train,
            c.rounds,
            evals=evals,
            evals_result=record,
            early_stopping_rounds=c.patience if hidden.any() else None,
            verbose_eval=progress,
        )
        if hidden.any():
            self.booster_ = self.booster_[: self.booster_.best_iteration + 1]
        self.history_ = _history(record, float(y.var()))

    def _predict_table(self, table: Float) -> Float:
        return np.asarray(self.booster_.inplace_predict(table), np.float32)

    def write_state(self, folder: Path) -> dict[str, Any]:
        write_atomically(folder / "booster.ubj", bytes(self.booster_.save_raw("ubj")))
        return {"names": self.names_, "history": self.history_}

    def restore(self, folder: Path, state: dict[str, Any]) -> None:
        import xgboost as xgb

        self.booster_ = xgb.Booster()
        self.booster_.load_model(str(folder / "booster.ubj"))
        self.names_, self.history_ = state["names"], state["history"]


def _history(record: dict[str, dict[str, list[float]]], variance: float) -> list[dict[str, float]]:
    """Losses per round on the standardised scale of the networks: squared error over the target's variance."""
    scale = max(variance, 1e-12)
    rows = []
    for i, train in enumerate(record["train"]["rmse"]):
        row = {"epoch": float(i), "train_loss": train**2 / scale}
        if "validation" in record:
            row["validation_loss"] = record["validation"]["rmse"][i] ** 2 / scale
        rows.append(row)
    return rows
