"""The network of `tssmnet.models.tssmnet` drawn from the modules it builds, and what its shortcuts are worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from tssmnet.book.page import mark_synthetic
from tssmnet.book.style import COLOURS, figure
from tssmnet.models import MODELS, make_model, parameters_of
from tssmnet.models.training import Network

SHORTCUT = "#D55E00"


@dataclass(frozen=True)
class Block:
    """One layer: `kind` (input, convolution, encoder, decoder, head), what it does, the width of what leaves it."""

    kind: str
    text: str
    width: int


def blocks_of(model: str, features: int, **params: Any) -> tuple[list[Block], list[tuple[int, int]], int]:
    """The layers of a network of the family, read from the modules it builds.

    `model`: ``tssmnet``, ``smnet`` or ``resautonet``.
    `features`: number of features it is given.
    `**params`: parameters of the model.
    Returns layers in order; shortcuts as (from, to) positions in that list; number of weights.

    Examples
    --------
    >>> blocks, shortcuts, weights = blocks_of("resautonet", 10, layers=(8, 4))
    >>> [b.width for b in blocks], shortcuts
    ([10, 8, 4, 8, 10, 1], [(1, 3), (0, 4)])
    """
    built: Network = make_model(model, device="cpu", **params)
    net: Any = built.build(features)
    blocks = [Block("input", "features", features)]
    if net.convolutions is not None:
        blocks += _convolutions(net.convolutions, features)
    first = len(blocks)
    blocks += [Block("encoder", "dense", layer.steps[0].out_features) for layer in net.encoder]
    blocks += [Block("decoder", "dense", layer.steps[0].out_features) for layer in net.decoder]
    blocks.append(Block("head", "linear", net.head.out_features))
    depth = len(net.encoder)
    mirrors = [(first + depth - 2 - i, first + depth + i) for i in range(depth - 1)] + [(0, first + 2 * depth - 1)]
    return blocks, mirrors if net.shortcuts else [], sum(p.numel() for p in net.parameters())


def _convolutions(convolutions: Any, features: int) -> list[Block]:
    """One block a convolution: its channels, and how long it leaves the vector."""
    from torch import nn

    blocks, length = [], features
    for step in convolutions.steps:
        if isinstance(step, nn.Conv1d):
            kernel, stride, pad = (int(v[0]) for v in (step.kernel_size, step.stride, step.padding))
            length = (length + 2 * pad - kernel) // stride + 1
            text = f"convolution, {step.out_channels} channels\n(kernel {kernel}, stride {stride})"
            blocks.append(Block("convolution", text, step.out_channels * length))
    return blocks


LAYERS = {"input": "#BBBBBB", "convolution": "#009E73", "encoder": "#56B4E9", "decoder": "#0072B2", "head": "#E69F00"}


def draw_network(model: str, features: int, title: str = "", ax: Any = None, **params: Any) -> Any:
    """Draw a network of the family: a bar a layer, as wide as the logarithm of its width; arcs are shortcuts.

    `model`, `features`, `**params`: as for `blocks_of`.
    `title`: above the drawing.
    `ax`: where to draw; a new figure by default.
    """
    import matplotlib.pyplot as plt

    blocks, shortcuts, weights = blocks_of(model, features, **params)
    if ax is None:
        _, ax = plt.subplots(figsize=(5.4, 0.42 * len(blocks) + 0.6), layout="constrained")
    half = [_half_width(b.width) for b in blocks]
    for y, (block, h) in enumerate(zip(blocks, half, strict=True)):
        ax.add_patch(plt.Rectangle((-h, y - 0.28), 2 * h, 0.56, color=LAYERS[block.kind], alpha=0.9, linewidth=0))
        ax.text(0, y, str(block.width), ha="center", va="center", fontsize=8, color="black", bbox=_HALO)
        ax.text(
            -1.12,
            y,
            block.text if block.kind == "convolution" else f"{block.kind}",
            ha="right",
            va="center",
            fontsize=7.5,
        )
        if y:
            ax.annotate(
                "", (0, y - 0.28), (0, y - 0.72), arrowprops={"arrowstyle": "->", "color": "0.35", "linewidth": 0.8}
            )
    for start, end in shortcuts:
        _arc(ax, (half[start], start), (half[end], end))
    if any(b.kind == "convolution" for b in blocks):  # the features also go straight to the encoder
        last = max(i for i, b in enumerate(blocks) if b.kind == "convolution")
        _arc(ax, (half[0], 0), (half[last + 1], last + 1), colour="0.35", bend=0.25, style=":")
    ax.set(xlim=(-2.6, 2.3), ylim=(len(blocks) - 0.4, -0.6))
    ax.set_title(f"{title}\n{weights:,} weights" if title else f"{weights:,} weights", fontsize=9)
    ax.axis("off")
    return ax.figure


def draw_networks(features: int) -> Any:
    """TsSMNet and ResAutoNet side by side, see `draw_network`."""
    with figure(1, 2, figsize=(8.4, 5.0)) as (fig, axes):
        for name, ax in zip(("tssmnet", "resautonet"), axes, strict=True):
            draw_network(name, features, MODELS[name].title, ax=ax)
    return fig


def parameters_table() -> pd.DataFrame:
    """Every parameter of the networks, a column for each network."""
    names = [name for name, model in MODELS.items() if model.kind == "network"]
    columns = {MODELS[name].title: {k: str(v) for k, v in parameters_of(name).items()} for name in names}
    return pd.DataFrame(columns).fillna("–").rename_axis("parameter")


def r2_by_seed(runs: pd.DataFrame) -> pd.DataFrame:
    """R² on test samples, a row for each seed; columns True and False (with shortcuts or not) and ``linear``.

    `runs`: from `tssmnet.book.shortcuts.shortcut_trials`.
    """
    r2 = runs.pivot(index="seed", columns="shortcuts", values="r2")
    return r2.assign(linear=runs.groupby("seed")["linear_r2"].first())


def shortcuts_figure(runs: pd.DataFrame) -> Any:
    """Loss by epoch with and without shortcuts (left), and `r2_by_seed` (right)."""
    r2 = r2_by_seed(runs)
    with figure(1, 2, figsize=(7.4, 2.9)) as (fig, (left, right)):
        for kept, colour, label in ((True, COLOURS[0], "with shortcuts"), (False, COLOURS[1], "without")):
            for history in runs[runs["shortcuts"] == kept]["history"]:
                curve = pd.DataFrame(history)
                (line,) = left.plot(curve["epoch"], curve["validation_loss"], color=colour, linewidth=0.9)
            line.set_label(label)
            right.plot(r2.index, r2[kept], "o", color=colour)
        right.plot(r2.index, r2["linear"], "_", color="black", markersize=22, label="ordinary least squares")
        left.set(xlabel="epoch", ylabel="held-out loss (standardised)", yscale="log")
        ends = (r2.index.min() - 0.5, r2.index.max() + 0.5)
        right.set(xlabel="seed", ylabel="R² on test samples", xticks=r2.index, xlim=ends)
        left.legend()
        right.legend()
    return mark_synthetic(fig)


_HALO = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}


def _half_width(width: int) -> float:
    import math

    return 0.12 + 0.11 * math.log2(max(width, 1))


def _arc(ax: Any, start: Any, end: Any, colour: str = SHORTCUT, bend: float = 0.45, style: str = "-") -> None:
    """A curved arrow on the right side, wider for layers further apart."""
    from matplotlib.patches import FancyArrowPatch

    ax.add_patch(
        FancyArrowPatch(
            start, end, connectionstyle=f"arc3,rad={-bend}", arrowstyle="->", mutation_scale=9,
            color=colour, linewidth=1.2, linestyle=style, shrinkA=1, shrinkB=1,
        )
    )  # fmt: skip
