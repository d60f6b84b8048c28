"""Models, batches and tensors of every form are captured, and the numbers are autograd's."""

from __future__ import annotations

import itertools
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from pytest_initcheck import diagnose
from pytest_initcheck.capture import look

Pair = namedtuple("Pair", "logits extra")


def mlp(*sizes):
    torch.manual_seed(0)
    parts = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*parts[:-1])


def data(count=32, features=6, kinds=3):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, features, generator=generator)
    return x, torch.randint(0, kinds, (count,), generator=generator)


def check(stats, tensor, *, rtol=1e-4):
    """A summary against the same moments by numpy."""
    values = tensor.detach().double().numpy().reshape(-1)
    size = np.abs(values).max()
    assert stats.n == values.size
    assert stats.mean == pytest.approx(values.mean(), rel=rtol, abs=1e-6 * size)
    assert stats.std == pytest.approx(values.std(), rel=rtol, abs=1e-6 * size)
    assert stats.min == pytest.approx(values.min(), rel=rtol)
    assert stats.max == pytest.approx(values.max(), rel=rtol)


def test_weights_and_gradients_are_those_of_autograd():
    model, (x, y) = mlp(6, 16, 16, 3), data()
    record = look(model, (x, y))
    loss = functional.cross_entropy(model(x), y)
    loss.backward()
    assert record.loss == pytest.approx(loss.item(), rel=1e-6)
    for name in ("0", "2", "4"):
        layer, module = record.layer(name), model.get_submodule(name)
        for kind in ("weight", "bias"):
            check(layer.weights[kind], getattr(module, kind))
            check(layer.gradients[kind], getattr(module, kind).grad)
    check(record.inputs, x)
    check(record.outputs, model(x))


def test_the_update_ratio_is_that_of_the_steps_taken():
    model, (x, y) = mlp(6, 16, 3), data()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    found = diagnose(model, (x, y), optimizer=lambda p: torch.optim.SGD(p, 0.1), steps=3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
    losses.append(float(functional.cross_entropy(model(x), y)))
    assert found.losses == pytest.approx(losses, rel=1e-5)
    for name, parameter in model.named_parameters():
        layer, _, kind = name.rpartition(".")
        wanted = float((parameter.detach() - before[name]).norm() / before[name].norm())
        assert found.after.layer(layer).update_ratio[kind] == pytest.approx(wanted, rel=1e-4)
        check(found.after.layer(layer).weights[kind], parameter)


def test_a_weight_that_starts_at_zero_has_an_infinite_ratio_once_it_moves():
    model = mlp(6, 16, 3)
    nn.init.zeros_(model[2].bias)
    found = diagnose(model, data(), steps=1)
    assert found.after.layer("2").update_ratio["bias"] == float("inf")


@pytest.mark.parametrize("width", [6, 40])
def test_locked_units_are_named_exactly(width):
    model = mlp(6, width, 3)
    model[1] = nn.Tanh()
    with torch.no_grad():
        for twins in ((1, 4), (2, 3, 5)):
            for unit in twins[1:]:
                model[0].weight[unit] = model[0].weight[twins[0]]
                model[0].bias[unit] = model[0].bias[twins[0]]
                model[2].weight[:, unit] = model[2].weight[:, twins[0]]
    (finding,) = [f for f in diagnose(model, data()).findings if f.id == "IC201"]
    assert (finding.layer, finding.units) == ("0", (1, 2, 3, 4, 5))


class Form(nn.Module):
    """Returns its logits in the form that ``shape`` makes of them."""

    def __init__(self, shape):
        super().__init__()
        self.body = mlp(6, 16, 3)
        self.shape = shape

    def forward(self, x):
        return self.shape(self.body(x))


FORMS = {
    "tuple": lambda out: (out, {"state": 1}),
    "list": lambda out: [out, out.detach()],
    "dict": lambda out: {"features": 2 * out, "logits": out},
    "out": lambda out: {"out": out, "aux": out.detach()},
    "namedtuple": lambda out: Pair(out, None),
    "object": lambda out: SimpleNamespace(logits=out),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_logits_are_found_in_what_a_model_returns(form):
    plain = diagnose(mlp(6, 16, 3), data())
    found = diagnose(Form(FORMS[form]), data())
    assert found.losses == pytest.approx(plain.losses)
    assert found.verdict == "pass"


@pytest.mark.parametrize("form", ["dict", "object"])
def test_the_loss_that_a_model_returns_is_used(form):
    def own(out):
        parts = {"loss": out.square().mean(), "logits": out}
        return parts if form == "dict" else SimpleNamespace(**parts)

    model, (x, y) = Form(own), data()
    wanted = float(model.body(x).square().mean())
    assert diagnose(model, (x, y)).losses[0] == pytest.approx(wanted)
    assert diagnose(model, x).losses[0] == pytest.approx(wanted)


class Named(nn.Module):
    """Takes its inputs by name, and the labels where ``labels`` says so."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(6, 8), nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, a, b=None):
        h = self.a(a)
        return self.head(functional.relu(h if b is None else h + self.b(b)))


class Labelled(Named):
    def forward(self, a, b, labels):
        logits = super().forward(a, b)
        return {"logits": logits, "loss": functional.cross_entropy(logits, labels)}


def parts():
    x, y = data()
    return {"a": x, "b": torch.randn(32, 4, generator=torch.Generator().manual_seed(2)), "y": y}


def test_batches_of_all_forms_give_one_diagnosis():
    torch.manual_seed(0)
    model, p = Named(), parts()
    a, b, y = p["a"], p["b"], p["y"]
    found = [
        diagnose(model, ((a, b), y)),
        diagnose(model, [(a, b), y]),
        diagnose(model, ({"a": a, "b": b}, y)),
        diagnose(model, {"a": a, "b": b, "labels": y}),
        diagnose(model, {"a": a, "b": b, "y": y}),
        diagnose(
            model, p, forward=lambda m, q: functional.cross_entropy(m(q["a"], q["b"]), q["y"])
        ),
    ]
    assert {round(d.losses[-1], 6) for d in found} == {round(found[0].losses[-1], 6)}
    assert {d.verdict for d in found} == {"pass"}


def test_a_mapping_is_passed_by_name_and_its_loss_is_used():
    torch.manual_seed(0)
    model, p = Labelled(), parts()
    found = diagnose(model, {"a": p["a"], "b": p["b"], "labels": p["y"]})
    assert found.verdict == "pass"
    assert found.losses[0] == pytest.approx(1.1, abs=0.5)


def test_inputs_alone_go_to_a_loss_of_the_output():
    model, (x, _) = mlp(6, 16, 6), data()
    found = diagnose(model, x, loss_fn=lambda output: (output - 1).square().mean())
    assert found.losses[-1] < found.losses[0]


def test_targets_that_are_no_tensor_reach_the_loss():
    model, (x, y) = mlp(6, 16, 3), data()

    def loss(output, targets):
        return functional.cross_entropy(output, targets["classes"])

    assert diagnose(model, (x, {"classes": y, "names": ["a"]}), loss_fn=loss).verdict == "pass"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_precision_is_kept_and_stated(dtype):
    model, (x, y) = mlp(6, 32, 3).to(dtype), data()
    found = diagnose(model, (x.to(dtype), y))
    name = str(dtype).removeprefix("torch.")
    assert found.verdict == "pass"
    assert found.record.meta["dtype"] == name
    assert found.record.layer("0").weights["weight"].dtype == name
    assert found.record.layer("0").activations.dtype == name


def test_autocast_inside_the_model_is_seen_in_its_activations():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = mlp(6, 16, 3)

        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16):
                return self.body(x).float()

    found = diagnose(Mixed(), data())
    assert found.verdict == "pass"
    assert found.record.layer("body.0").activations.dtype == "bfloat16"


def test_complex_weights_are_summarised():
    class Complex(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.body, self.head = nn.Linear(6, 16, dtype=torch.cfloat), nn.Linear(16, 3)

        def forward(self, x):
            return self.head(torch.relu(self.body(x.to(torch.cfloat)).abs() - 0.5))

    found = diagnose(Complex(), data())
    assert found.verdict == "pass"
    check(found.record.layer("body").weights["weight"], Complex().body.weight.abs())


def test_sparse_gradients_are_summarised():
    class Sparse(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.body, self.head = nn.Embedding(50, 8, sparse=True), nn.Linear(8, 3)

        def forward(self, ids):
            return self.head(self.body(ids).mean(1))

    ids = torch.randint(0, 50, (16, 4), generator=torch.Generator().manual_seed(0))
    model, y = Sparse(), data(16)[1]
    found = diagnose(model, (ids, y))
    assert found.verdict == "pass"
    assert found.record.layer("body").gradients["weight"].max > 0
    assert model.body.weight.grad is None


def test_lazy_modules_are_diagnosed_and_stay_lazy():
    torch.manual_seed(0)
    model = nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(3))
    found = diagnose(model, data())
    assert found.verdict == "pass"
    assert found.record.layer("0").weights["weight"].shape == (16, 6)
    assert isinstance(model[0], nn.LazyLinear)
    assert isinstance(model[0].weight, nn.parameter.UninitializedParameter)
    assert model(data()[0]).shape == (32, 3)


WRAPS = {
    "weight norm": parametrizations.weight_norm,
    "orthogonal": parametrizations.orthogonal,
    "spectral norm": parametrizations.spectral_norm,
    "old weight norm": nn.utils.weight_norm,
    "old spectral norm": nn.utils.spectral_norm,
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("wrap", WRAPS)
def test_parametrised_layers_are_seen_under_their_own_name(wrap):
    model = mlp(6, 16, 16, 3)
    model[2] = WRAPS[wrap](model[2])
    found = diagnose(model, data())
    layer = found.record.layer("2")
    assert found.verdict == "pass"
    assert layer.nonlinearity == "relu"
    assert layer.units.count == 16
    assert layer.gradients


def test_buffers_alone_and_empty_parameters_do_no_harm():
    class Extra(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Module()
            self.table.register_buffer("values", torch.ones(3))
            self.body, self.spare = mlp(6, 16, 3), nn.Parameter(torch.empty(0, 4))

        def forward(self, x):
            return self.body(x) * self.table.values

    found = diagnose(Extra(), data())
    assert found.verdict == "pass"
    assert found.record.layer("spare").weights["spare"].n == 0


def test_a_model_in_eval_mode_is_diagnosed_in_training_mode():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)).eval()
    statistics = model[1].running_mean
    found = diagnose(model, data())
    assert found.verdict == "pass"
    assert not model.training
    assert not model[1].training
    assert model[1].running_mean is statistics
    assert int(model[1].num_batches_tracked) == 0


def test_one_sample_is_enough():
    found = diagnose(mlp(6, 32, 3), data(1))
    assert found.verdict == "pass"
    assert found.record.layer("0").units.count == 32


def test_a_single_sample_without_a_batch_axis_is_taken():
    model = mlp(6, 16, 3)
    found = diagnose(model, (torch.ones(6), torch.zeros(3)))
    assert found.record.inputs.n == 6


def test_ties_are_one_parameter():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.enter, self.leave = nn.Embedding(50, 8), nn.Linear(8, 50, bias=False)
            nn.init.normal_(self.enter.weight, 0, 0.1)
            self.leave.weight = self.enter.weight

        def forward(self, ids):
            return self.leave(self.enter(ids))

    ids = torch.randint(0, 50, (8, 4), generator=torch.Generator().manual_seed(0))
    model = Tied()
    found = diagnose(model, (ids, ids.roll(1)))
    assert found.verdict == "pass"
    assert model.leave.weight is model.enter.weight


def test_layers_come_in_the_order_in_which_they_ran():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.last, self.middle, self.first = nn.Linear(8, 3), nn.Linear(8, 8), nn.Linear(6, 8)
            self.never = nn.Linear(2, 2)

        def forward(self, x):
            return self.last(torch.relu(self.middle(torch.relu(self.first(x)))))

    record = look(Backwards(), data())
    names = [layer.name for layer in record.layers]
    assert names == ["first", "middle", "last", "never"]
    assert record.layer("never").activations is None


def test_nan_in_the_weights_is_a_finding_and_the_rest_is_summarised():
    model = mlp(6, 16, 3)
    with torch.no_grad():
        model[2].weight[0, :4] = float("nan")
        model[2].weight[1, 0] = float("inf")
    found = diagnose(model, data())
    weight = found.record.layer("2").weights["weight"]
    assert found.verdict == "fail"
    assert (found.findings[0].id, found.findings[0].layer) == ("IC501", "2")
    assert weight.nonfinite == 5
    check(found.record.layer("0").weights["weight"], model[0].weight)
    finite = model[2].weight.detach()[model[2].weight.isfinite()]
    assert weight.mean == pytest.approx(float(finite.mean()), rel=1e-4)


@pytest.mark.parametrize("name", ["groups", "config", "num_heads", "loss", "scale"])
@pytest.mark.parametrize("value", [nn.Linear(2, 2), torch.ones(2, 2), "four", None])
def test_a_name_that_layers_of_torch_have_may_be_anything_to_others(name, value):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.kernel = mlp(6, 8, 3), nn.Parameter(torch.randn(6, 1, 3))
            setattr(self, name, value)

        def forward(self, x):
            return self.body(
                functional.conv1d(x[:, :, None], self.kernel, padding=1, groups=6)[..., 0]
            )

    assert diagnose(Named(), data(), loss_fn=functional.cross_entropy).record.layers
