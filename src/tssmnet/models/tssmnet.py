"""TsSMNet in one file: 1-D convolutions across the feature vector, then a full-residual encoder-decoder.

    features (b, p)
       |----------------------------------------------.
       |-- convolutions (b, c, p / 2 ...) -- flat --.  |
       '------------------------- joined end to end -'  |  (b, q)
                     encoder   n1 ----------.           |
                               n2 ------.   |           |  shortcuts: each encoder layer is
                               n3 --.   |   |           |  added to its mirror in the decoder,
                               n4   |   |   |           |  the features to the decoder's last
                     decoder   n3 <-'   |   |           |
                               n2 <-----'   |           |
                               n1 <---------'           |
                               p  <---------------------'
                               1   the standardised soil moisture

After Liu et al. (2025), doi:10.3390/rs17223729, whose figures show the blocks but not their widths, and
Li et al. (2021), doi:10.1109/TNNLS.2020.3017200, for the full-residual encoder-decoder. Widths, kernels and depths are
parameters. Two members of the family are special cases of the one module:

- **ResAutoNet** has no convolutions: ``channels=()``.
- **SMNet** is TsSMNet without the temporal descriptors: ``descriptors=False`` drops the features of that group.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tssmnet.errors import require_known
from tssmnet.features.samples import Samples
from tssmnet.models.training import Dropout, Network, TrainingConfig

ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}


@dataclass(frozen=True)
class TsSMNetConfig(TrainingConfig):
    """Settings of `TsSMNet`, beside those of training."""

    channels: tuple[int, ...] = (8, 16)  # channels of each convolution; empty for none (ResAutoNet)
    kernel: int = 5  # width of the convolutions, in features
    stride: int = 2  # step of the convolutions: each shortens the vector by it
    layers: tuple[int, ...] = (256, 128, 64, 32)  # widths of the encoder, n1 > n2 > ...; the decoder mirrors them
    shortcuts: bool = True  # whether encoder layers are added to their mirrors; False is the ablation
    dropout: float = 0.1  # share of activations dropped after each encoder and decoder layer
    activation: str = "silu"  # ``relu``, ``silu`` or ``gelu``
    norm: bool = True  # whether batches are normalised after each layer
    descriptors: bool = True  # whether features of the group ``descriptor`` are used; False is SMNet


class Convolutions(nn.Module):
    """1-D convolutions across the feature vector."""

    def __init__(self, features: int, c: TsSMNetConfig) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        width, length = 1, features
        for channels in c.channels:
            steps.append(nn.Conv1d(width, channels, c.kernel, c.stride, padding=c.kernel // 2, bias=not c.norm))
            steps += [nn.BatchNorm1d(channels)] if c.norm else []
            steps.append(ACTIVATIONS[c.activation]())
            width, length = channels, (length + 2 * (c.kernel // 2) - c.kernel) // c.stride + 1
        self.steps = nn.Sequential(*steps)
        self.width = width * length

    def forward(self, x: Tensor) -> Tensor:
        """(b, p) to (b, channels * length)."""
        return self.steps(x.unsqueeze(1)).flatten(1)  # (b, p) -> (b, 1, p) -> (b, c, l) -> (b, c * l)


class Layer(nn.Module):
    """Linear, batch norm, activation, dropout."""

    def __init__(self, before: int, after: int, c: TsSMNetConfig) -> None:
        super().__init__()
        steps: list[nn.Module] = [nn.Linear(before, after, bias=not c.norm)]
        steps += [nn.BatchNorm1d(after)] if c.norm else []
        steps += [ACTIVATIONS[c.activation](), Dropout(c.dropout)]
        self.steps = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        """(b, before) to (b, after)."""
        y: Tensor = self.steps(x)
        return y


class EncoderDecoder(nn.Module):
    """The network of this file, from standardised features (b, p) to a standardised target (b,)."""

    def __init__(self, features: int, c: TsSMNetConfig) -> None:
        super().__init__()
        self.shortcuts = c.shortcuts
        self.convolutions = Convolutions(features, c) if c.channels else None
        width = features + (self.convolutions.width if self.convolutions else 0)
        down = [width, *c.layers]
        up = [*c.layers[::-1], features]
        self.encoder = nn.ModuleList(Layer(a, b, c) for a, b in pairwise(down))
        self.decoder = nn.ModuleList(Layer(a, b, c) for a, b in pairwise(up))
        self.head = nn.Linear(features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, p) to (b,)."""
        h = x if self.convolutions is None else torch.cat([x, self.convolutions(x)], dim=1)  # (b, q)
        kept = [x]
        for layer in self.encoder:
            h = layer(h)  # (b, n_k)
            kept.append(h)
        for layer, mirror in zip(self.decoder, kept[-2::-1], strict=True):
            h = layer(h)  # (b, n_k), last (b, p)
            h = h + mirror if self.shortcuts else h
        y: Tensor = self.head(h).squeeze(1)  # (b, p) -> (b, 1) -> (b,)
        return y


class TsSMNet(Network):
    """The paper's network; ResAutoNet and SMNet are parameters of it (see the top of this file)."""

    Config = TsSMNetConfig

    def build(self, features: int) -> nn.Module:
        require_known(self.config.activation, ACTIVATIONS, "activation")
        return EncoderDecoder(features, self.config)

    def columns(self, X: Samples) -> NDArray[np.int64]:
        groups = X.features.groups
        return np.array(
            [i for i, n in enumerate(X.names) if self.config.descriptors or groups.get(n) != "descriptor"], np.int64
        )
