"""Steps with a fault: each is found by its own rule, and only by that."""

from __future__ import annotations

import copy
import itertools
import os
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from support.steps import Case, Net, adam, batch, loss_of, net, plain, sgd
from torch import nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from pytest_initcheck import check_step
from pytest_initcheck.checks import rules

CASES = {}


def case(id, severity="error", words=""):
    """A faulty step, and what has to be found in it, alone."""

    def register(function):
        assert function.__name__ not in CASES
        CASES[function.__name__] = function, id, severity, words
        return function

    return register


def variants(id, severity="error", words="", **makers):
    """The same for several, by name."""
    for name, make in makers.items():
        assert name not in CASES
        CASES[name] = make, id, severity, words


def simple(model, make=sgd, step=plain, **options):
    return Case(step, model, make(model), batch(), options)


def one(make, id, severity, words=""):
    """The one finding of a faulty step."""
    given = make()
    report = check_step(*given[:4], **given.options)
    assert [(f.id, f.severity) for f in report.findings] == [(id, severity)], str(report)
    (finding,) = report.findings
    assert words in finding.cause, finding.cause
    assert finding.check == "step"
    assert report.verdict == {"error": "fail", "warning": "warn", "info": "pass"}[severity]
    return finding


# IC851: gradients that are not zeroed


def never_zeroed(model, optimizer, batch):
    loss = loss_of(model, batch)
    loss.backward()
    optimizer.step()
    return loss


variants(
    "IC851",
    words="has already used is still there",
    never_zeroed_sgd=lambda: simple(net(), sgd, never_zeroed),
    never_zeroed_adam=lambda: simple(net(), adam, never_zeroed),
    never_zeroed_momentum=lambda: simple(net(), partial(sgd, momentum=0.9), never_zeroed),
    never_zeroed_small_rate=lambda: simple(net(), partial(sgd, lr=1e-6), never_zeroed),
    never_zeroed_norm_and_dropout=lambda: simple(Net(), adam, never_zeroed),
    never_zeroed_bfloat16=lambda: Case(
        never_zeroed,
        (model := net().bfloat16()),
        sgd(model),
        (batch()[0].bfloat16(), batch()[1]),
    ),
)


@case("IC851")
def micro_batches_without_zeroing():
    def step(model, optimizer, batch):
        for x, y in zip(batch[0].split(8), batch[1].split(8), strict=True):
            loss_of(model, (x, y)).backward()
        optimizer.step()

    return simple(net(), step=step)


@case("IC851")
def zeroed_every_third_call_though_it_steps_in_all():
    state = {"calls": 0}

    def step(model, optimizer, batch):
        if state["calls"] % 3 == 0:
            optimizer.zero_grad()
        state["calls"] += 1
        never_zeroed(model, optimizer, batch)

    return simple(net(), step=step)


@case("IC851", words="in 2 of 4 parameters")
def a_part_is_zeroed():
    def step(model, optimizer, batch):
        model[2].zero_grad()
        return never_zeroed(model, optimizer, batch)

    return simple(net(), step=step)


@case("IC851", words="the closure")
def closure_without_zeroing():
    def step(model, optimizer, batch):
        def closure():
            loss = loss_of(model, batch)
            loss.backward()
            return loss

        return optimizer.step(closure)

    return simple(net(), lambda m: torch.optim.LBFGS(m.parameters(), lr=1e-2), step)


@case("IC851")
def another_optimizer_is_zeroed():
    other = torch.optim.SGD(net().parameters(), lr=0.1)

    def step(model, optimizer, batch):
        other.zero_grad()
        return never_zeroed(model, optimizer, batch)

    return simple(net(), step=step)


@case("IC851")
def one_of_two_optimizers_is_not_zeroed():
    def step(model, optimizers, batch):
        optimizers[0].zero_grad()
        loss_of(model, batch).backward()
        for optimizer in optimizers:
            optimizer.step()

    return simple(net(), lambda m: [sgd(m[0]), adam(m[2])], step)


@case("IC851")
def a_loss_with_weights_that_the_model_does_not_zero():
    center = nn.Parameter(torch.zeros(3, 3))

    def step(model, optimizer, batch):
        model.zero_grad()
        out = model(batch[0])
        loss = functional.cross_entropy(out, batch[1]) + (out - center[batch[1]]).square().mean()
        loss.backward()
        optimizer.step()

    model = net()
    return Case(step, model, torch.optim.SGD([*model.parameters(), center], lr=0.01), batch())


@case("IC851")
def not_zeroed_with_a_scaler():
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

    def step(model, optimizer, batch):
        scaler.scale(loss_of(model, batch)).backward()
        scaler.step(optimizer)
        scaler.update()

    return simple(net(), step=step)


@case("IC851")
def an_overflow_that_is_never_zeroed():
    """The first scale overflows; without zeroing, inf stays in the gradient for good."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)

    def step(model, optimizer, batch):
        scaler.scale(loss_of(model, batch) * 100).backward()
        scaler.step(optimizer)
        scaler.update()

    return simple(net(), step=step)


@case("IC851")
def head_at_zero_and_never_zeroed():
    model = net()
    nn.init.zeros_(model[2].weight)
    return simple(model, step=never_zeroed)


# IC852, IC854: who holds the weights


def some(model, *words):
    chosen = [p for n, p in model.named_parameters() if not any(word in n for word in words)]
    return torch.optim.SGD(chosen, lr=0.05)


variants(
    "IC852",
    words="no optimiser has them",
    head_is_not_held=lambda: simple(Net(), lambda m: some(m, "head")),
    body_is_not_held=lambda: simple(Net(), lambda m: some(m, "body")),
    biases_are_not_held=lambda: simple(net(), lambda m: some(m, "bias")),
    norm_is_not_held=lambda: simple(Net(nn.LayerNorm), lambda m: some(m, "body.1")),
)


@case("IC852")
def layer_added_after_the_optimizer():
    model = net()
    optimizer = sgd(model)
    model.append(nn.Linear(3, 3))
    return Case(plain, model, optimizer, batch())


@case("IC852")
def unfrozen_after_the_optimizer_was_built():
    model = Net()
    model.body.requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.body.requires_grad_(True)
    return Case(plain, model, optimizer, batch())


variants_of_replacing = {
    "new_head": lambda m: setattr(m, "head", nn.Linear(16, 3)),
    "new_weight": lambda m: setattr(m.head, "weight", nn.Parameter(torch.randn(3, 16))),
    "assigned": lambda m: m.load_state_dict(
        {k: v.clone() for k, v in m.state_dict().items()}, assign=True
    ),
    "weight_norm": lambda m: nn.utils.parametrizations.weight_norm(m.head),
    "more_classes": lambda m: setattr(m, "head", nn.Linear(16, 5)),
}


@pytest.mark.parametrize("way", sorted(variants_of_replacing))
@pytest.mark.parametrize("make", [sgd, adam])
def test_weights_that_were_replaced(way, make):
    model = Net(nn.LayerNorm)
    optimizer = make(model)
    variants_of_replacing[way](model)
    report = check_step(plain, model, optimizer, batch())
    found = {f.id for f in report.findings}
    # weight_norm makes two of one: the scale has no old tensor to stand for.
    assert found in ({"IC854"}, {"IC854", "IC852"} if way == "weight_norm" else set()), str(report)
    (finding,) = [f for f in report.findings if f.id == "IC854"]
    assert any(layer.startswith("head") for layer in finding.layers)


@case("IC854")
def replaced_under_a_scaler():
    """The scaler raises, for it finds no gradient: the cause is told all the same."""
    model = net()
    optimizer = sgd(model)
    model[0], model[2] = nn.Linear(6, 16), nn.Linear(16, 3)
    scaler = torch.amp.GradScaler("cpu")

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()
        scaler.step(optimizer)
        scaler.update()

    return Case(step, model, optimizer, batch())


@case("IC854")
def optimizer_of_a_model_that_was_copied():
    model = net()
    return Case(plain, copy.deepcopy(model), sgd(model), batch())


# IC853: stepped twice


@case("IC853", words="more than once in its groups")
def tied_weights_listed_twice():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(11, 8), nn.Linear(8, 11, bias=False))
    model[1].weight = model[0].weight
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = torch.optim.SGD([*model[0].parameters(), *model[1].parameters()], lr=0.1)
    return Case(plain, model, optimizer, (torch.arange(11), torch.arange(11).roll(1)))


@case("IC853", words="more than once in its groups")
def group_added_by_hand():
    model = net()
    optimizer = sgd(model)
    extra = {**optimizer.param_groups[0], "params": [model[2].weight], "lr": 0.01}
    optimizer.param_groups.append(extra)
    return Case(plain, model, optimizer, batch())


@case("IC853", words="already moved")
def two_optimizers_on_one_gradient():
    def step(model, optimizers, batch):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss_of(model, batch).backward()
        for optimizer in optimizers:
            optimizer.step()

    return simple(net(), lambda m: [sgd(m), sgd(m[2])], step)


variants(
    "IC853",
    words="already moved",
    step_called_twice=lambda: simple(net(), sgd, lambda m, o, b: (plain(m, o, b), o.step())),
    step_called_twice_adam=lambda: simple(net(), adam, lambda m, o, b: (plain(m, o, b), o.step())),
)


# IC855: clipping


def clipped(how):
    def step(model, optimizer, batch):
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        how(model)
        optimizer.step()
        return loss

    return step


def clipped_each(model):
    for parameter in model.parameters():
        clip_grad_norm_(parameter, 1e-3)


def clipped_by_hand(model):
    norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
    for parameter in model.parameters():
        parameter.grad.mul_(min(1.0, 2e-3 / float(norm)))


def clamped_by_hand(model):
    for parameter in model.parameters():
        parameter.grad.clamp_(-1e-3, 1e-3)


CUTS = {
    "by_norm": lambda m: nn.utils.clip_grad_norm_(m.parameters(), 1e-3),
    "by_imported_name": lambda m: clip_grad_norm_(m.parameters(), max_norm=1e-3),
    "by_largest": lambda m: clip_grad_norm_(m.parameters(), 5e-4, norm_type=float("inf")),
    "by_value": lambda m: nn.utils.clip_grad_value_(m.parameters(), 1e-3),
    "each_by_itself": clipped_each,
    "by_hand": clipped_by_hand,
    "clamped_by_hand": clamped_by_hand,
}


def cut(how, make=sgd):
    return simple(net(), make, clipped(how))


variants(
    "IC855",
    "warning",
    "in every step",
    **{f"clipped_{name}": partial(cut, how, partial(sgd, lr=1.0)) for name, how in CUTS.items()},
)
variants(
    "IC855",
    clipped_to_a_millionth=lambda: cut(lambda m: clip_grad_norm_(m.parameters(), 1e-6), adam),
    clipped_to_zero=lambda: cut(lambda m: clip_grad_norm_(m.parameters(), 0.0), adam),
)


@case("IC855", "warning")
def clamped_by_hooks():
    model = net()
    for parameter in model.parameters():
        parameter.register_hook(lambda gradient: gradient.clamp(-1e-3, 1e-3))
    return simple(model, lambda m: sgd(m, 1.0))


@case("IC855", words="before scaler.unscale_")
def clipped_before_unscaling():
    scaler = torch.amp.GradScaler("cpu")

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()
        clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()

    return simple(net(), step=step)


# IC856: the scaler


def scaled(scaler, spoil=lambda loss: loss):
    def step(model, optimizer, batch):
        optimizer.zero_grad()
        scaler.scale(spoil(loss_of(model, batch))).backward()
        scaler.step(optimizer)
        scaler.update()

    return step


def on(**options):
    return torch.amp.GradScaler("cpu", **options)


variants(
    "IC856",
    words="in every call",
    loss_is_nan=lambda: simple(net(), sgd, scaled(on(), lambda loss: loss * float("nan"))),
    loss_is_inf=lambda: simple(net(), adam, scaled(on(), lambda loss: loss / 0)),
    root_of_zero=lambda: simple(net(), sgd, scaled(on(), lambda loss: loss + (loss * 0).sqrt())),
    scale_that_never_falls=lambda: simple(
        net(), sgd, scaled(on(init_scale=2.0**127, backoff_factor=0.999), lambda loss: loss * 100)
    ),
    fused=lambda: simple(
        net(), lambda m: adam(m, fused=True), scaled(on(), lambda loss: loss * float("nan"))
    ),
)


@case("IC856", words="in place of scaler.step")
def step_past_the_scaler():
    scaler = torch.amp.GradScaler("cpu")

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()
        optimizer.step()
        scaler.update(1024.0)

    return simple(net(), adam, step)


# IC857: mode


def in_eval(model, optimizer, batch):
    model.eval()
    return plain(model, optimizer, batch)


def left_in_eval(model, optimizer, batch):
    loss = plain(model, optimizer, batch)
    model.eval()
    with torch.no_grad():
        model(batch[0])
    return loss


def in_eval_after_a_pass_without_gradients(model, optimizer, batch):
    model.train()
    with torch.no_grad():
        model(batch[0])
    return in_eval(model, optimizer, batch)


class Chain(nn.Module):
    """Dropout by a function, as many write it."""

    def __init__(self):
        super().__init__()
        self.inner = net()

    def forward(self, x):
        return functional.dropout(self.inner(x), 0.1, training=self.training)


variants(
    "IC857",
    words="dropout is off",
    eval_in_the_step=lambda: simple(Net(), adam, in_eval),
    eval_before_the_step=lambda: simple(Net().eval(), adam),
    eval_with_dropout_alone=lambda: simple(Net(nn.LayerNorm), adam, in_eval),
    eval_with_batch_norm_alone=lambda: simple(Net(dropout=0.0), adam, in_eval),
    eval_with_functional_dropout=lambda: simple(Chain(), adam, in_eval),
    eval_after_a_pass_without_gradients=lambda: simple(
        Net(), adam, in_eval_after_a_pass_without_gradients
    ),
    eval_left_by_an_evaluation=lambda: simple(Net(), adam, left_in_eval),
)
variants(
    "IC857",
    "warning",
    "nothing in it depends on the mode yet",
    eval_of_plain_layers=lambda: simple(net(), adam, in_eval),
)


class Wrapper(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


@case("IC857", words="dropout is off")
def wrapped_model_in_eval():
    def step(model, optimizer, batch):
        model.train()
        model.inner.eval()
        return plain(model, optimizer, batch)

    return simple(Wrapper(Net()), adam, step)


@case("IC857", "warning", "a part of the model")
def trained_encoder_in_eval():
    def step(model, optimizer, batch):
        model.train()
        model.body.eval()
        return plain(model, optimizer, batch)

    return simple(Net(nn.LayerNorm), adam, step)


# IC858: frozen


def only(model, *kinds, words=()):
    model.requires_grad_(False)
    for module in model.modules():
        if isinstance(module, kinds):
            module.requires_grad_(True)
    for name, parameter in model.named_parameters():
        if any(word in name for word in words):
            parameter.requires_grad_(True)
    return model


def held(model):
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.05)


variants(
    "IC858",
    words="normalisations",
    batch_norm_alone=lambda: simple(only(Net(), nn.BatchNorm1d), held),
    layer_norm_alone=lambda: simple(only(Net(nn.LayerNorm), nn.LayerNorm), held),
    group_norm_alone=lambda: simple(only(Net(lambda n: nn.GroupNorm(4, n)), nn.GroupNorm), held),
    norm_alone_but_all_are_held=lambda: simple(only(Net(), nn.BatchNorm1d), sgd),
)
variants(
    "IC858",
    "warning",
    "biases",
    biases_alone=lambda: simple(only(net(), words=["bias"]), held),
    biases_and_norms=lambda: simple(only(Net(), nn.BatchNorm1d, words=["bias"]), held),
)


@case("IC858", words="every parameter is frozen")
def everything_is_frozen():
    return simple(net().requires_grad_(False), sgd)


@case("IC858")
def a_step_that_freezes_too_much():
    def step(model, optimizer, batch):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("body.1" in name)
        return plain(model, optimizer, batch)

    model = Net(nn.LayerNorm)
    only(model, nn.LayerNorm)
    return simple(model, sgd, step)


# IC859: decay


variants(
    "IC859",
    "warning",
    "pulls gains that start at one",
    decay_of_layer_norm=lambda: simple(
        Net(nn.LayerNorm), lambda m: torch.optim.AdamW(m.parameters(), lr=1e-2, weight_decay=1.0)
    ),
    decay_of_batch_norm=lambda: simple(Net(), partial(sgd, lr=0.1, weight_decay=0.5)),
)
variants(
    "IC859",
    "info",
    "9.5 % of a one in 1000 steps",
    decay_that_is_noticed=lambda: simple(
        Net(nn.LayerNorm), lambda m: torch.optim.AdamW(m.parameters(), lr=1e-3, weight_decay=0.1)
    ),
)


# IC860: two runs


def noisy(draw):
    def step(model, optimizer, batch):
        return plain(model, optimizer, (batch[0] + draw(batch[0].shape), batch[1]))

    return step


def from_the_system(shape):
    data = np.frombuffer(os.urandom(int(np.prod(shape))), dtype=np.uint8).reshape(shape)
    return torch.from_numpy(data / 255).float()


clock = itertools.count()
variants(
    "IC860",
    words="the first that differs",
    noise_without_seed=lambda: simple(
        net(),
        sgd,
        noisy(lambda s: torch.from_numpy(np.random.default_rng().normal(size=tuple(s))).float()),
    ),
    noise_from_the_system=lambda: simple(net(), adam, noisy(from_the_system)),
    noise_from_a_new_generator=lambda: simple(
        net(), sgd, noisy(lambda s: torch.randn(s, generator=_seeded_anew()))
    ),
)


def _seeded_anew():
    generator = torch.Generator()
    generator.seed()
    return generator


@case("IC860")
def noise_on_the_weights_alone():
    def step(model, optimizer, batch):
        loss = plain(model, optimizer, batch)
        generator = _seeded_anew()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1e-2 * torch.randn(parameter.shape, generator=generator))
        return loss

    return simple(net(), step=step)


# IC861: nothing moves


def zeroed_too_late(model, optimizer, batch):
    loss = loss_of(model, batch)
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss


def zeroed_in_place_too_late(model, optimizer, batch):
    loss_of(model, batch).backward()
    optimizer.zero_grad(set_to_none=False)
    optimizer.step()


def without_step(model, optimizer, batch):
    optimizer.zero_grad()
    loss = loss_of(model, batch)
    loss.backward()
    return loss


def neither_step_nor_zeroing(model, optimizer, batch):
    loss_of(model, batch).backward()


def without_backward(model, optimizer, batch):
    optimizer.zero_grad()
    loss = loss_of(model, batch)
    optimizer.step()
    return loss


def without_both(model, optimizer, batch):
    return loss_of(model, batch)


def detached(model, optimizer, batch):
    optimizer.zero_grad()
    logits = model(batch[0]).detach().requires_grad_(True)
    loss = functional.cross_entropy(logits, batch[1])
    loss.backward()
    optimizer.step()
    return loss


def step_then_backward_zeroed(model, optimizer, batch):
    optimizer.zero_grad()
    optimizer.step()
    loss_of(model, batch).backward()


def guarded(model, optimizer, batch):
    loss = loss_of(model, batch) * float("nan")
    optimizer.zero_grad()
    loss.backward()
    if torch.isfinite(loss):
        optimizer.step()
    return loss


ADAMW = lambda m: torch.optim.AdamW(m.parameters(), lr=1e-3)  # noqa: E731
variants(
    "IC861",
    zeroed_too_late=lambda: simple(net(), sgd, zeroed_too_late),
    zeroed_too_late_with_decay=lambda: simple(net(), ADAMW, zeroed_in_place_too_late),
    zeroed_before_step_and_backward=lambda: simple(net(), adam, step_then_backward_zeroed),
    without_step=lambda: simple(net(), adam, without_step),
    neither_step_nor_zeroing=lambda: simple(net(), sgd, neither_step_nor_zeroing),
    without_backward=lambda: simple(net(), sgd, without_backward),
    without_both=lambda: simple(net(), sgd, without_both),
    detached=lambda: simple(net(), sgd, detached),
    rate_of_zero=lambda: simple(net(), partial(sgd, lr=0.0)),
    rate_below_rounding=lambda: simple(net(), partial(sgd, lr=1e-30)),
    never_finite=lambda: simple(net(), sgd, guarded),
)
CAUSES = {
    "zeroed_too_late": "zeroed after backward and before the optimiser steps",
    "zeroed_too_late_with_decay": "only its weight decay moves",
    "zeroed_before_step_and_backward": "zeroed after backward and before the optimiser steps",
    "without_step": "in 8 calls no optimiser steps",
    "neither_step_nor_zeroing": "in 64 calls no optimiser steps",
    "without_backward": "backward is not called",
    "without_both": "backward is not called",
    "detached": "the loss is detached",
    "rate_of_zero": "the learning rate of every group is zero",
    "rate_below_rounding": "rounding leaves every weight",
    "never_finite": "the loss is not finite",
}


@case("IC861", words="trains something else")
def another_model_is_trained():
    other = net()

    def step(model, optimizer, batch):
        return plain(other, optimizer, batch)

    return Case(step, net(), sgd(other), batch())


CASES["another_model_is_trained"] = (another_model_is_trained, "IC861", "error", "another model")


@case("IC861", words="zeroed after backward")
def one_optimizer_of_two_finds_nothing():
    def step(model, optimizers, batch):
        first, second = optimizers
        first.zero_grad()
        loss_of(model, batch).backward()
        second.zero_grad()
        first.step()
        second.step()

    return simple(net(), lambda m: [sgd(m[0]), sgd(m[2])], step)


# IC862, IC863


variants(
    "IC862",
    nan_without_scaler=lambda: simple(
        net(), sgd, lambda m, o, b: plain(m, o, (b[0] * float("nan"), b[1]))
    ),
    inf_in_one_layer=lambda: simple(_spoilt(), sgd),
)


def _spoilt():
    model = net()
    model[2].weight.register_hook(lambda gradient: gradient * float("inf"))
    return model


def step_first(model, optimizer, batch):
    optimizer.step()
    optimizer.zero_grad()
    loss = loss_of(model, batch)
    loss.backward()
    return loss


variants(
    "IC863",
    "warning",
    "before backward in every call",
    step_first=lambda: simple(net(), sgd, step_first),
    step_first_adam=lambda: simple(net(), adam, step_first),
)


@pytest.mark.parametrize("name", sorted(CASES))
def test_fault_is_found(name):
    make, id, severity, words = CASES[name]
    finding = one(make, id, severity, CAUSES.get(name, words))
    (rule,) = [rule for rule in rules() if rule.id == id]
    assert severity in rule.severities
    assert finding.remedy
    assert finding.reference


@pytest.mark.parametrize("name", sorted(CASES))
def test_fault_is_found_with_more_steps(name):
    make, id, severity, _ = CASES[name]
    given = make()
    report = check_step(*given[:4], **{**given.options, "steps": 6})
    assert [(f.id, f.severity) for f in report.findings] == [(id, severity)], str(report)


def test_every_rule_of_a_step_has_a_fault():
    known = {rule.id for rule in rules() if rule.id.startswith("IC85") or rule.id in LATER}
    assert {id for _, id, *_ in CASES.values()} == known


LATER = {"IC860", "IC861", "IC862", "IC863"}


def test_layers_are_those_of_the_fault():
    found = one(CASES["head_is_not_held"][0], "IC852", "error")
    assert found.layers == ("head",)
    assert (found.measured, found.limit) == (2, 0)
    found = one(CASES["a_part_is_zeroed"][0], "IC851", "error")
    assert found.layers == ("0",)
    found = one(CASES["group_added_by_hand"][0], "IC853", "error")
    assert found.layers == ("2",)
    found = one(CASES["inf_in_one_layer"][0], "IC862", "error")
    assert "2" in found.layers
    found = one(CASES["decay_of_layer_norm"][0], "IC859", "warning")
    assert found.layers == ("body.1",)
    assert found.measured == pytest.approx(1e-2)
    found = one(CASES["trained_encoder_in_eval"][0], "IC857", "warning")
    assert found.layers == ("body",)


def test_numbers_are_measured():
    """After one step at a tiny rate the gradient is the same, so that as much is left as comes."""
    found = one(CASES["never_zeroed_small_rate"][0], "IC851", "error")
    assert found.measured == pytest.approx(2, rel=1e-3)
    found = one(CASES["clipped_to_a_millionth"][0], "IC855", "error")
    assert found.measured == pytest.approx(_norm(net()) / 1e-6, rel=0.05)
    found = one(CASES["scale_that_never_falls"][0], "IC856", "error")
    assert found.measured == 17


def _norm(model):
    loss_of(model, batch()).backward()
    return float(torch.stack([p.grad.norm() for p in model.parameters()]).norm())


def test_two_faults_are_both_told():
    def step(model, optimizer, batch):
        model.eval()
        return never_zeroed(model, optimizer, batch)

    model = Net()
    report = check_step(step, model, some(model, "head"), batch())
    assert {f.id for f in report.findings} == {"IC851", "IC852", "IC857"}
    assert str(report).startswith("verdict: fail\nerror IC85")
