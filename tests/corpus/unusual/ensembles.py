"""Several networks in one model: experts, ensembles, heads, actors, teachers."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn
from torch.nn import functional

from ..case import BAD, FAIL, MILD, PASS, WARN
from ..causes import COPIES, DEAD, LEFT, LOCKED, SILENT, TWINS, ZERO
from ..changes import fill
from ..nets import alike, constant, each, mlp
from .builders import Model, made, row, start


class Mixture(nn.Module):
    """Experts weighted by a router, softly or by the best two."""

    def __init__(self, *, copied=False, top=None):
        super().__init__()
        experts = alike(lambda: mlp(nn.GELU, 20, 16, 3), 4, copied=copied)
        self.experts = nn.ModuleList(experts)
        self.router, self.top = nn.Linear(20, 4), top

    def forward(self, x):
        scores = self.router(x)
        if self.top:
            low = scores.topk(self.top, -1)[0][:, -1:]
            scores = scores.masked_fill(scores < low, -math.inf)
        out = torch.stack([expert(x) for expert in self.experts], 1)
        return (scores.softmax(-1)[..., None] * out).sum(1)


def ensemble(*, equal):
    """Five networks in stacked tensors, averaged."""

    def make():
        draw, times = (1, 5) if equal else (5, 1)
        first = (torch.randn(draw, 20, 16) / 20**0.5).repeat(times, 1, 1)
        second = (torch.randn(draw, 16, 3) / 4).repeat(times, 1, 1)
        return Model(
            lambda m, x: (torch.relu(x.expand(5, -1, -1) @ m.first) @ m.second).mean(0),
            first=nn.Parameter(first), second=nn.Parameter(second),
        )  # fmt: skip

    return make


def chosen(m, x):
    """The output of the expert that the router puts first: no gradient reaches the router.

    In a mixture of experts that is a fault; the indexer of a sparse attention, which a loss of
    its own trains elsewhere, looks the same. A diagnosis cannot know, so that it may pass or warn.
    """
    out = torch.stack([expert(x) for expert in m.experts], 1)
    return out[torch.arange(len(x)), m.router(x).argmax(-1)]


def router():
    experts = nn.ModuleList(mlp(nn.ReLU, 20, 16, 3) for _ in range(4))
    return Model(chosen, router=nn.Linear(20, 4), experts=experts)


class Agent(nn.Module):
    """A policy and a value from one body; twin values on request."""

    def __init__(self, *, twin=False):
        super().__init__()
        self.body = mlp(nn.Tanh, 20, 32, 32)
        self.policy, self.value = nn.Linear(32, 3), nn.Linear(32, 1)
        self.second = copy.deepcopy(self.value) if twin else None

    def forward(self, x):
        h = torch.tanh(self.body(x))
        values = [self.value(h), *([self.second(h)] if self.second else [])]
        return self.policy(h), torch.cat(values, 1)


def advantage(output, target):
    policy, value = output
    return functional.cross_entropy(policy, target) + (value - target[:, None]).square().mean()


def heads(*, copied):
    """Two heads of one unit for one target, copied or zero for two targets."""

    def build():
        first, second = alike(lambda: nn.Linear(32, 1), 2, copied=copied)
        if not copied:
            each(nn.ModuleList((first, second)), constant(0.0))
        model = Model(lambda m, x: torch.cat([m.first(h := torch.relu(m.body(x))), m.second(h)], 1),
                      body=nn.Linear(20, 32), first=first, second=second)  # fmt: skip
        x = torch.randn(64, 20)
        return start(model, (x, x[:, :1].tanh().repeat(1, 2) if copied else x[:, :2].tanh()))

    return build


class TwoHeads(nn.Module):
    """A body with two heads in a dict, of which the loss may ask for one."""

    def __init__(self):
        super().__init__()
        self.body = mlp(nn.ReLU, 20, 32, 32)
        self.kind, self.size = nn.Linear(32, 3), nn.Linear(32, 1)

    def forward(self, x):
        h = functional.relu(self.body(x))
        return {"kind": self.kind(h), "size": self.size(h)}


def both(output, y):
    return functional.cross_entropy(output["kind"], y) + output["size"].square().mean()


def one(output, y):
    return functional.cross_entropy(output["kind"], y)


def temporal(m, b):
    """The loss of Q-learning, whose target network gets no gradient."""
    with torch.no_grad():
        goal = b["reward"] + 0.9 * m.target(b["after"]).amax(1)
    return (m.body(b["now"])[:, 0] - goal).square().mean()


def learner(*, frozen):
    def build():
        body = mlp(nn.ReLU, 20, 32, 3)
        target = copy.deepcopy(body).requires_grad_(not frozen)
        batch = {"now": torch.randn(64, 20), "after": torch.randn(64, 20),
                 "reward": torch.randn(64)}  # fmt: skip
        return start(Model(None, body=body, target=target), batch, forward=temporal)

    return build


def student():
    """A student that predicts the code of its copy, the teacher, under no_grad."""
    body = mlp(nn.ReLU, 20, 32, 16)

    def run(m, a, b):
        with torch.no_grad():
            goal = functional.normalize(m.teacher(b), dim=-1)
        return (functional.normalize(m.predict(m.body(a)), dim=-1) * goal).sum(-1)

    model = Model(run, body=body, teacher=copy.deepcopy(body), predict=mlp(nn.ReLU, 16, 16, 16))
    x = torch.randn(64, 20)
    return start(model, ((x, x + 0.1 * torch.randn(64, 20)), torch.ones(64)),
                 lambda output, target: (target - output).mean())  # fmt: skip


CASES = [
    row("soft mixture", made(Mixture), PASS),
    row("mixture of the best two", made(lambda: Mixture(top=2)), PASS),
    row("copied experts", made(lambda: Mixture(copied=True)), WARN, COPIES),
    row("copied experts under a zero router", made(lambda: Mixture(copied=True),
        fill(0.0, "router")), FAIL, (TWINS, ZERO)),
    row("dead expert", made(lambda: Mixture(), lambda m: m.experts.__setitem__(2,
        each(mlp(nn.ReLU, 20, 16, 3), lambda part: part.bias.fill_(-40.0)))), FAIL, DEAD,
        "experts.2.0"),
    row("stacked ensemble", made(ensemble(equal=False)), PASS),
    row("stacked ensemble of equal members", made(ensemble(equal=True)), FAIL, (LOCKED, TWINS),
        "first"),
    row("router by argmax alone", made(router), MILD, SILENT, "router"),
    row("actor and critic", made(Agent, None, loss_fn=advantage), PASS),
    row("twin values by deepcopy", made(lambda: Agent(twin=True), None, loss_fn=advantage), FAIL,
        TWINS, "value second"),
    row("two heads, one asked for", made(TwoHeads, None, loss_fn=one), PASS),
    row("head with rate 0", made(TwoHeads, None, loss_fn=both,
        optimizer=lambda p: torch.optim.SGD([{"params": (p := list(p))[:-2]},
        {"params": p[-2:], "lr": 0.0}], 0.05)), BAD, LEFT, "size"),
    row("frozen but the head", made(TwoHeads, lambda m: m.body.requires_grad_(False), loss_fn=one),
        PASS),
    row("two copied heads of one unit", heads(copied=True), FAIL, TWINS, "first second"),
    row("two zero heads of one unit", heads(copied=False), PASS),
    row("frozen target network", learner(frozen=True), PASS),
    row("target network under no_grad", learner(frozen=False), PASS),
    row("student and teacher", student, PASS),
]  # fmt: skip
