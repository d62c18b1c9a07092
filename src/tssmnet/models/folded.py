"""Prediction with a fitted network, made quick: batch norms folded into the layers before them, small batches.

A batch norm that has stopped learning is a scale and a shift, so it merges into the linear layer or convolution before
it; dropout does nothing then. What is left is the same function to rounding. Batches of a few thousand samples keep
what passes between layers in the processor's cache and out of the allocator's slow path.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tssmnet.features.samples import Samples

Float = NDArray[np.float32]

BATCH = {"cpu": 4096, "cuda": 262_144}
"""Samples at a time on each kind of device."""


def predictor(model: Any) -> Callable[[Samples], Float]:
    """What ``model.predict`` gives (to rounding for a network), by the quickest way there is.

    Parameters
    ----------
    model
        A fitted model of `tssmnet.models`.

    Returns
    -------
    callable
        Takes `Samples` with the features that the model was fitted on; gives m3 m-3, float32, shape (n,).
    """
    return Folded(model) if hasattr(model, "net_") else model.predict


class Folded:
    """A network ready to predict: a copy on its device, batch norms folded in; the model itself is left as it is."""

    def __init__(self, model: Any) -> None:
        from tssmnet.models.training import pick_device

        self.model = model
        self.device = pick_device(model.device)
        self.net = fold(model.net_).to(self.device)
        mean, scale = model.net_[0].target.tolist()
        self.mean, self.scale = float(mean), float(scale)

    def __call__(self, X: Samples) -> Float:
        """Predictions (n,) in m3 m-3."""
        import torch

        from tssmnet.models.base import check_same_features
        from tssmnet.models.training import Gather

        check_same_features(self.model.names_, X.names, self.model.name)
        out = torch.empty(len(X), device=self.device)
        at = 0
        with torch.inference_mode():
            for x in Gather(X, torch.device(self.device), self.model.columns(X)).chunks(BATCH[self.device]):
                out[at : at + len(x)] = self.net(x)
                at += len(x)
            result: Float = (out * self.scale + self.mean).cpu().numpy()
        return result


def fold(net: Any) -> Any:
    """A copy of a network in which each batch norm has gone into the layer before it and dropout is left out."""
    from torch import nn

    net = copy.deepcopy(net).eval()
    for module in [m for m in net.modules() if type(m) is nn.Sequential]:
        parts: list[Any] = []
        for part in module:
            _append(parts, part)
        module._modules.clear()
        for i, part in enumerate(parts):
            module.add_module(str(i), part)
    return net


def _append(parts: list[Any], part: Any) -> None:
    """Add a module to a chain, or fold it into the last of the chain."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

    from tssmnet.models.training import Dropout

    last = parts[-1] if parts else None
    if isinstance(part, nn.BatchNorm1d) and isinstance(last, nn.Linear):
        parts[-1] = fuse_linear_bn_eval(last, part)
    elif isinstance(part, nn.BatchNorm1d) and isinstance(last, nn.Conv1d):
        parts[-1] = fuse_conv_bn_eval(last, part)
    elif not isinstance(part, (Dropout, nn.Dropout)):
        parts.append(part)
