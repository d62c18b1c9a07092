"""The attentive network: what it must not look at, and that it can learn what it is for."""

import numpy as np
import pytest
import torch

from tssmnet.filler.attention import LEVELS, Attentive, Shape, loss


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(0)
    net = Attentive(Shape(token=5, query=3, hidden=16, heads=4)).eval()
    return net, torch.randn(7, 9, 5), torch.rand(7, 9) < 0.6, torch.randn(7, 3)


def test_the_order_of_tokens_plays_no_part(case):
    net, tokens, there, query = case
    order = torch.randperm(9)
    torch.testing.assert_close(net(tokens, there, query), net(tokens[:, order], there[:, order], query))


def test_a_missing_token_is_not_looked_at_and_none_may_be_there(case):
    net, tokens, there, query = case
    other = torch.where(there.unsqueeze(2), tokens, torch.randn_like(tokens))
    torch.testing.assert_close(net(tokens, there, query), net(other, there, query))
    alone = net(tokens, torch.zeros_like(there), query)
    assert torch.isfinite(alone).all()
    torch.testing.assert_close(alone, net(other * 3, torch.zeros_like(there), query))


def test_distances_to_the_ends_are_positive(case):
    net, tokens, there, query = case
    assert (net(tokens, there, query)[:, 1:] > 0).all()


def test_the_loss_is_least_at_the_quantiles_of_the_error():
    errors = torch.linspace(-1, 1, 2001)
    at = {w: loss(torch.tensor([[0.0, w, 0.5, 0.5, 0.9]]).expand(2001, 5), errors).item() for w in (0.7, 0.9, 1.1)}
    assert min(at, key=at.get) == 0.9
    assert LEVELS == (0.05, 0.25, 0.75, 0.95)


def test_it_learns_to_take_the_nearest_token_that_is_there():
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    net = Attentive(Shape(token=2, query=1, hidden=16, heads=4))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    for _ in range(300):
        tokens = torch.from_numpy(rng.random((128, 6, 2)).astype(np.float32))
        there = torch.from_numpy(rng.random((128, 6)) < 0.7)
        near = torch.where(there, tokens[:, :, 0], 9.0).argmin(1)
        target = torch.where(there.any(1), tokens[torch.arange(128), near, 1], 0.0)
        optimizer.zero_grad()
        said = net(tokens, there, torch.zeros(128, 1))
        loss(said, target).backward()
        optimizer.step()
    assert float(((said[:, 0].detach() - target) ** 2).mean()) < 0.3 * float(target.var())
