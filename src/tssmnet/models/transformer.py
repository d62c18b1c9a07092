"""The Transformer of the paper's comparison, in one file.

The paper compares with "Transformer" and what is known of it does not say how a feature vector becomes a sequence.
Assumption here: the vector is cut into pieces of `patch` features, in the order in which they stand (forcing with
forcing, soil with soil); each piece becomes one token through weights of its own, which also tell the tokens apart. A
summary token is put in front, a small pre-norm encoder mixes the tokens, and the summary gives the soil moisture.
Training is the same as for the other networks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tssmnet.errors import TssmnetError
from tssmnet.models.training import Dropout, Network, TrainingConfig


@dataclass(frozen=True)
class TransformerConfig(TrainingConfig):
    """Settings of `Transformer`, beside those of training."""

    epochs: int = 10
    rate: float = 3e-3
    patch: int = 16  # features in a token
    width: int = 48  # length of a token's vector
    heads: int = 4  # attention heads; they share `width` evenly
    depth: int = 2  # encoder blocks
    hidden: int = 96  # width of each block's two-layer perceptron
    dropout: float = 0.05  # share of activations dropped after attention and perceptron


class Tokens(nn.Module):
    """The feature vector cut into pieces, each through its own linear map, behind one learnt summary token."""

    def __init__(self, features: int, c: TransformerConfig) -> None:
        super().__init__()
        self.count = math.ceil(features / c.patch)
        self.pad = self.count * c.patch - features
        self.weight = nn.Parameter(torch.randn(self.count, c.patch, c.width) / math.sqrt(c.patch))
        self.place = nn.Parameter(0.02 * torch.randn(self.count, c.width))
        self.summary = nn.Parameter(0.02 * torch.randn(1, 1, c.width))

    def forward(self, x: Tensor) -> Tensor:
        """(b, p) to (b, 1 + t, w)."""
        pieces = nn.functional.pad(x, (0, self.pad)).unflatten(1, (self.count, -1))  # (b, p) -> (b, t, patch)
        tokens = torch.bmm(pieces.transpose(0, 1), self.weight).transpose(0, 1) + self.place  # (b, t, w)
        return torch.cat([self.summary.expand(len(x), -1, -1).to(tokens.dtype), tokens], dim=1)  # (b, 1 + t, w)


class Block(nn.Module):
    """Self-attention and a perceptron, each on normalised input and added to it."""

    def __init__(self, c: TransformerConfig) -> None:
        super().__init__()
        self.heads = c.heads
        self.before_attention, self.before_mlp = nn.LayerNorm(c.width), nn.LayerNorm(c.width)
        self.query, self.key_value = nn.Linear(c.width, c.width), nn.Linear(c.width, 2 * c.width)
        self.join = nn.Linear(c.width, c.width)
        self.mlp = nn.Sequential(nn.Linear(c.width, c.hidden), nn.GELU(), nn.Linear(c.hidden, c.width))
        self.drop = Dropout(c.dropout)

    def attend(self, x: Tensor, asking: int) -> Tensor:
        """(b, t, w) to (b, a, w), for the first a = `asking` tokens."""
        q = self.query(x[:, :asking]).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (b, heads, a, w / heads)
        k, v = (
            self.key_value(x).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )  # 2 x (b, heads, t, w / heads)
        # written out: on a CPU the fused kernel takes several times as long for sequences of a dozen tokens
        weights = torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), dim=-1).to(v.dtype)  # (b, heads, a, t)
        y: Tensor = self.join((weights @ v).transpose(1, 2).flatten(2))  # (b, heads, a, w / heads) -> (b, a, w)
        return y

    def forward(self, x: Tensor, asking: int) -> Tensor:
        """(b, t, w) to (b, a, w): what the first a = `asking` tokens have become."""
        x = x[:, :asking] + self.drop(self.attend(self.before_attention(x), asking))
        y: Tensor = x + self.drop(self.mlp(self.before_mlp(x)))
        return y


class TokenEncoder(nn.Module):
    """The network of this file, from standardised features (b, p) to a standardised target (b,)."""

    def __init__(self, features: int, c: TransformerConfig) -> None:
        super().__init__()
        self.tokens = Tokens(features, c)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.depth))
        self.norm, self.head = nn.LayerNorm(c.width), nn.Linear(c.width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, p) to (b,)."""
        h = self.tokens(x)  # (b, 1 + t, w)
        for i, block in enumerate(self.blocks, 1):
            # only the summary is read at the end, so the last block is worked out for it alone
            h = block(h, h.shape[1] if i < len(self.blocks) else 1)  # (b, 1 + t, w), last (b, 1, w)
        y: Tensor = self.head(self.norm(h)).flatten()  # (b, 1, 1) -> (b,)
        return y


class Transformer(Network):
    """Encoder over pieces of the feature vector; the assumption is stated at the top of this file."""

    Config = TransformerConfig
    tiles_pay = False

    def build(self, features: int) -> nn.Module:
        if self.config.width % self.config.heads:
            raise TssmnetError(f"width {self.config.width} is not a multiple of heads {self.config.heads}")
        return TokenEncoder(features, self.config)
