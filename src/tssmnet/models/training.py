"""How every network here is trained: one loop on Lightning Fabric, on any device, samples never written out as a table.

The dynamic features (time x pixel, d), the static ones (pixel, s) and the index of the samples live on the device; a
batch is gathered there from a slice of a shuffled index. Everything that changes from step to step is a function of the
seed and the step (order, dropout, learning rate), so a checkpoint holds weights, optimiser moments and the history, and
a run that was killed ends in the same bits as one that was not, on the same number of threads.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tssmnet.disk import write_atomically
from tssmnet.errors import TssmnetError, require_known
from tssmnet.features.samples import Samples
from tssmnet.models.base import Float, Model, check_same_features
from tssmnet.models.holdout import held_out
from tssmnet.progress import say

CHECKPOINT = "checkpoint.safetensors"
WEIGHTS = "weights.safetensors"
PREDICT_ROWS = 32_768


@dataclass(frozen=True)
class TrainingConfig:
    """Settings that all networks share."""

    epochs: int = 12  # passes over the training samples; the learning-rate cycle spans them
    batch: int = 1024  # samples per step
    # peak learning rate of AdamW: a linear rise over `warmup` of the steps, then half a cosine to zero
    rate: float = 4e-3
    matrix_rate: float = 0.02  # the same of Muon, which steps the weights of linear layers; 0 leaves them to AdamW
    warmup: float = 0.2  # share of the steps that the rise takes
    weight_decay: float = 0.3  # decoupled decay of all weights, not of biases and norms
    patience: int = 5  # epochs without a better validation loss after which training ends; 0 runs all epochs
    # validation, validation_fraction: how samples are held out to choose the epoch, see
    # `tssmnet.models.holdout.held_out`
    validation: str = "blocks"
    validation_fraction: float = 0.1
    clip: float = 8.0  # standardised features are clipped to this many standard deviations
    # ``auto``: bfloat16 autocast on a GPU and on a CPU with AMX, else float32. Or ``32-true``, ``bf16-mixed``.
    precision: str = "auto"
    devices: int = 1  # how many devices share a batch


class Standardise(nn.Module):
    """Features and target to zero mean and unit variance, by numbers that travel with the weights."""

    mean: Tensor
    scale: Tensor
    target: Tensor

    def __init__(self, features: int, clip: float) -> None:
        super().__init__()
        self.clip = clip
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("target", torch.tensor([0.0, 1.0]))

    def forward(self, x: Tensor) -> Tensor:
        """Standardise (b, p); a missing value becomes 0, the mean."""
        return torch.nan_to_num((x - self.mean) * self.scale).clamp(-self.clip, self.clip)


class Dropout(nn.Module):
    """Dropout whose random numbers are drawn once: drawing them afresh took a third of a training step on a CPU.

    A mask is a stretch, at a random place, of one long store of zeros and (scaled) ones; the place is drawn for each
    call.
    """

    store: Tensor
    LENGTH = 1 << 21

    def __init__(self, share: float) -> None:
        super().__init__()
        if not 0 <= share < 1:
            raise TssmnetError(f"dropout must lie in [0, 1), got {share}")
        self.share = share
        self.register_buffer("store", _dropout_store(share, self.LENGTH), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Zero the share of `x` in training and scale the rest up; leave it as it is otherwise."""
        if not self.training or self.share == 0:
            return x
        if x.numel() >= self.LENGTH:
            return nn.functional.dropout(x, self.share)
        place = int(torch.randint(0, self.LENGTH - x.numel(), ()))
        return x * self.store[place : place + x.numel()].view_as(x).to(x.dtype)


@lru_cache(maxsize=4)
def _dropout_store(share: float, length: int) -> Tensor:
    if share == 0:
        return torch.empty(0)
    kept = torch.rand(length, generator=torch.Generator().manual_seed(0)) >= share
    return kept / (1 - share)


class Gather:
    """Batches of `Samples` on a device: rows of the dynamic array beside rows of the static one."""

    def __init__(self, X: Samples, device: torch.device, keep: NDArray[np.int64]) -> None:
        f = X.features
        self.pixels = f.shape[1]
        d = f.dynamic.shape[2]
        days, fixed = keep[keep < d], keep[keep >= d] - d
        self.columns = None if len(days) == d else torch.as_tensor(days, device=device)
        self.dynamic = torch.as_tensor(
            f.dynamic.reshape(f.shape[0] * f.shape[1], d), device=device
        )  # (time * pixel, d), a view on a CPU
        self.static = torch.as_tensor(f.static[:, fixed], device=device)  # (pixel, s)
        self.row = torch.as_tensor(X.time * self.pixels + X.pixel, device=device)  # (n,)

    def __call__(self, index: Tensor) -> Tensor:
        """Features (b, d + s) of the samples at `index` (b,)."""
        row = self.row[index]
        days = self.dynamic.index_select(0, row)
        if self.columns is not None:
            days = days.index_select(1, self.columns)
        return torch.cat([days, self.static.index_select(0, row % self.pixels)], dim=1)

    def chunks(self, size: int) -> Iterator[Tensor]:
        """Features of all samples in order, `size` at a time."""
        for start in range(0, len(self.row), size):
            yield self(torch.arange(start, min(start + size, len(self.row)), device=self.row.device))


def cycle(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate at `step` of `steps`: a linear rise, then half a cosine down to zero.

    Examples
    --------
    >>> [round(cycle(s, 8, warmup=0.5), 2) for s in range(8)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.85, 0.5, 0.15]
    """
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def step_seed(seed: int, epoch: int) -> int:
    """One seed per epoch, so that an epoch's order and dropout need no memory of the epochs before."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def moments(chunks: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and reciprocal standard deviation per column over chunks (b, p), missing values apart, in one pass.

    A column without spread gets the reciprocal 0: it tells nothing, and must not blow up elsewhere.
    """
    count = total = square = torch.zeros(())
    origin: Tensor | None = None
    for x in chunks:
        # sums about the first chunk's mean, so that large offsets (temperature in K) lose no digits
        origin = torch.nan_to_num(x.nanmean(0)).double() if origin is None else origin
        known = ~x.isnan()
        shifted = torch.where(known, x.double() - origin, 0.0)
        count = count + known.sum(0)
        total = total + shifted.sum(0)
        square = square + shifted.square().sum(0)
    if origin is None:
        raise TssmnetError("there is no sample to take a mean of")
    mean = total / count.clamp(min=1)
    deviation = (square / count.clamp(min=1) - mean.square()).clamp(min=0).sqrt()
    floor = 1e-6 * (1 + (origin + mean).abs())
    return (origin + mean).float(), torch.where(deviation > floor, 1 / deviation, 0.0).float()


class Network(Model):
    """Base of the networks: a subclass gives its `Config` and `build`, the loop is here.

    ``history_`` has one row per epoch: epoch, train_loss, validation_loss (mean squared error on the standardised
    target; the training loss with dropout on, as it was minimised), train_r2, validation_r2, seconds since the start.
    """

    tiles_pay: ClassVar[bool] = True
    """Whether bfloat16 tiles of a CPU make this network faster (many small products do not fill them)."""
    net_: nn.Module
    names_: list[str]

    def build(self, features: int) -> nn.Module:
        """The untrained network that maps standardised features (b, p) to a standardised target (b,)."""
        raise TssmnetError(f"{type(self).__name__} does not say how it is built")

    def columns(self, X: Samples) -> NDArray[np.int64]:
        """Columns of the table that the network looks at; all of them unless a subclass says otherwise."""
        return np.arange(len(X.names))

    def fit_samples(self, X: Samples, y: Float, progress: bool = False, checkpoint: str | Path | None = None) -> None:
        """Train; `checkpoint` is a folder where the state is kept each epoch and found again after a kill."""
        if len(X) < 2:
            raise TssmnetError(f"{self.name}: a network needs two samples or more to learn from, got {len(X)}")
        fabric = self._fabric()
        self.names_ = list(X.names)
        with torch.random.fork_rng():
            trainer = _Trainer(self, fabric, X, y)
            trainer.run(None if checkpoint is None else Path(checkpoint) / CHECKPOINT, progress)
        self.net_, self.history_ = trainer.best_network(), trainer.history

    def predict_samples(self, X: Samples) -> Float:
        check_same_features(self.names_, X.names, self.name)
        device = torch.device(pick_device(self.device))
        net = self.net_.to(device).eval()
        mean, scale = (float(v) for v in net[0].target)  # type: ignore[index]
        with torch.inference_mode():
            pieces = [net(x) for x in Gather(X, device, self.columns(X)).chunks(PREDICT_ROWS)]
            out = torch.cat(pieces).float() * scale + mean if pieces else torch.empty(0)
        return out.cpu().numpy()

    def write_state(self, folder: Path) -> dict[str, Any]:
        from safetensors.torch import save

        tensors = {k: v.detach().cpu().contiguous() for k, v in self.net_.state_dict().items()}
        write_atomically(folder / WEIGHTS, save(tensors))
        features = int(tensors["0.mean"].numel())
        return {"names": self.names_, "features": features, "history": self.history_}

    def restore(self, folder: Path, state: dict[str, Any]) -> None:
        from safetensors.torch import load_file

        self.names_, self.history_ = state["names"], state["history"]
        self.net_ = assemble(self, state["features"])
        self.net_.load_state_dict(load_file(folder / WEIGHTS))
        self.net_.eval()

    def _fabric(self) -> Any:
        from lightning.fabric import Fabric
        from lightning.fabric.plugins import MixedPrecision

        device = pick_device(self.device)
        # given as a plugin, the precision is not announced anew by every fit
        plugins: list[Any] = [MixedPrecision("bf16-mixed", device)] if self._precision(device) == "bf16-mixed" else []
        return Fabric(accelerator=device, devices=self.config.devices, plugins=plugins)

    def _precision(self, device: str) -> str:
        precision = require_known(self.config.precision, ("auto", "32-true", "bf16-mixed"), "precision")
        if precision != "auto":
            return precision
        return "bf16-mixed" if device == "cuda" or (self.tiles_pay and has_bfloat16_tiles()) else "32-true"


def has_bfloat16_tiles() -> bool:
    """Whether the CPU multiplies bfloat16 matrices in hardware (AMX): there autocast halves the time of an epoch."""
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(probe and probe())


def pick_device(device: str) -> str:
    """``cuda`` or ``cpu`` for ``auto``; the others as they are.

    Raises
    ------
    TssmnetError
        If CUDA is asked for and there is none.
    """
    require_known(device, ("auto", "cpu", "cuda"), "device")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise TssmnetError("device='cuda' was asked for but torch sees no CUDA device; use device='auto' or 'cpu'")
    return device


def assemble(model: Network, features: int) -> nn.Sequential:
    """The whole network: standardisation, then the model's own modules."""
    return nn.Sequential(Standardise(features, model.config.clip), model.build(features))


class _Trainer:
    """State and steps of one training run."""

    def __init__(self, model: Network, fabric: Any, X: Samples, y: Float) -> None:
        self.model, self.config, self.fabric = model, model.config, fabric
        keep = model.columns(X)
        hidden = held_out(X, self.config.validation, self.config.validation_fraction, model.seed)
        self.train = Gather(X.take(~hidden), fabric.device, keep)
        self.check = Gather(X.take(hidden), fabric.device, keep) if hidden.any() else None
        torch.manual_seed(step_seed(model.seed, 0))
        self.net = assemble(model, len(keep)).to(fabric.device)
        self._standardise(y[~hidden], y[hidden])
        self.optimizers = make_optimizers(self.net, self.config)
        self.wrapped, *self.steppers = fabric.setup(self.net, *self.optimizers)
        self.best = {k: v.clone() for k, v in self.net.state_dict().items()}
        self.best_loss, self.best_epoch, self.epoch = math.inf, 0, 0
        self.history: list[dict[str, float]] = []
        self.key = fingerprint(model, X, y)

    def _standardise(self, train: Float, check: Float) -> None:
        scaler: Any = self.net[0]
        mean, scale = moments(self.train.chunks(PREDICT_ROWS))
        scaler.mean.copy_(mean)
        scaler.scale.copy_(scale)
        spread = float(train.std(dtype=np.float64)) or 1.0
        scaler.target.copy_(torch.tensor([float(train.mean(dtype=np.float64)), spread]))
        centre, spread = (float(v) for v in scaler.target)
        self.y, self.y_check = (torch.as_tensor((v - centre) / spread).to(self.fabric.device) for v in (train, check))

    def run(self, path: Path | None, progress: bool) -> None:
        """Train from where the checkpoint stands, or from the start, until the epochs or the patience run out."""
        if path is not None and path.is_file():
            self._resume(path)
        before = self.history[-1]["seconds"] if self.history else 0.0
        start = time.perf_counter() - before
        with ProgressBar(self.config.epochs, self.epoch, progress) as bar:
            while not self._finished():
                self.epoch += 1
                losses = {"train_loss": self._train_epoch()}
                losses |= self._validate()
                self._remember(losses, time.perf_counter() - start)
                if path is not None and self.fabric.global_rank == 0:
                    self._keep(path)
                bar(losses)

    def _finished(self) -> bool:
        waited = self.epoch - self.best_epoch
        return self.epoch >= self.config.epochs or bool(self.config.patience and waited >= self.config.patience)

    def _train_epoch(self) -> float:
        self.wrapped.train()
        n, batch = len(self.y), min(self.config.batch, len(self.y))
        torch.manual_seed(step_seed(self.model.seed, self.epoch))
        order = torch.randperm(n, generator=torch.Generator().manual_seed(step_seed(self.model.seed, self.epoch)))
        order = order.to(self.y.device)
        steps, world, rank = n // batch, self.fabric.world_size, self.fabric.global_rank
        total = torch.zeros((), device=self.y.device)
        for i in range(steps):
            index = order[i * batch : (i + 1) * batch][rank::world]
            share = cycle((self.epoch - 1) * steps + i, self.config.epochs * steps, self.config.warmup)
            total += self._step(index, share)
        return float(total) / steps

    def _step(self, index: Tensor, share: float) -> Tensor:
        loss = nn.functional.mse_loss(self.wrapped(self.train(index)).float(), self.y[index])
        self.fabric.backward(loss)
        for optimizer, stepper in zip(self.optimizers, self.steppers, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = share * group["peak"]
            stepper.step()
            optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def _validate(self) -> dict[str, float]:
        if self.check is None:
            return {}
        self.wrapped.eval()
        with torch.inference_mode():
            estimate = torch.cat([self.wrapped(x) for x in self.check.chunks(PREDICT_ROWS)]).float()
            loss = nn.functional.mse_loss(estimate, self.y_check)
            variance = self.y_check.var(correction=0).clamp(min=1e-12)
            return {"validation_loss": float(loss), "validation_r2": float(1 - loss / variance)}

    def _remember(self, losses: dict[str, float], seconds: float) -> None:
        # the standardised training target has variance one, so its R2 is one minus the loss
        row = {"epoch": self.epoch, **losses, "train_r2": 1 - losses["train_loss"], "seconds": seconds}
        self.history.append(row)
        watched = losses.get("validation_loss", losses["train_loss"])
        if watched < self.best_loss:
            self.best_loss, self.best_epoch = watched, self.epoch
            self.best = {k: v.clone() for k, v in self.net.state_dict().items()}

    def best_network(self) -> nn.Module:
        """The network with the weights of its best epoch."""
        self.net.load_state_dict(self.best)
        return self.net.eval()

    def _keep(self, path: Path) -> None:
        from safetensors.torch import save

        tensors = {f"net.{k}": v for k, v in self.net.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        for n, optimizer in enumerate(self.optimizers):
            for i, moment in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{n}.{i}.{k}": v for k, v in moment.items()}
        tensors = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
        state = json.dumps(
            {"key": self.key, "epoch": self.epoch, "best_epoch": self.best_epoch, "history": self.history}
        )
        write_atomically(path, save(tensors, metadata={"state": state, "sha256": _sum_of(tensors, state)}))

    def _resume(self, path: Path) -> None:
        found = _checkpoint_in(path)
        if found is None:
            return
        tensors, state = found
        if state["key"] != self.key:
            raise TssmnetError(
                f"{path} belongs to another training (other data, parameters or seed); "
                "give an empty checkpoint folder or delete the file"
            )
        tensors = {k: v.to(self.fabric.device) for k, v in tensors.items()}
        self.net.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("net.")})
        self.best = {k[5:]: v for k, v in tensors.items() if k.startswith("best.")}
        self.epoch, self.best_epoch, self.history = state["epoch"], state["best_epoch"], state["history"]
        best = self.history[self.best_epoch - 1]
        self.best_loss = best.get("validation_loss", best["train_loss"])
        moments_of: list[dict[int, dict[str, Tensor]]] = [{} for _ in self.optimizers]
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, n, i, name = key.split(".", 3)
                moments_of[int(n)].setdefault(int(i), {})[name] = value
        for optimizer, moments in zip(self.optimizers, moments_of, strict=True):
            optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})


def _checkpoint_in(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and state of a checkpoint; None, which is said, if it is not as it was written."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata()
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a mapping)
        if about["sha256"] == _sum_of(tensors, about["state"]):
            return tensors, json.loads(about["state"])
    except Exception:  # the reader raises many kinds on a damaged file
        pass
    say(f"{path} is damaged; the training begins again")
    return None


def _sum_of(tensors: Mapping[str, Tensor], state: str) -> str:
    """sha256 of all that a checkpoint holds."""
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        raw = tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes()
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)} ".encode() + raw)
    return digest.hexdigest()


def make_optimizers(net: nn.Module, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon for the weights of linear layers: orthogonal steps need a quarter of the epochs.

    Muon after Jordan (2024), https://kellerjordan.github.io/posts/muon/, its steps as large as AdamW's (Liu et al.
    2025, arXiv:2502.16982). Each group keeps its peak rate beside the rate of the step.
    """
    linear = [m.weight for m in net.modules() if isinstance(m, nn.Linear) and m.out_features > 1]
    matrices = linear if config.matrix_rate else []
    taken = set(map(id, matrices))
    rest = [p for p in net.parameters() if id(p) not in taken]
    decayed, others = [p for p in rest if p.ndim > 1], [p for p in rest if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    out: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=config.rate, betas=(0.9, 0.98), fused=True)]
    if matrices:
        settings: dict[str, Any] = {"lr": config.matrix_rate, "weight_decay": config.weight_decay}
        if matrices[0].is_cuda or has_bfloat16_tiles():
            out.append(torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw", **settings))
        else:
            out.append(Muon(matrices, **settings))
    for group in (g for optimizer in out for g in optimizer.param_groups):
        group["peak"] = group["lr"]
    return out


class Muon(torch.optim.Optimizer):
    """torch's Muon with its products in float32: in bfloat16, a CPU without tiles takes over ten times as long."""

    def __init__(self, matrices: list[Tensor], lr: float, weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of Nesterov momentum, made orthogonal, of the size of AdamW's."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                kept = self.state[weight].setdefault("momentum_buffer", torch.zeros_like(weight))
                kept.lerp_(weight.grad, 1 - group["momentum"])
                update = orthogonal(weight.grad.lerp(kept, group["momentum"]))
                size = 0.2 * math.sqrt(max(weight.shape))
                weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * size)


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """About the nearest matrix with orthogonal rows or columns, by Newton and Schulz with Muon's coefficients."""
    a, b, c = 3.4445, -4.775, 2.0315
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix  # (short, long)
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.T  # (short, short)
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def fingerprint(model: Network, X: Samples, y: Float) -> str:
    """What a checkpoint must agree with: model, parameters, seed, samples, their target and a look at the features."""
    about = json.dumps([model.name, asdict(model.config), model.seed, list(X.names), list(X.features.shape)])
    digest = hashlib.sha256(about.encode())
    for part in (X.time, X.pixel, y, X.features.static, X.features.dynamic[:: max(1, X.features.shape[0] // 16)]):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


class ProgressBar:
    """A bar over epochs on a terminal, nothing elsewhere."""

    def __init__(self, epochs: int, done: int, shown: bool) -> None:
        self.epochs, self.done, self.show = epochs, done, shown and sys.stderr.isatty()

    def __enter__(self) -> Any:
        if not self.show:
            return lambda losses: None
        from tqdm import tqdm

        self.bar = tqdm(total=self.epochs, initial=self.done, unit="epoch", leave=False)
        return self._advance

    def _advance(self, losses: dict[str, float]) -> None:
        self.bar.set_postfix({k: f"{v:.4f}" for k, v in losses.items()})
        self.bar.update()

    def __exit__(self, *exception: object) -> None:
        if self.show:
            self.bar.close()
