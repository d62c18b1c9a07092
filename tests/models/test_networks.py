"""The networks: shapes of the family, what training promises, saving, and resuming after a kill."""

import dataclasses

import numpy as np
import pytest
import torch

from tssmnet.errors import TssmnetError, UnknownNameError
from tssmnet.features.samples import Features
from tssmnet.models import load_model, make_model
from tssmnet.models.training import Dropout, Gather, assemble, make_optimizers, moments
from tssmnet.models.tssmnet import EncoderDecoder, TsSMNetConfig

NETWORKS = ["tssmnet", "smnet", "resautonet", "transformer"]
SMALL = {"epochs": 3, "batch": 64, "precision": "32-true", "device": "cpu"}
TINY = {
    n: SMALL | ({"width": 8, "heads": 2, "hidden": 8} if n == "transformer" else {"layers": (8, 4)}) for n in NETWORKS
}


def some_features(days=40, pixels=12, seed=0):
    rng = np.random.default_rng(seed)
    dynamic = rng.normal(size=(days, pixels, 3)).astype(np.float32)
    static = rng.normal(size=(pixels, 4)).astype(np.float32)
    groups = {"rain": "forcing", "Mean": "descriptor", "Std": "descriptor"}
    return Features(dynamic, static, ("rain", "heat", "wind"), ("clay", "Mean", "sand", "Std"), groups)


def some_samples(seed=0):
    features = some_features(seed=seed)
    X = features.where(np.random.default_rng(1).random(features.shape) < 0.6)
    table = X.table()
    return X, (0.25 + 0.05 * np.tanh(table[:, 0]) + 0.05 * table[:, 3] * table[:, 1]).astype(np.float32)


def weights(model):
    return {k: v.numpy() for k, v in model.net_.state_dict().items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_seed_gives_the_same_network_and_another_seed_another(name):
    X, y = some_samples()
    first, again, other = (make_model(name, seed=s, **TINY[name]).fit(X, y).predict(X) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-4


@pytest.mark.parametrize("name", NETWORKS)
def test_a_saved_network_predicts_the_same_and_holds_no_pickle(name, tmp_path):
    X, y = some_samples()
    model = make_model(name, **TINY[name]).fit(X, y)
    model.save(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"model.json", "weights.safetensors"}
    loaded = load_model(tmp_path, device="cpu")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.config == model.config
    assert loaded.history_ == model.history_


@pytest.mark.parametrize("name", ["tssmnet", "transformer"])
def test_training_killed_after_any_epoch_and_resumed_ends_in_the_same_bits(name, tmp_path, monkeypatch):
    from tssmnet.models import training

    X, y = some_samples()
    params = TINY[name] | {"epochs": 4, "dropout": 0.2}
    whole = make_model(name, **params).fit(X, y)
    keep = training._Trainer._keep

    def keep_then_die(self, path):
        keep(self, path)
        raise KeyboardInterrupt

    monkeypatch.setattr(training._Trainer, "_keep", keep_then_die)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            make_model(name, **params).fit(X, y, checkpoint=tmp_path)
    monkeypatch.undo()
    resumed = make_model(name, **params).fit(X, y, checkpoint=tmp_path)
    for key, value in weights(whole).items():
        np.testing.assert_array_equal(weights(resumed)[key], value, err_msg=key)
    without_clock = [[{k: v for k, v in row.items() if k != "seconds"} for row in m.history_] for m in (whole, resumed)]
    assert without_clock[0] == without_clock[1]


def test_a_finished_checkpoint_is_not_trained_again(tmp_path):
    X, y = some_samples()
    first = make_model("resautonet", **TINY["resautonet"]).fit(X, y, checkpoint=tmp_path)
    again = make_model("resautonet", **TINY["resautonet"]).fit(X, y, checkpoint=tmp_path)
    assert again.history_ == first.history_
    np.testing.assert_array_equal(again.predict(X), first.predict(X))


@pytest.mark.parametrize("change", ["seed", "data", "parameter"])
def test_a_checkpoint_of_another_training_is_refused(change, tmp_path):
    X, y = some_samples()
    make_model("resautonet", **TINY["resautonet"]).fit(X, y, checkpoint=tmp_path)
    params = TINY["resautonet"] | ({"seed": 5} if change == "seed" else {"rate": 0.1} if change == "parameter" else {})
    with pytest.raises(TssmnetError, match="belongs to another training"):
        make_model("resautonet", **params).fit(X, y + 0.01 if change == "data" else y, checkpoint=tmp_path)


@pytest.mark.parametrize("place", [3, 40, 0.5, 0.999])
def test_a_damaged_checkpoint_is_said_and_the_training_begins_again(place, tmp_path, capsys):
    X, y = some_samples()
    first = make_model("resautonet", **TINY["resautonet"]).fit(X, y, checkpoint=tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    content[place if isinstance(place, int) else int(place * len(content))] ^= 4
    path.write_bytes(content)
    again = make_model("resautonet", **TINY["resautonet"]).fit(X, y, checkpoint=tmp_path)
    np.testing.assert_array_equal(again.predict(X), first.predict(X))
    assert "is damaged; the training begins again" in capsys.readouterr().err


def test_smnet_is_tssmnet_that_was_given_no_descriptors():
    X, y = some_samples()
    bare = X.features.select([n for n in X.names if X.features.groups.get(n) != "descriptor"]).at(X.time, X.pixel)
    smnet = make_model("smnet", **TINY["smnet"]).fit(X, y)
    tssmnet = make_model("tssmnet", **TINY["tssmnet"]).fit(bare, y)
    np.testing.assert_array_equal(smnet.predict(X), tssmnet.predict(bare))


def test_smnet_does_not_see_a_change_of_a_descriptor_and_tssmnet_does():
    X, y = some_samples()
    features = X.features
    static = features.static.copy()
    static[:, [1, 3]] += 1.0
    changed = dataclasses.replace(features, static=static).at(X.time, X.pixel)
    for name, sees in (("smnet", False), ("tssmnet", True)):
        model = make_model(name, **TINY[name]).fit(X, y)
        assert (np.abs(model.predict(changed) - model.predict(X)).max() > 1e-6) == sees


def test_resautonet_is_tssmnet_without_convolutions():
    X, y = some_samples()
    one = make_model("resautonet", **TINY["resautonet"]).fit(X, y)
    other = make_model("tssmnet", channels=(), **TINY["tssmnet"]).fit(X, y)
    np.testing.assert_array_equal(one.predict(X), other.predict(X))
    assert not any("convolutions" in k for k in weights(one))


def test_shortcuts_have_no_weights_of_their_own_and_change_the_result():
    torch.manual_seed(0)
    net = EncoderDecoder(6, TsSMNetConfig(layers=(8, 4), norm=False, dropout=0.0))
    x = torch.randn(5, 6)
    with_shortcuts = net(x)
    net.shortcuts = False
    assert not torch.allclose(net(x), with_shortcuts)


def test_with_all_layers_silent_the_shortcuts_still_carry_the_features_to_the_head():
    net = EncoderDecoder(3, TsSMNetConfig(layers=(4, 2), norm=False, channels=(), activation="relu"))
    for layer in [*net.encoder, *net.decoder]:
        for p in layer.parameters():
            torch.nn.init.zeros_(p)
    torch.nn.init.ones_(net.head.weight)
    torch.nn.init.zeros_(net.head.bias)
    x = torch.randn(7, 3)
    torch.testing.assert_close(net(x), x.sum(1))


@pytest.mark.parametrize(("features", "channels"), [(1, (4,)), (2, (4, 8)), (37, (4, 8, 8)), (5, ())])
def test_any_number_of_features_fits_the_network(features, channels):
    net = EncoderDecoder(features, TsSMNetConfig(layers=(8, 4), channels=channels))
    assert net(torch.randn(6, features)).shape == (6,)


@pytest.mark.parametrize("name", ["tssmnet", "resautonet", "transformer"])
def test_a_nonlinear_function_is_learnt_better_than_a_straight_fit(name):
    rng = np.random.default_rng(0)
    table = rng.normal(size=(2000, 5)).astype(np.float32)
    y = (0.25 + 0.03 * table[:, 0] * table[:, 1] + 0.03 * np.abs(table[:, 2])).astype(np.float32)
    params = {"layers": (32, 16)} if name != "transformer" else {"patch": 1, "width": 16}
    params |= {"epochs": 15, "batch": 128, "rate": 1e-2, "dropout": 0.0, "patience": 0, "precision": "32-true"}
    model = make_model(name, device="cpu", **params).fit(table[:1500], y[:1500])
    design = np.c_[np.ones(2000), table]
    straight = design @ np.linalg.lstsq(design[:1500], y[:1500], rcond=None)[0]
    error = [np.sqrt(np.mean((e[1500:] - y[1500:]) ** 2)) for e in (model.predict(table), straight)]
    assert error[0] < 0.5 * error[1]


def test_history_follows_the_losses_of_table_3():
    X, y = some_samples()
    model = make_model("tssmnet", **TINY["tssmnet"]).fit(X, y)
    assert [row["epoch"] for row in model.history_] == [1, 2, 3]
    for row in model.history_:
        assert set(row) == {"epoch", "train_loss", "validation_loss", "train_r2", "validation_r2", "seconds"}
        assert row["train_r2"] == pytest.approx(1 - row["train_loss"])


def test_the_best_epoch_is_the_one_that_is_kept(monkeypatch):
    from tssmnet.models import training

    X, y = some_samples()
    losses = iter([0.5, 0.2, 0.4, 0.3])
    states = []

    def pretend(self):
        states.append({k: v.clone() for k, v in self.net.state_dict().items()})
        return {"validation_loss": next(losses)}

    monkeypatch.setattr(training._Trainer, "_validate", pretend)
    model = make_model("resautonet", **TINY["resautonet"] | {"epochs": 10, "patience": 2}).fit(X, y)
    assert len(model.history_) == 4
    for key, value in states[1].items():
        torch.testing.assert_close(model.net_.state_dict()[key], value, rtol=0, atol=0)


def test_missing_predictors_count_as_the_mean():
    X, y = some_samples()
    model = make_model("resautonet", **TINY["resautonet"]).fit(X, y)
    mean = model.net_[0].mean.numpy()
    filled, missing = np.tile(mean, (2, 1)), np.tile(mean, (2, 1))
    missing[:, 2] = np.nan
    features = [Features(np.empty((1, 2, 0), np.float32), t, (), X.names) for t in (filled, missing)]
    estimates = [model.predict(f.at([0, 0], [0, 1])) for f in features]
    np.testing.assert_allclose(*estimates, rtol=1e-6)


def test_gathered_batches_are_the_rows_of_the_table():
    X, _ = some_samples()
    keep = np.array([0, 2, 3, 6])
    rows = torch.tensor([5, 0, 17])
    gathered = Gather(X, torch.device("cpu"), keep)(rows)
    np.testing.assert_array_equal(gathered.numpy(), X.table()[rows][:, keep])


def test_moments_agree_with_numpy_far_from_zero_and_with_gaps():
    rng = np.random.default_rng(0)
    table = (rng.normal(size=(500, 4)) * [1, 0.01, 5, 0] + [1e5, 300, 0, 7]).astype(np.float32)
    table[rng.random(table.shape) < 0.2] = np.nan
    mean, scale = moments(iter(torch.as_tensor(table).split(70)))
    exact = table.astype(np.float64)
    np.testing.assert_allclose(mean, np.nanmean(exact, 0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scale[:3], 1 / np.nanstd(exact, 0)[:3], rtol=1e-4)
    assert scale[3] == 0


def test_dropout_drops_the_asked_share_and_keeps_the_mean():
    layer = Dropout(0.3).train()
    torch.manual_seed(0)
    out = torch.stack([layer(torch.ones(64, 50)) for _ in range(20)])
    assert (out == 0).float().mean() == pytest.approx(0.3, abs=0.01)
    assert out.mean() == pytest.approx(1, abs=0.02)
    assert not torch.equal(out[0], out[1])
    assert torch.equal(layer.eval()(torch.ones(5)), torch.ones(5))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("matrix_rate", [0.0, 0.02])
def test_every_weight_has_one_optimiser_and_muon_those_of_linear_layers(name, matrix_rate):
    model = make_model(name, matrix_rate=matrix_rate, **TINY[name])
    net = assemble(model, 7)
    optimizers = make_optimizers(net, model.config)
    owned = [[id(p) for g in o.param_groups for p in g["params"]] for o in optimizers]
    assert sorted(i for ids in owned for i in ids) == sorted(map(id, net.parameters()))
    linear = {id(m.weight) for m in net.modules() if isinstance(m, torch.nn.Linear) and m.out_features > 1}
    assert [set(ids) & linear for ids in owned] == ([set(), linear] if matrix_rate else [linear])


def test_a_step_of_a_linear_layer_is_about_orthogonal():
    model = make_model("resautonet", layers=(32, 16), weight_decay=0.0, device="cpu")
    net = assemble(model, 24)
    layer = net[1].encoder[0].steps[0]
    before = layer.weight.detach().clone()
    net(torch.randn(64, 24)).square().mean().backward()
    for optimizer in make_optimizers(net, model.config):
        optimizer.step()
    singular = torch.linalg.svdvals(before - layer.weight.detach())
    size = 0.2 * 32**0.5 * model.config.matrix_rate  # of a step whose root mean square is that of AdamW's
    assert 0.5 * size < singular.min() <= singular.max() < 1.5 * size


def test_orthogonal_steps_get_further_in_as_many_epochs_than_adamw():
    X, y = some_samples()
    settings = SMALL | {"layers": (32, 16), "epochs": 6, "batch": 32, "patience": 0, "dropout": 0.0}
    muon, adamw = (make_model("resautonet", matrix_rate=r, **settings).fit(X, y).history_ for r in (0.02, 0.0))
    assert muon[-1]["train_loss"] < 0.95 * adamw[-1]["train_loss"]


def test_training_leaves_the_random_state_of_the_caller_alone():
    X, y = some_samples()
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    make_model("resautonet", **TINY["resautonet"]).fit(X, y)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("name", "wrong"), [("activation", "rellu"), ("validation", "block"), ("precision", "bf16-mix")]
)
def test_a_misspelt_choice_is_answered_with_the_nearest(name, wrong):
    X, y = some_samples()
    with pytest.raises(UnknownNameError, match="did you mean"):
        make_model("tssmnet", **TINY["tssmnet"] | {name: wrong}).fit(X, y)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_gpu_is_said_plainly():
    X, y = some_samples()
    with pytest.raises(TssmnetError, match="no CUDA device"):
        make_model("tssmnet", device="cuda").fit(X, y)


def test_a_single_sample_is_too_few():
    with pytest.raises(TssmnetError, match="two samples or more"):
        make_model("tssmnet").fit(np.zeros((1, 3)), [0.2])


def test_half_precision_gives_the_same_losses_within_a_few_percent():
    X, y = some_samples()
    runs = [make_model("tssmnet", **TINY["tssmnet"] | {"precision": p}).fit(X, y) for p in ("32-true", "bf16-mixed")]
    full, half = ([row["train_loss"] for row in m.history_] for m in runs)
    np.testing.assert_allclose(half, full, rtol=0.05)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_losses_of_the_cpu():
    X, y = some_samples()
    runs = [make_model("tssmnet", **TINY["tssmnet"] | {"device": d, "dropout": 0.0}).fit(X, y) for d in ("cpu", "cuda")]
    np.testing.assert_allclose(*(np.array([r["validation_loss"] for r in m.history_]) for m in runs), rtol=0.02)


def test_simulated_data_are_those_of_the_formula():
    from tssmnet.book.shortcuts import NOISE, simulated_data

    X, y = simulated_data(3)
    x = X.T.astype(float)
    noise = y - (x[0] + x[1] * x[2] ** 0.5 + x[3] + (x[4] / 500) ** 0.3 - x[5] + x[6] ** 0.5 + x[7])
    assert noise.std() == pytest.approx(NOISE, rel=0.1)
    assert abs(noise.mean()) < 4 * NOISE / np.sqrt(1200)


def test_on_simulated_data_the_residual_autoencoder_learns_and_shortcuts_help():
    from tssmnet.book.shortcuts import shortcut_trial

    with_shortcuts, without = (shortcut_trial(0, kept, {"epochs": 15})["r2"] for kept in (True, False))
    assert with_shortcuts > 0.8
    assert with_shortcuts > without + 0.02
