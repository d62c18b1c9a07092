"""The network of `tssmnet.models.tssmnet` as a drawing, made from its configuration and the modules it builds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tssmnet.models import make_model
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


COLOURS = {"input": "#BBBBBB", "convolution": "#009E73", "encoder": "#56B4E9", "decoder": "#0072B2", "head": "#E69F00"}


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
        ax.add_patch(plt.Rectangle((-h, y - 0.28), 2 * h, 0.56, color=COLOURS[block.kind], alpha=0.9, linewidth=0))
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
