"""A small network that looks at the observations around a gap and says how far the first value is off, and how surely.

    tokens (b, k, t)        one row per observation nearby; any may be missing
    query  (b, q)           the gap day itself
         query -> scale and shift of each token's hidden numbers      (b, 1, h) each
         each head asks the tokens (b, k, heads) and a silent one      (b, 1, heads), whose value is nothing:
                              it takes all the weight where no token tells anything
         heads' means beside the query                                 (b, h + h)
         -> correction, and the way down to and up to the ends of two intervals   (b, 5)

The size of the answer is in units of `UNIT`. The order of the tokens plays no part.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

UNIT = 0.03
"""m3 m-3 that the network calls one."""

LEVELS = (0.05, 0.25, 0.75, 0.95)
"""Shares of errors below the ends of the 90 % and the 50 % interval, as they are learned."""

SIGNS = (-1.0, -1.0, 1.0, 1.0)
"""On which side of the value each end lies."""


@dataclass(frozen=True)
class Shape:
    """Sizes of the network: numbers of a token, of the query, hidden ones, and heads."""

    token: int
    query: int
    hidden: int = 48
    heads: int = 8


class Attentive(nn.Module):
    """The network of this file."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        h, heads = shape.hidden, shape.heads
        self.shape = shape
        self.ask = nn.Sequential(nn.Linear(shape.query, 2 * h), nn.SiLU(), nn.Linear(2 * h, h), nn.SiLU())
        self.film = nn.Linear(h, 2 * h)
        self.read = nn.Linear(shape.token, h)
        self.logit = nn.Linear(h, heads)
        self.silent = nn.Linear(h, heads)
        self.value = nn.Linear(heads * h, h, bias=False)
        self.answer = nn.Sequential(nn.Linear(2 * h, 2 * h), nn.SiLU(), nn.Linear(2 * h, 1 + len(LEVELS)))

    def forward(self, tokens: Tensor, present: Tensor, query: Tensor) -> Tensor:
        """Tokens (b, k, t), whether each is present (b, k), query (b, q), to (b, 5): correction and four distances."""
        asked = self.ask(query)  # (b, q) -> (b, h)
        scale, shift = self.film(asked).unsqueeze(1).chunk(2, dim=2)  # (b, 2h) -> (b, 1, 2h) -> (b, 1, h) twice
        x = nn.functional.silu(torch.addcmul(shift, self.read(tokens), 1 + scale))  # (b, k, t) -> (b, k, h)
        logit = self.logit(x).masked_fill(~present.unsqueeze(2), -1e4)  # (b, k, h) -> (b, k, heads)
        logit = torch.cat([logit, self.silent(asked).unsqueeze(1)], dim=1)  # (b, k + 1, heads)
        weight = logit.softmax(dim=1)[:, :-1].transpose(1, 2)  # (b, heads, k)
        pooled = self.value(torch.bmm(weight, x).flatten(1))  # (b, heads, h) -> (b, heads * h) -> (b, h)
        out = self.answer(torch.cat([pooled, asked], dim=1))  # (b, 2h) -> (b, 5)
        return torch.cat([out[:, :1], nn.functional.softplus(out[:, 1:]) + 1e-3], dim=1)


def loss(out: Tensor, target: Tensor) -> Tensor:
    """Squared error of the correction, and the quantile loss of the ends of its intervals; both (b, ...) to one number.

    The ends lie at the correction less, or plus, the distances in ``out[:, 1:]`` (`LEVELS`); their loss does not move
    the correction.
    """
    mean = out[:, 0]
    level = torch.tensor(LEVELS)
    miss = (target - mean.detach()).unsqueeze(1) - torch.tensor(SIGNS) * out[:, 1:]  # (b, 4)
    pinball = torch.maximum(level * miss, (level - 1) * miss).mean()
    squared: Tensor = ((target - mean) ** 2).mean() + pinball
    return squared
