"""Steps that are as they should be, or as their authors meant them: nothing is found in them."""

from __future__ import annotations

import copy
import itertools
import random
from collections import deque
from functools import partial

import numpy as np
import pytest
import torch
from support.steps import Case, Net, adam, batch, loss_of, net, plain, sgd
from torch import nn
from torch.nn import functional

from pytest_initcheck import check_step

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def simple(model, make=sgd, step=plain, **options):
    return Case(step, model, make(model), batch(), options)


def zeroed_after(model, optimizer, batch):
    loss = loss_of(model, batch)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def zeroed_before_backward(model, optimizer, batch):
    loss = loss_of(model, batch)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return {"loss": loss, "accuracy": 0.5}


def zeroed_in_place(model, optimizer, batch):
    optimizer.zero_grad(set_to_none=False)
    loss_of(model, batch).backward()
    optimizer.step()


def zeroed_by_hand(model, optimizer, batch):
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.data.zero_()
    loss_of(model, batch).backward()
    optimizer.step()


def zeroed_by_model(model, optimizer, batch):
    loss_of(model, batch).backward()
    optimizer.step()
    model.zero_grad()


ZEROING = [
    zeroed_after,
    zeroed_before_backward,
    zeroed_in_place,
    zeroed_by_hand,
    zeroed_by_model,
]
for zeroing in ZEROING:
    CASES[zeroing.__name__] = partial(lambda step: simple(net(), adam, step), zeroing)


@case
def adamw_as_it_comes():
    return simple(Net(nn.LayerNorm), lambda m: torch.optim.AdamW(m.parameters()))


@case
def adamw_with_a_large_rate():
    return simple(Net(), lambda m: torch.optim.AdamW(m.parameters(), lr=0.1))


@case
def sgd_with_the_usual_decay():
    return simple(Net(), lambda m: sgd(m, 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True))


@case
def decay_without_the_gains():
    def make(model):
        groups = [
            {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 1.0},
            {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=1e-2)

    return simple(Net(nn.LayerNorm), make)


@case
def dropout_and_batch_norm():
    return simple(Net())


@case
def lbfgs():
    def step(model, optimizer, batch):
        def closure():
            optimizer.zero_grad()
            loss = loss_of(model, batch)
            loss.backward()
            return loss

        return optimizer.step(closure)

    return simple(net(), lambda m: torch.optim.LBFGS(m.parameters(), lr=0.1), step)


@case
def lbfgs_with_line_search():
    def step(model, optimizer, batch):
        def closure():
            optimizer.zero_grad(set_to_none=False)
            loss = loss_of(model, batch)
            loss.backward()
            return loss

        return optimizer.step(closure=closure)

    make = lambda m: torch.optim.LBFGS(m.parameters(), line_search_fn="strong_wolfe")  # noqa: E731
    return simple(net(), make, step)


@case
def lbfgs_with_a_closure_for_the_line_search_alone():
    """Backward only where gradients are asked for."""

    def step(model, optimizer, batch):
        def closure():
            if torch.is_grad_enabled():
                optimizer.zero_grad()
            loss = loss_of(model, batch)
            if loss.requires_grad:
                loss.backward()
            return loss

        return optimizer.step(closure)

    return simple(net(), lambda m: torch.optim.LBFGS(m.parameters()), step)


class Gan(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 6))
        self.critic = nn.Sequential(nn.Linear(6, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))


def adversaries(model):
    return adam(model.generator), adam(model.critic)


def bce(logits, value):
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, value))


@case
def gan_whose_generator_fills_the_critics_gradients():
    def step(model, optimizers, batch):
        first, second = optimizers
        second.zero_grad()
        fake = model.generator(torch.randn(32, 4))
        loss = bce(model.critic(batch[0]), 1.0) + bce(model.critic(fake.detach()), 0.0)
        loss.backward()
        second.step()
        first.zero_grad()
        bce(model.critic(fake), 1.0).backward()
        first.step()
        return loss

    return simple(Gan(), adversaries, step)


@case
def gan_whose_generator_steps_every_fifth_time():
    count = 0

    def step(model, optimizers, batch):
        nonlocal count
        count += 1
        first, second = optimizers
        second.zero_grad()
        fake = model.generator(torch.randn(32, 4))
        (model.critic(fake.detach()).mean() - model.critic(batch[0]).mean()).backward()
        second.step()
        for parameter in model.critic.parameters():
            parameter.data.clamp_(-0.01, 0.01)
        if count % 5 == 0:
            first.zero_grad()
            (-model.critic(fake).mean()).backward()
            first.step()

    return simple(Gan(), adversaries, step)


@case
def gan_that_switches_gradients_off_in_turn():
    def step(model, optimizers, batch):
        first, second = optimizers
        fake = model.generator(torch.randn(32, 4))
        model.critic.requires_grad_(False)
        first.zero_grad()
        bce(model.critic(fake), 1.0).backward()
        first.step()
        model.critic.requires_grad_(True)
        second.zero_grad()
        (bce(model.critic(batch[0]), 1.0) + bce(model.critic(fake.detach()), 0.0)).backward()
        second.step()

    return simple(Gan(), lambda m: dict(zip("gd", adversaries(m), strict=True)), _by_key(step))


def _by_key(step):
    return lambda model, optimizers, batch: step(model, tuple(optimizers.values()), batch)


@case
def two_optimizers_that_share_weights_with_a_backward_each():
    """As InfoGAN does."""

    def step(model, opts, batch):
        for optimizer in opts:
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()

    return simple(net(), lambda m: [sgd(m), sgd(m, 0.01)], step)


@case
def gradients_gathered_within_a_call():
    def step(model, optimizer, batch):
        optimizer.zero_grad()
        for x, y in zip(batch[0].split(8), batch[1].split(8), strict=True):
            (loss_of(model, (x, y)) / 4).backward()
        optimizer.step()

    return simple(net(), adam, step)


@pytest.mark.parametrize("every", [2, 4, 10])
@pytest.mark.parametrize("first", [False, True])
def test_gradients_gathered_over_calls(every, first):
    state = {"calls": 0}

    def step(model, optimizer, batch):
        if first and state["calls"] % every == 0:
            optimizer.step()
            optimizer.zero_grad()
        loss = loss_of(model, batch) / every
        loss.backward()
        state["calls"] += 1
        if not first and state["calls"] % every == 0:
            optimizer.step()
            optimizer.zero_grad()
        return loss

    model = net()
    report = check_step(step, model, sgd(model), batch())
    assert report.findings == []
    assert report.calls >= 2 * every - 1
    assert state == {"calls": 0}


@case
def a_memory_that_fills_first():
    memory = deque(maxlen=100)

    def step(model, optimizer, batch):
        memory.append(batch)
        if len(memory) < 10:
            return None
        return plain(model, optimizer, random.choice(memory))

    return simple(net(), adam, step)


@case
def sharpness_aware():
    def step(model, optimizer, batch):
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        moves = {p: 0.05 * p.grad / (p.grad.norm() + 1e-12) for p in model.parameters()}
        with torch.no_grad():
            for parameter, move in moves.items():
                parameter.add_(move)
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        with torch.no_grad():
            for parameter, move in moves.items():
                parameter.sub_(move)
        optimizer.step()
        return loss

    return simple(Net(dropout=0.0), step=step)


class SAM(torch.optim.Optimizer):
    """An optimiser around another one, as it goes round."""

    def __init__(self, params, base, **options):
        super().__init__(params, {"rho": 0.05, **options})
        self.base = base(self.param_groups, **options)
        self.param_groups = self.base.param_groups

    @torch.no_grad()
    def first_step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                move = 0.05 * parameter.grad / (parameter.grad.norm() + 1e-12)
                self.state[parameter]["move"] = move
                parameter.add_(move)
        self.zero_grad()

    @torch.no_grad()
    def second_step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(self.state[parameter]["move"])
        self.base.step()
        self.zero_grad()

    @torch.no_grad()
    def step(self, closure):
        closure = torch.enable_grad()(closure)
        self.first_step()
        closure()
        self.second_step()


@case
def sharpness_aware_wrapper_in_two_steps():
    def step(model, optimizer, batch):
        loss = loss_of(model, batch)
        loss.backward()
        optimizer.first_step()
        loss_of(model, batch).backward()
        optimizer.second_step()
        return loss

    return simple(net(), lambda m: SAM(m.parameters(), torch.optim.SGD, lr=0.1), step)


@case
def sharpness_aware_wrapper_with_a_closure():
    def step(model, optimizer, batch):
        def closure():
            loss_of(model, batch).backward()

        loss = loss_of(model, batch)
        loss.backward()
        optimizer.step(closure)
        return loss

    return simple(net(), lambda m: SAM(m.parameters(), torch.optim.SGD, lr=0.1), step)


class Lookahead:
    """An optimiser that is none of torch's classes."""

    def __init__(self, inner):
        self.inner, self.param_groups, self.count = inner, inner.param_groups, 0
        self.slow = [p.detach().clone() for g in self.param_groups for p in g["params"]]

    def zero_grad(self):
        self.inner.zero_grad()

    @torch.no_grad()
    def step(self):
        self.inner.step()
        self.count += 1
        if self.count % 2 == 0:
            fast = [p for g in self.param_groups for p in g["params"]]
            for slow, parameter in zip(self.slow, fast, strict=True):
                parameter.copy_(slow.lerp_(parameter, 0.5))


@case
def wrapper_that_is_no_optimizer_of_torch():
    return simple(net(), lambda m: Lookahead(adam(m)))


@case
def head_that_starts_at_zero():
    model = net()
    nn.init.zeros_(model[2].weight)
    nn.init.zeros_(model[2].bias)
    return simple(model)


@case
def branches_that_start_at_zero():
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.alpha = nn.Parameter(torch.zeros(1))
            self.stem, self.inner, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
            nn.init.zeros_(self.head.weight)

        def forward(self, x):
            h = self.stem(x)
            return self.head(h + self.alpha * self.inner(h).tanh())

    return simple(Gate(), adam)


@case
def tied_weights():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.embed, self.out = nn.Embedding(11, 8), nn.Linear(8, 11, bias=False)
            self.out.weight = self.embed.weight

        def forward(self, x):
            return self.out(self.embed(x))

    model = Tied()
    x = torch.arange(11)
    return Case(plain, model, adam(model), (x, x.roll(1)))


@case
def frozen_backbone():
    model = Net(nn.LayerNorm)
    model.body.requires_grad_(False)
    return simple(model, lambda m: adam(m.head))


@case
def frozen_backbone_that_the_optimizer_holds():
    model = Net(nn.LayerNorm)
    model.body.requires_grad_(False)
    return simple(model, adam)


@case
def backbone_under_no_grad_in_eval_mode():
    def step(model, optimizer, batch):
        model.train()
        model.body.eval()
        with torch.no_grad():
            features = model.body(batch[0])
        optimizer.zero_grad()
        loss = functional.cross_entropy(model.head(features), batch[1])
        loss.backward()
        optimizer.step()
        return loss

    return simple(Net(), lambda m: adam(m.head), step)


@case
def head_in_training_mode_alone():
    def step(model, optimizer, batch):
        model.eval()
        model.head.train()
        return plain(model, optimizer, batch)

    model = Net()
    model.body.requires_grad_(False)
    return simple(model, lambda m: adam(m.head), step)


@case
def head_with_dropout_in_training_mode_alone():
    def step(model, optimizer, batch):
        model.eval()
        model.head.train()
        return plain(model, optimizer, batch)

    model = Net()
    model.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(16, 3))
    model.body.requires_grad_(False)
    return simple(model, lambda m: adam(m.head), step)


@case
def frozen_batch_norm():
    def step(model, optimizer, batch):
        model.train()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.eval()
        return plain(model, optimizer, batch)

    return simple(Net(), step=step)


class Lora(nn.Module):
    def __init__(self, base):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a = nn.Parameter(torch.randn(2, base.in_features) * 0.1)
        self.b = nn.Parameter(torch.zeros(base.out_features, 2))

    def forward(self, x):
        return self.base(x) + x @ self.a.T @ self.b.T


def adam_over(parameters):
    return torch.optim.Adam(parameters, lr=1e-3)


@case
def low_rank_adapters():
    model = net()
    model[0], model[2] = Lora(model[0]), Lora(model[2])
    return Case(plain, model, adam_over(p for p in model.parameters() if p.requires_grad), batch())


@case
def prompts_before_a_frozen_model():
    model = net().requires_grad_(False)
    prompt = nn.Parameter(torch.zeros(6))

    def step(model, optimizer, batch):
        return plain(model, optimizer, (batch[0] + prompt, batch[1]))

    return Case(step, model, adam_over([prompt]), batch())


@case
def norms_of_a_model_and_a_head_outside_of_it():
    model, head = Net(nn.LayerNorm).requires_grad_(False), nn.Linear(16, 3)
    model.body[1].requires_grad_(True)

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        loss = functional.cross_entropy(head(model.body(batch[0])), batch[1])
        loss.backward()
        optimizer.step()
        return loss

    return Case(step, model, adam_over([*model.body[1].parameters(), *head.parameters()]), batch())


@case
def rescaling_vectors_alone():
    """As (IA)3 does: vectors, but neither biases nor of a normalisation."""

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net().requires_grad_(False)
            self.scale = nn.Parameter(torch.ones(16))

        def forward(self, x):
            return self.inner[2](self.inner[1](self.inner[0](x)) * self.scale)

    model = Scaled()
    return Case(plain, model, adam_over([model.scale]), batch())


@case
def loss_with_weights_of_its_own():
    model, center = net(), nn.Parameter(torch.zeros(3, 3))

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        out = model(batch[0])
        loss = functional.cross_entropy(out, batch[1])
        loss = loss + 0.1 * (out - center[batch[1]]).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    return Case(step, model, adam_over([*model.parameters(), center]), batch())


@case
def averaged_weights():
    model = net()
    average = torch.optim.swa_utils.AveragedModel(model)

    def step(model, optimizer, batch):
        loss = plain(model, optimizer, batch)
        average.update_parameters(model)
        return loss

    return simple(model, step=step)


@case
def teacher_inside_the_model():
    class Distilled(nn.Module):
        def __init__(self):
            super().__init__()
            self.student = net()
            self.teacher = copy.deepcopy(self.student)

    def step(model, optimizer, batch):
        with torch.no_grad():
            target = model.teacher(batch[0]).softmax(1)
        optimizer.zero_grad()
        loss = functional.cross_entropy(model.student(batch[0]), target)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            pairs = zip(model.teacher.parameters(), model.student.parameters(), strict=True)
            for slow, fast in pairs:
                slow.lerp_(fast, 0.01)
        return loss

    return simple(Distilled(), lambda m: adam(m.student), step)


@case
def clipping_at_the_usual_norm():
    def step(model, optimizer, batch):
        optimizer.zero_grad()
        loss = loss_of(model, batch) * 10
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    return simple(net(), step=step)


@case
def clipping_that_only_measures():
    def step(model, optimizer, batch):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), float("inf"))
        nn.utils.clip_grad_value_(model.parameters(), 5.0)
        optimizer.step()

    return simple(net(), step=step)


@case
def clipping_of_one_outlier():
    state = {"calls": 0}

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        state["calls"] += 1
        (loss_of(model, batch) * (1e4 if state["calls"] == 1 else 1)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return simple(net(), step=step)


@case
def sum_that_is_divided_by_hand():
    def step(model, optimizer, batch):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(batch[0]), batch[1], reduction="sum") * 128
        loss.backward()
        for parameter in model.parameters():
            parameter.grad.div_(32 * 128)
        optimizer.step()
        return loss

    return simple(net(), step=step)


@case
def private_gradients():
    """Every sample's gradient clipped far below its norm, and noise, as in DP-SGD."""

    def step(model, optimizer, batch):
        total = [torch.zeros_like(p) for p in model.parameters()]
        for x, y in zip(*batch, strict=True):
            optimizer.zero_grad()
            (loss_of(model, (x[None], y[None])) * 100).backward()
            norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
            for whole, p in zip(total, model.parameters(), strict=True):
                whole += p.grad * min(1.0, 0.1 / float(norm))
        for whole, p in zip(total, model.parameters(), strict=True):
            p.grad = (whole + 0.01 * torch.randn_like(whole)) / len(batch[0])
        optimizer.step()

    return simple(net(), step=step)


@case
def signs_of_gradients():
    def step(model, optimizer, batch):
        optimizer.zero_grad()
        (loss_of(model, batch) * 1e4).backward()
        for parameter in model.parameters():
            parameter.grad.sign_()
        optimizer.step()

    return simple(net(), lambda m: sgd(m, 1e-3), step)


@case
def gradients_by_autograd_grad():
    def step(model, optimizer, batch):
        loss = loss_of(model, batch)
        parameters = list(model.parameters())
        for p, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            p.grad = gradient
        optimizer.step()
        return loss

    return simple(net(), step=step)


@case
def linear_loss_by_autograd_grad():
    """The same gradient every time, set by hand."""
    model = nn.Linear(6, 3)

    def step(model, optimizer, batch):
        parameters = list(model.parameters())
        gradients = torch.autograd.grad(model(batch[0]).mean(), parameters)
        for p, gradient in zip(parameters, gradients, strict=True):
            p.grad = gradient
        optimizer.step()

    return simple(model, step=step)


@case
def one_cycle_in_the_step():
    model = Net()
    optimizer = sgd(model, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=50)

    def step(model, optimizer, batch):
        loss = plain(model, optimizer, batch)
        scheduler.step()
        return loss

    return Case(step, model, optimizer, batch())


@case
def warm_up_outside_the_step():
    """At a rate of zero nothing moves, and that is how it begins."""
    model = net()
    optimizer = adam(model)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 1000)
    return Case(plain, model, optimizer, batch())


@case
def scaler_that_finds_its_scale():
    """The first scales overflow; the step goes through when the scale has come down."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch) * 1000).backward()
        scaler.step(optimizer)
        scaler.update()

    return simple(net(), lambda m: sgd(m, 1e-5), step)


@case
def autocast_with_a_scaler_and_clipping():
    def step(model, optimizer, batch, scaler):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(model, batch)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    return simple(Net(), adam, step, scaler=torch.amp.GradScaler("cpu"))


@case
def scaler_that_is_off():
    scaler = torch.amp.GradScaler("cpu", enabled=False)

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()
        scaler.step(optimizer)
        scaler.update()

    return simple(net(), step=step)


@case
def scaler_for_gathered_gradients():
    scaler, state = torch.amp.GradScaler("cpu"), {"calls": 0}

    def step(model, optimizer, batch):
        scaler.scale(loss_of(model, batch) / 2).backward()
        state["calls"] += 1
        if state["calls"] % 2 == 0:
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()

    return simple(net(), step=step)


@case
def fused_adam_with_a_scaler():
    scaler = torch.amp.GradScaler("cpu")

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()
        scaler.step(optimizer)
        scaler.update()

    return simple(net(), lambda m: adam(m, fused=True), step)


@case
def loss_scale_by_hand():
    def step(model, optimizer, batch):
        optimizer.zero_grad()
        (loss_of(model, batch) * 1024).backward()
        for parameter in model.parameters():
            parameter.grad.mul_(1 / 1024)
        optimizer.step()

    return simple(net(), step=step)


@case
def sparse_embedding():
    torch.manual_seed(0)
    model = nn.Sequential(nn.EmbeddingBag(50, 8, sparse=True), nn.Linear(8, 3))

    def step(model, optimizers, batch):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss

    optimizers = [torch.optim.SparseAdam(model[0].parameters()), adam(model[1])]
    x = torch.randint(0, 50, (16, 4))
    return Case(step, model, optimizers, (x, torch.randint(0, 3, (16,))))


@case
def bfloat16_throughout():
    model = net().bfloat16()
    x, y = batch()
    return Case(plain, model, sgd(model, 0.5), (x.bfloat16(), y))


@case
def complex_weights():
    torch.manual_seed(0)
    model = nn.Linear(6, 3, dtype=torch.complex64)

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        loss = (model(batch[0]) - batch[1]).abs().square().mean()
        loss.backward()
        optimizer.step()
        return loss

    data = torch.randn(8, 6, dtype=torch.complex64), torch.randn(8, 3, dtype=torch.complex64)
    return Case(step, model, sgd(model), data)


@case
def optimizers_inside_backward():
    model = net()
    optimizers = {p: torch.optim.SGD([p], lr=0.05) for p in model.parameters()}

    def hook(parameter):
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(hook)

    def step(model, optimizers, batch):
        loss = loss_of(model, batch)
        loss.backward()
        return loss

    return Case(step, model, list(optimizers.values()), batch())


@case
def attack_in_eval_mode_before_training():
    def step(model, optimizer, batch):
        model.eval()
        x = batch[0].clone().requires_grad_(True)
        loss_of(model, (x, batch[1])).backward()
        x = (x + 0.1 * x.grad.sign()).detach()
        model.train()
        return plain(model, optimizer, (x, batch[1]))

    return simple(Net(), step=step)


@case
def accuracy_in_eval_mode_after_training():
    def step(model, optimizer, batch):
        model.train()
        loss = plain(model, optimizer, batch)
        model.eval()
        with torch.no_grad():
            accuracy = (model(batch[0]).argmax(1) == batch[1]).float().mean()
        return {"loss": loss, "accuracy": accuracy}

    return simple(Net(), step=step)


@case
def randomness_of_every_kind():
    generator, numpys = torch.Generator().manual_seed(3), np.random.default_rng(3)

    def step(model, optimizer, batch):
        x = batch[0] + 0.1 * torch.randn(32, 6, generator=generator)
        x = x * random.uniform(0.9, 1.1) + torch.from_numpy(np.random.rand(32, 6)).float()
        x = x + torch.from_numpy(numpys.normal(size=(32, 6))).float()
        return plain(model, optimizer, (x, batch[1]))

    return simple(Net(), step=step)


@case
def hidden_state_carried_over():
    torch.manual_seed(0)
    model = nn.ModuleDict({"rnn": nn.GRU(6, 8, batch_first=True), "head": nn.Linear(8, 3)})
    state = {"hidden": None}

    def step(model, optimizer, batch):
        out, hidden = model["rnn"](batch[0][:, None], state["hidden"])
        state["hidden"] = hidden.detach()
        optimizer.zero_grad()
        loss = functional.cross_entropy(model["head"](out[:, -1]), batch[1])
        loss.backward()
        optimizer.step()
        return loss

    return simple(model, adam, step)


@case
def several_steps_on_one_batch():
    """As PPO does."""

    def step(model, optimizer, batch):
        for part in torch.randperm(32).split(8):
            plain(model, optimizer, (batch[0][part], batch[1][part]))

    return simple(Net(), adam, step)


@case
def gradient_penalty():
    def step(model, optimizer, batch):
        x = batch[0].requires_grad_(True)
        out = model(x)
        (slope,) = torch.autograd.grad(out.sum(), x, create_graph=True)
        loss = functional.cross_entropy(out, batch[1]) + slope.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return simple(net(), step=step)


@case
def weights_moved_without_an_optimizer_beside_it():
    """A table that is kept as a running average, in the step's own way."""

    class Prototypes(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.table = net(), nn.Parameter(torch.zeros(3, 3))

        def forward(self, x):
            return self.inner(x) @ (torch.eye(3) + self.table)

    def step(model, optimizer, batch):
        loss = plain(model, optimizer, batch)
        with torch.no_grad():
            model.table.mul_(0.9).add_(0.1 * model(batch[0]).mean(0))
        model.zero_grad()
        return loss

    return simple(Prototypes(), lambda m: adam(m.inner), step)


@case
def gradients_without_backward():
    """Evolution: gradients are estimated from losses, and set by hand."""

    def step(model, optimizer, batch):
        with torch.no_grad():
            moves = [torch.randn_like(p) * 0.01 for p in model.parameters()]
            before = loss_of(model, batch)
            for p, move in zip(model.parameters(), moves, strict=True):
                p.add_(move)
            slope = (loss_of(model, batch) - before) / 1e-4
            for p, move in zip(model.parameters(), moves, strict=True):
                p.sub_(move)
                p.grad = slope * move
        optimizer.step()
        return before

    return simple(net(), lambda m: sgd(m, 1e-3), step)


@case
def preconditioner_that_is_an_optimizer():
    class Whitened(torch.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.grad.div_(p.grad.square().mean().sqrt() + 1e-8)

    def step(model, optimizers, batch):
        first, second = optimizers
        second.zero_grad()
        loss_of(model, batch).backward()
        first.step()
        second.step()

    return simple(net(), lambda m: [Whitened(m.parameters()), sgd(m, 1e-3)], step)


@case
def loop_over_a_loader_in_the_step():
    data = torch.utils.data.TensorDataset(*batch())
    loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)

    def step(model, optimizer, batch):
        for part in loader:
            plain(model, optimizer, part)

    return simple(net(), step=step)


class Lit(nn.Module):
    """As a LightningModule, without Lightning."""

    automatic_optimization = True

    def __init__(self):
        super().__init__()
        self.net = Net()

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        return {"loss": loss_of(self, batch), "index": batch_idx}


@case
def lightning_module():
    model = Lit()
    return Case(model, model, adam(model), batch())


@case
def training_step_of_a_lightning_module():
    model = Lit()
    return Case(model.training_step, model, adam(model), batch())


@case
def lightning_module_with_lbfgs():
    model = Lit()
    model.net = net()
    return Case(model, model, torch.optim.LBFGS(model.parameters(), lr=0.1), batch())


@case
def lightning_module_that_says_nothing():
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def training_step(self, batch, batch_idx):
            return loss_of(self.net, batch)

    model = Bare()
    return Case(model, model, adam(model), batch())


@case
def lightning_module_by_hand():
    class Manual(Lit):
        automatic_optimization = False

        def __init__(self):
            super().__init__()
            self._optimizer = sgd(self.net)

        def training_step(self, batch, batch_idx):
            plain(self, self._optimizer, batch)

    model = Manual()
    return Case(model.training_step, model, model._optimizer, batch())


@case
def lightning_module_by_hand_without_a_trainer():
    class Manual(Lit):
        automatic_optimization = False
        _trainer = None

        def optimizers(self):
            raise RuntimeError("not attached to a trainer")

        def training_step(self, batch, batch_idx):
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss_of(self, batch))
            optimizer.step()

    model = Manual()
    return Case(model, model, adam(model), batch())


@case
def trainer_with_a_method():
    class Trainer:
        def __init__(self):
            self.model, self.count, self.losses = Net(), 0, []
            self.optimizer = adam(self.model)
            self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.5)

        def train_batch(self, batch):
            self.count += 1
            loss = plain(self.model, self.optimizer, batch)
            self.losses.append(loss.item())
            self.scheduler.step()
            return loss

    trainer = Trainer()
    return Case(trainer.train_batch, trainer.model, trainer.optimizer, batch())


@case
def penalty_that_grows_with_the_calls():
    counter = {"calls": 0}

    def step(model, optimizer, batch):
        counter["calls"] += 1
        optimizer.zero_grad()
        penalty = sum(p.square().sum() for p in model.parameters())
        (loss_of(model, batch) + min(counter["calls"] / 100, 1.0) * penalty).backward()
        optimizer.step()

    return simple(net(), step=step)


@case
def clipping_of_single_samples():
    """As DP-SGD does with torch's own function: what is used is their mean, with noise."""

    def step(model, optimizer, batch):
        total = [torch.zeros_like(p) for p in model.parameters()]
        for x, y in zip(*batch, strict=True):
            model.zero_grad()
            (loss_of(model, (x[None], y[None])) * 100).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            for whole, p in zip(total, model.parameters(), strict=True):
                whole += p.grad
        for whole, p in zip(total, model.parameters(), strict=True):
            p.grad = (whole + 0.01 * torch.randn_like(whole)) / len(batch[0])
        optimizer.step()

    return simple(net(), step=step)


@case
def loss_scale_that_is_found_by_hand():
    state = {"scale": 2.0**126}

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        (loss_of(model, batch) * 1e3 * state["scale"]).backward()
        if not all(p.grad.isfinite().all() for p in model.parameters()):
            state["scale"] /= 2
            return
        for p in model.parameters():
            p.grad.div_(state["scale"] * 1e3)
        optimizer.step()

    return simple(net(), step=step)


@case
def margin_that_is_kept():
    """A hinge loss of zero: there is nothing left to learn."""
    model = nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[10.0, 0.0]]))

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        loss = (1 - batch[1] * model(batch[0])[:, 0]).clamp(min=0).mean()
        loss.backward()
        optimizer.step()
        return loss

    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    return Case(step, model, sgd(model), (x, torch.tensor([1.0, -1.0])))


class Annealed:
    calls = 0

    def __call__(self, model, optimizer, batch):
        Annealed.calls += 1
        optimizer.zero_grad()
        (loss_of(model, batch) * Annealed.calls).backward()
        optimizer.step()


@case
def counter_of_a_class():
    return simple(net(), step=Annealed())


@case
def momentum_kept_in_the_gradient():
    """Instead of zeroing: the old gradient is made smaller, as some do."""

    def step(model, optimizer, batch):
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(0.9)
        loss_of(model, batch).backward()
        optimizer.step()

    return simple(net(), lambda m: sgd(m, 0.01), step)


@pytest.mark.parametrize("name", sorted(CASES))
def test_nothing_is_found(name):
    given = CASES[name]()
    report = check_step(*given[:4], **given.options)
    assert report.findings == [], str(report)
    assert report.verdict == "pass"
    assert report.calls >= 3


@pytest.mark.parametrize("name", sorted(CASES))
def test_nothing_is_found_with_more_steps(name):
    given = CASES[name]()
    report = check_step(*given[:4], **{**given.options, "steps": 7})
    assert report.findings == [], str(report)


def test_an_iterator_that_goes_on_is_told_and_passes():
    stream = itertools.cycle([batch(4 * i) for i in (1, 2, 3, 4)])

    def step(model, optimizer, batch):
        return plain(model, optimizer, next(stream))

    model = net()
    report = check_step(step, model, sgd(model), batch())
    assert [(f.id, f.severity) for f in report.findings] == [("IC860", "info")]
    assert "iterator ('stream')" in report.findings[0].cause
    assert report.verdict == "pass"
