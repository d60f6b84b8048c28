"""What the optimiser holds and does: NaN of its own, foreign tensors, uphill, and layers unread."""

from __future__ import annotations

import copy

import pytest
import torch
from corpus.contract.builders import groups, mapped, net, numbers, squared
from corpus.contract.holders import Normalised, all_new, half, half_data, new_head, used, words
from corpus.nets import Through, adam, sgd
from corpus.unusual.builders import Model
from support.objective import is_true, judged, started
from support.starts import ids, named, told
from support.state import changed, fingerprint
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose
from pytest_initcheck.capture.optimizer_facts import decay_share


def start(entry):
    make, data, *options = entry
    return judged(make, data, **(options[0] if options else {}))


def zero_head():
    model = net()()
    nn.init.zeros_(model[2].weight)
    nn.init.zeros_(model[2].bias)
    return model


def by(optimizer, *rate, **options):
    return {"optimizer": lambda p: optimizer(p, *rate, **options)}


ADAM, SGD = torch.optim.Adam, torch.optim.SGD
SPOILED = {
    "no eps on unused rows": (words, used, by(ADAM, 1e-3, eps=0.0)),
    "an eps of 1e-8 in half precision": (half, half_data, by(ADAM, 1e-3)),
    "steps divided by a norm of zero": (zero_head, groups, by(Normalised, 0.05, 0.0)),
    "a rate of infinity": (net(), groups, by(SGD, float("inf"))),
}


@pytest.mark.parametrize("name", SPOILED)
def test_an_optimiser_that_makes_nan_of_finite_gradients(name):
    found = start(SPOILED[name])
    first = found.findings[0]
    assert (first.id, first.severity) == ("IC808", "error"), str(found)
    assert first.measured == 1
    assert first.layer
    assert is_true(first)


def test_weights_that_only_a_double_holds_are_finite():
    def data():
        x, y = numbers(50.0)()
        return x.double(), y.double()

    found = judged(lambda: net(None, 1)().double(), data, squared, **by(SGD, 1.0))

    assert any(1e39 < loss < float("inf") for loss in found.losses)
    assert ids(found)[:1] == ["IC603"]


SOUND = {
    "Adam on unused rows": (words, used, by(ADAM, 1e-3)),
    "an eps of 1e-4 in half precision": (half, half_data, by(ADAM, 1e-3, eps=1e-4)),
    "steps divided by a norm and more": (zero_head, groups, by(Normalised, 0.05, 1e-8)),
    "RMSprop": (net(), groups, by(torch.optim.RMSprop, 1e-3)),
    "LBFGS": (net(), groups, by(torch.optim.LBFGS, 0.1)),
    "momentum": (net(), groups, by(SGD, 0.05, momentum=0.9, nesterov=True)),
}


@pytest.mark.parametrize("name", SOUND)
def test_optimisers_that_do_as_they_should(name):
    found = start(SOUND[name])
    assert found.verdict == "pass", str(found)


def after(change, optimizer=SGD, rate=0.1):
    """An optimiser that was built before ``change(model)``, which may return another model."""

    def build():
        model = net()()
        held = list(model.parameters())
        model = change(model) or model
        return diagnose(model, groups(), None, lambda _: optimizer(held, rate))

    return started(build)


@pytest.mark.parametrize(("change", "count", "layers"), [
    (all_new, 4, ("0", "2")), (copy.deepcopy, 4, ("0", "2")), (new_head, 2, ("2",)),
])  # fmt: skip
def test_an_optimiser_of_other_tensors(change, count, layers):
    found = after(change)
    first = found.findings[0]
    assert (first.id, found.verdict) == ("IC809", "fail"), str(found)
    assert first.layers == layers
    assert first.measured == (count if "not the model's" in first.quantity else 0)
    assert is_true(first)
    assert "IC602" not in ids(found)
    assert "IC601" not in ids(found)


def of_nothing(_):
    raise ValueError("optimizer got an empty parameter list")


def frozen():
    return net()().requires_grad_(False)


def partly():
    model = net()()
    model[0].requires_grad_(False)
    return model


@pytest.mark.parametrize("optimizer", [
    of_nothing, lambda p: SGD([], 0.1), lambda p: ADAM([q for q in p if q.dim() > 5], 1e-3),
])  # fmt: skip
def test_an_optimiser_of_nothing_is_a_finding(optimizer):
    found = judged(net(), groups, optimizer=optimizer)
    assert ids(found) == ["IC809"], str(found)
    assert found.verdict == "fail"
    assert is_true(found.findings[0])
    assert len(set(found.losses)) == 1


@pytest.mark.parametrize("optimizer", [None, adam(1e-3), of_nothing])
def test_a_frozen_model_is_a_finding_and_stays_frozen(optimizer):
    start = started(lambda: (frozen(), groups()))
    before = fingerprint(*start)
    found = diagnose(*start, optimizer=optimizer)
    assert (ids(found), found.verdict) == (["IC809"], "fail"), str(found)
    assert "frozen" in found.findings[0].cause
    assert "requires_grad" in found.findings[0].remedy
    assert is_true(found.findings[0])
    assert changed(before, fingerprint(*start)) == []
    assert not any(p.requires_grad for p in start[0].parameters())


def test_a_frozen_model_is_put_back_where_the_diagnosis_raises():
    model = frozen()
    with pytest.raises(Exception, match="no such thing"):
        diagnose(model, groups(), forward=lambda m, b: {}["no such thing"])
    assert not any(p.requires_grad for p in model.parameters())
    assert all(p.grad is None for p in model.parameters())


def test_assert_healthy_fails_on_a_frozen_model(models):
    models.test(
        test_it="""
        import nets

        def test_frozen(initcheck):
            initcheck.assert_healthy(nets.net().requires_grad_(False), nets.batch())

        def test_free(initcheck):
            initcheck.assert_healthy(nets.net(), nets.batch())
    """
    )
    result = models.run("--initcheck-update")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*IC809*frozen*"])


class Weighed(nn.Module):
    """A loss with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.log = nn.Parameter(torch.zeros(()))

    def forward(self, output, y):
        return functional.cross_entropy(output, y) * (-self.log).exp() + self.log


def with_loss():
    loss, model = Weighed(), net()()
    held = [*model.parameters(), *loss.parameters()]
    return diagnose(model, groups(), loss, lambda _: ADAM(held, 1e-3))


def of_head():
    model = partly()
    return diagnose(model, groups(), None, lambda _: ADAM(model[2].parameters(), 1e-3))


def with_unused():
    model, other = net()(), nn.Linear(3, 3)
    return diagnose(model, groups(), None,
                    lambda p: ADAM([*p, *other.parameters()], 1e-3))  # fmt: skip


@pytest.mark.parametrize("build", [
    with_loss, of_head, with_unused, lambda: diagnose(partly(), groups()),
    lambda: diagnose(net()(), groups(), None, lambda p: ADAM([{"params": p}], 1e-3)),
])  # fmt: skip
def test_an_optimiser_of_the_models_own_tensors(build):
    found = started(build)
    assert "IC809" not in told(found), str(found)


FIVES = mapped(numbers(), lambda y: 5 + y.tanh())
BITS = mapped(numbers(), lambda y: (y > 0).float())


def end(last, rate, data=BITS, optimizer=sgd):
    return net(last, 1), data, {"loss_fn": squared, "optimizer": optimizer(rate)}


# The first step leaves every sample where the output has no slope: the loss repeats exactly.
STUCK = {
    "a rate of 1 before an output ReLU": end(nn.ReLU, 1.0, FIVES),
    "Adam of 100 before a hard sigmoid": end(nn.Hardsigmoid, 100.0, BITS, adam),
    "a rate of 10 before a clamp": end(lambda s: s.clamp(0, 10), 10.0, FIVES),
}
LIVING = {
    "an output ReLU": end(nn.ReLU, 0.01, FIVES),
    "a sigmoid": end(nn.Sigmoid, 0.3),
    "a hard sigmoid": end(nn.Hardsigmoid, 1e-3, BITS, adam),
    "a satisfied hinge": (
        net(None, 1), lambda: (lambda x, y: (3 * x, 2.0 * (y[:, None] % 2) - 1))(*groups(2)),
        {"loss_fn": lambda o, y: functional.relu(1 - y * o).mean(), "optimizer": sgd(0.5)}),
    "a line": end(None, 0.01),
}  # fmt: skip


@pytest.mark.parametrize("name", STUCK)
def test_nothing_can_move_after_the_first_steps(name):
    found = start(STUCK[name])
    assert found.verdict == "fail"
    assert "IC810" in told(found), str(found)
    assert found.losses[-1] == found.losses[-2]
    for finding in found.findings:
        if finding.id == "IC810":
            assert finding.severity == "error"
            assert is_true(finding)
            assert f"{found.losses[-1]:.4g}" in finding.quantity


@pytest.mark.parametrize("name", LIVING)
def test_steps_after_which_there_is_a_gradient(name):
    found = start(LIVING[name])
    assert "IC810" not in told(found), str(found)


AGAINST = {
    "maximised": ((net(), groups, by(SGD, 0.05, maximize=True)), "error"),
    "maximised by Adam": ((net(), groups, by(ADAM, 1e-3, maximize=True)), "error"),
    "a decay of all": ((net(), groups, by(SGD, 0.1, weight_decay=0.9)), "error"),
    "a decay of a hundredth": ((net(), groups, by(SGD, 0.1, weight_decay=0.1)), "warning"),
    "a decay just above": ((net(), groups, by(SGD, 0.1, weight_decay=0.055)), "warning"),
    "a decay by AdamW": ((net(), groups, by(torch.optim.AdamW, 1e-2, weight_decay=5.0)), "error"),
}
WITH = {
    "SGD": (net(), groups, by(SGD, 0.1)),
    "a small decay": (net(), groups, by(SGD, 0.1, weight_decay=5e-4)),
    "a decay just below": (net(), groups, by(SGD, 0.1, weight_decay=0.045)),
    "AdamW": (net(), groups, by(torch.optim.AdamW, 1e-3)),
    "a decay within Adam": (net(), groups, by(ADAM, 1e-3, weight_decay=0.1)),
    "signs": (net(), groups, by(torch.optim.Rprop, 1e-3)),
    "the default": (net(), groups, {"optimizer": None}),
    "a rate of zero": (net(), groups, by(SGD, 0.0)),
}


@pytest.mark.parametrize("name", AGAINST)
def test_an_optimiser_that_works_against_the_loss(name):
    entry, severity = AGAINST[name]
    found = start(entry)
    first = found.findings[0]
    assert (first.id, first.severity) == ("IC815", severity), str(found)
    assert is_true(first)
    if "maximised" in name:
        assert "maximised" in first.cause
        assert 0.2 < first.measured <= 1
    else:
        group = entry[2]["optimizer"](nn.Linear(1, 1).parameters()).param_groups[0]
        assert first.measured == pytest.approx(group["lr"] * group["weight_decay"])


def quiet(scale):
    """A loss whose gradient is scaled down, as by a mean that is taken twice."""
    return lambda o, y: scale * functional.cross_entropy(o, y)


@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=("SGD", "Adam"))
def test_a_decay_that_outweighs_the_gradient(optimizer):
    settings = {"loss_fn": quiet(1e-4), **by(optimizer, 1e-2, weight_decay=1e-3)}
    found = start((net(), groups, settings))
    (first,) = (each for each in found.findings if each.id == "IC815")
    assert first.severity == "warning"
    assert first.measured > 1
    assert "shortens the weights" in first.cause
    without = {**settings, **by(optimizer, 1e-2)}
    assert "IC815" not in told(start((net(), groups, without)))


def test_a_decay_beside_the_gradient_is_measured_where_there_is_one():
    model = nn.Embedding(100, 4)
    with torch.no_grad():
        model.weight.fill_(2.0)
    model(torch.tensor([3])).sum().backward()
    coupled = torch.optim.Adam(model.parameters(), weight_decay=0.25)
    assert decay_share(coupled) == pytest.approx(0.5)
    assert decay_share(torch.optim.AdamW(model.parameters(), weight_decay=0.25)) == 0


@pytest.mark.parametrize("name", WITH)
def test_an_optimiser_that_works_for_the_loss(name):
    assert "IC815" not in told(start(WITH[name]))


def parts(run, **more):
    return lambda: Model(run, a=nn.Linear(20, 64), b=nn.Linear(64, 64), head=nn.Linear(64, 10),
                         **more)  # fmt: skip


def overwritten(m, x):
    h = torch.relu(m.a(x))
    y = m.b(h)
    y = h
    return m.head(y)


UNREAD = {
    "computed and dropped": parts(lambda m, x: (m.b(h := torch.relu(m.a(x))), m.head(h))[1]),
    "overwritten": parts(overwritten),
    "taken by no sum": parts(lambda m, x: m.head([h := torch.relu(m.a(x)), torch.relu(m.b(h))][0])),
}


@pytest.mark.parametrize("name", UNREAD)
def test_a_layer_that_nothing_reads(name):
    found = judged(UNREAD[name], groups)
    first = found.findings[0]
    assert (first.id, first.severity, first.layer) == ("IC604", "warning", "b"), str(found)
    assert found.verdict == "warn"
    assert is_true(first)


def watched(m, x):
    with torch.no_grad():
        m.b(h := torch.relu(m.a(x)))
    return m.head(h)


READ = {
    "every layer": (parts(lambda m, x: m.head(torch.relu(m.b(torch.relu(m.a(x)))))), {}),
    "under no_grad": (parts(watched), {}),
    "an output that the loss does not read": (
        parts(lambda m, x: (m.head(h := torch.relu(m.a(x))), m.b(h))),
        {"loss_fn": lambda o, y: functional.cross_entropy(o[0], y)}),
    "a layer that did not run": (parts(lambda m, x: m.head(torch.relu(m.a(x)))), {}),
    "a layer in a mask that is learnt straight through": (
        parts(lambda m, x: m.head((h := torch.relu(m.a(x))) * m.b(h).sigmoid())), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_layers_that_something_reads(name):
    make, options = READ[name]
    found = judged(make, groups, **options)
    assert "IC604" not in told(found), str(found)


def dropping(p, kind=nn.Dropout):
    wide = kind in (nn.Dropout1d, nn.Dropout2d)
    shape = [nn.Unflatten(1, (64, 1, 1)[: 3 if kind is nn.Dropout2d else 2])] if wide else []
    return lambda: nn.Sequential(
        nn.Linear(20, 64), nn.ReLU(), *shape, kind(p), *([nn.Flatten()] if wide else []),
        nn.Linear(64, 10),
    )  # fmt: skip


@pytest.mark.parametrize(("p", "kind"), [
    (0.9, nn.Dropout), (0.95, nn.Dropout), (0.99, nn.AlphaDropout), (0.9, nn.Dropout2d),
])  # fmt: skip
def test_dropout_of_nearly_everything(p, kind):
    found = judged(dropping(p, kind), groups)
    first = named(found, "IC108")
    assert first.severity == "warning"
    assert found.verdict == "warn", str(found)
    assert isinstance(dict(dropping(p, kind)().named_modules())[first.layer], kind)
    assert is_true(first)


@pytest.mark.parametrize(("p", "kind"), [
    (0.5, nn.Dropout), (0.89, nn.Dropout), (0.0, nn.Dropout), (0.2, nn.Dropout2d),
    (0.5, nn.AlphaDropout), (1.0, lambda p: Through(lambda h: functional.dropout(h, 0.1))),
])  # fmt: skip
def test_dropout_of_a_part(p, kind):
    found = judged(dropping(p, kind), groups)
    assert found.verdict == "pass", str(found)
