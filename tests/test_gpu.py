"""What must hold on a GPU: the same results as on a CPU, and no copy to the host in the inner loop."""

import numpy as np
import pytest

from tssmnet.features.samples import Features
from tssmnet.models import make_model

pytestmark = pytest.mark.gpu

STEPS = 20


@pytest.fixture(scope="module", autouse=True)
def _device():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.fixture(scope="module")
def samples():
    """Synthetic samples in which the target follows from the features."""
    rng = np.random.default_rng(0)
    dynamic, static = rng.standard_normal((120, 200, 12), np.float32), rng.standard_normal((200, 6), np.float32)
    features = Features(dynamic, static, tuple(f"d{i}" for i in range(12)), tuple(f"s{i}" for i in range(6)))
    X = features.where(rng.random((120, 200)) < 0.5)
    table = X.table()
    y = 0.25 + 0.05 * np.tanh(table[:, 0] + 0.5 * table[:, 13]) + 0.01 * rng.standard_normal(len(X))
    return X, y.astype(np.float32)


@pytest.mark.parametrize("name", ["tssmnet", "resautonet", "transformer"])
def test_a_fitted_network_predicts_the_same_on_both(name, samples, tmp_path):
    from tssmnet.models import load_model
    from tssmnet.models.folded import predictor

    X, y = samples
    make_model(name, device="cpu", epochs=2).fit(X, y).save(tmp_path)
    there, here = (load_model(tmp_path, device=d) for d in ("cuda", "cpu"))
    # float32 products on a GPU may round to TF32
    np.testing.assert_allclose(there.predict(X), here.predict(X), atol=1e-3)
    np.testing.assert_allclose(predictor(there)(X), there.predict(X), atol=1e-3)


def test_training_takes_the_same_course_on_both(samples):
    X, y = samples
    curves = []
    for device in ("cuda", "cpu"):
        model = make_model("tssmnet", device=device, epochs=5, patience=0).fit(X, y)
        curves.append([row["validation_loss"] for row in model.history_])
    np.testing.assert_allclose(curves[0], curves[1], rtol=0.1, atol=0.02)
    assert curves[0][-1] < 0.5 * curves[0][0] or curves[0][-1] < 0.2


def test_steps_wait_for_no_copy_to_the_host(samples):
    import torch

    from tssmnet.models.training import _Trainer, cycle

    X, y = samples
    model = make_model("tssmnet", device="cuda", epochs=2)
    trainer = _Trainer(model, model._fabric(), X, y)
    trainer.wrapped.train()
    order = torch.randperm(len(trainer.y)).to(trainer.y.device)
    batch = min(256, len(order) // STEPS)
    trainer._step(order[:batch], cycle(0, STEPS, model.config.warmup))  # the first one sets things up
    torch.cuda.set_sync_debug_mode("error")
    try:
        total = torch.zeros((), device=trainer.y.device)
        for i in range(1, STEPS):
            total += trainer._step(order[i * batch : (i + 1) * batch], cycle(i, STEPS, model.config.warmup))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert np.isfinite(float(total))


def test_prediction_copies_once_at_its_end(samples):
    import torch

    from tssmnet.models.folded import predictor
    from tssmnet.models.training import Gather

    X, y = samples
    model = make_model("tssmnet", device="cuda", epochs=1).fit(X, y)
    quick = predictor(model)
    device = torch.device("cuda")
    gather = Gather(X, device, model.columns(X))
    with torch.inference_mode():
        quick.net(next(gather.chunks(1024)))
        torch.cuda.set_sync_debug_mode("error")
        try:
            made = [quick.net(x) for x in gather.chunks(1024)]
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert sum(len(m) for m in made) == len(X)
