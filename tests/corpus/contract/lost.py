"""What loses its gradient on the way: derivatives without a graph, a codebook, steps too small."""

from __future__ import annotations

import torch
from torch import nn
from torch.autograd import grad
from torch.nn import functional

from ..case import BAD, FAIL, PASS, WARN
from ..causes import CUT_TERM, ROUNDED_AWAY, SILENT
from ..nets import adam, mlp
from ..unusual.builders import Model
from .builders import given, groups, net, row

mse = functional.mse_loss


def field(outputs=1):
    return mlp(nn.Tanh, 2, 32, 32, outputs)


def plane():
    """Points in place and time, and where the solution starts."""
    return {"all": torch.rand(64, 2), "start": torch.rand(32, 2) * torch.tensor([1.0, 0.0])}


def begun(m, b):
    return mse(m(b["start"]), (3 * b["start"][:, :1]).sin())


def solving(residual, **graph):
    """The residual of an equation at inner points, and the values that the solution starts from."""

    def forward(m, b):
        x = b["all"].clone().requires_grad_()
        return residual(m(x), x, {"retain_graph": True, **graph}).square().mean() + begun(m, b)

    return forward


def decay(u, x, how):
    (slope,) = grad(u.sum(), x, **how)
    return slope[:, 1:] + 2 * u


def heat(u, x, how):
    (slope,) = grad(u.sum(), x, create_graph=True)
    (bend,) = grad(slope[:, :1].sum(), x, **how)
    return slope[:, 1:] - 0.1 * bend[:, :1]


def flowing(u, x, how):
    (slope,) = grad(u.sum(), x, **how)
    return slope[:, 1:] + u * slope[:, :1]


def fields():
    return Model(None, energy=field(), score=field(2))


def points():
    return torch.rand(64, 2)


def bowl(m, x):
    return mse(m.energy(x), x.square().sum(1, keepdim=True))


def taught(m, x):
    """A network that learns the slope of another, which learns by itself."""
    x = x.clone().requires_grad_()
    (slope,) = grad(m.energy(x).sum(), x, retain_graph=True)
    return (m.score(x) + slope).square().mean() + bowl(m, x.detach())


def towards(m, x):
    """Pulled to where the slope of a judge points, which is trained beside it."""
    out = m.score(x)
    (slope,) = grad(m.energy(out).sum(), out, retain_graph=True)
    return mse(out, out.detach() - slope) + bowl(m, x)


def refined(m, x):
    """A code, improved by a step down an energy, and read by the next layer."""
    code = m.score(x)
    (slope,) = grad(m.energy(code).sum(), code, retain_graph=True)
    return mse(m.score(code - 0.1 * slope), x) + bowl(m, x)


def attacked(m, x):
    x = x.clone().requires_grad_()
    loss = mse(m.score(x), x.detach())
    (slope,) = grad(loss, x, retain_graph=True)
    return loss + mse(m.score(x + 0.1 * slope.sign()), x.detach()) + bowl(m, x.detach())


def first_order(m, x):
    """An inner step on the weights, without the derivative of its derivative."""
    loss = m(x).square().mean()
    (slope,) = grad(loss, m[0].weight, retain_graph=True)
    hidden = torch.tanh(functional.linear(x, m[0].weight - 0.1 * slope, m[0].bias))
    return mse(m[1:](hidden), x[:, :1])


class Quantised(nn.Module):
    """An autoencoder of codes with a straight-through gradient."""

    def __init__(self, is_averaged=False):
        super().__init__()
        self.coder, self.book = mlp(nn.ReLU, 20, 64, 16), nn.Embedding(32, 16)
        self.decoder = mlp(nn.ReLU, 16, 64, 20)
        nn.init.uniform_(self.book.weight, -1 / 32, 1 / 32)
        self.is_averaged = is_averaged

    def forward(self, x):
        z = self.coder(x)
        place = torch.cdist(z, self.book.weight).argmin(1)
        if self.is_averaged and self.training:
            with torch.no_grad():
                kind = functional.one_hot(place, 32).float()
                mean = kind.T @ z / kind.sum(0)[:, None].clamp(min=1)
                self.book.weight[place] += 0.1 * (mean - self.book.weight)[place]
        code = self.book(place)
        return self.decoder(z + (code - z).detach()), z, code


class Codes(nn.Module):
    """The same with codes of a bare parameter, picked by index."""

    def __init__(self, is_averaged=False):
        super().__init__()
        self.coder, self.decoder = mlp(nn.ReLU, 20, 64, 16), mlp(nn.ReLU, 16, 64, 20)
        self.codes, self.is_averaged = nn.Parameter(torch.randn(32, 16) / 4), is_averaged

    def forward(self, x):
        z = self.coder(x)
        place = torch.cdist(z, self.codes).argmin(1)
        if self.is_averaged and self.training:
            with torch.no_grad():
                kind = functional.one_hot(place, 32).float()
                self.codes.lerp_(kind.T @ z / kind.sum(0)[:, None].clamp(min=1), 0.1)
        code = self.codes[place]
        return self.decoder(z + (code - z).detach()), z, code


def coded(*terms):
    def forward(m, x):
        out, z, code = m(x)
        through = z + (code - z).detach()
        found = {"code": mse(z, code.detach()), "book": mse(code, z.detach()),
                 "through": mse(through, z.detach())}  # fmt: skip
        return mse(out, x) + sum(found[name] for name in terms)

    return forward


def features():
    return groups()[0]


def halved():
    return net()().bfloat16()


def halves():
    x, y = groups()
    return x.bfloat16(), y


class Master(torch.optim.Optimizer):
    """Adam on copies in single precision, as libraries for mixed precision keep them."""

    def __init__(self, parameters, rate):
        super().__init__(list(parameters), {"lr": rate})
        self.held = [p for group in self.param_groups for p in group["params"]]
        self.copies = [p.detach().float().clone() for p in self.held]
        self.inner = torch.optim.Adam([p.requires_grad_() for p in self.copies], rate)

    @torch.no_grad()
    def step(self, closure=None):
        for copy, parameter in zip(self.copies, self.held, strict=True):
            copy.grad = None if parameter.grad is None else parameter.grad.float()
        self.inner.step()
        for copy, parameter in zip(self.copies, self.held, strict=True):
            parameter.copy_(copy)


class Compensated(torch.optim.Optimizer):
    """Gradient descent that adds what rounding took to the next step (Kahan)."""

    def __init__(self, parameters, rate):
        super().__init__(list(parameters), {"lr": rate})

    @torch.no_grad()
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            left = self.state[p].setdefault("left", torch.zeros_like(p))
            left -= self.param_groups[0]["lr"] * p.grad
            before = p.clone()
            p += left
            left -= p - before


def by(kind, rate):
    return {"optimizer": lambda parameters: kind(parameters, rate)}


def sixteen(title, verdict, kind, rate, cause=()):
    return row(f"sixteen bits {title}", given(halved, halves, **by(kind, rate)), verdict, cause)


CASES = [
    row("decay without the graph of its derivative", given(field, plane, forward=solving(decay)),
        BAD, CUT_TERM),
    row("decay", given(field, plane, forward=solving(decay, create_graph=True)), PASS),
    row("heat without the graph of its last derivative", given(field, plane,
        forward=solving(heat)), BAD, CUT_TERM),
    row("heat", given(field, plane, forward=solving(heat, create_graph=True)), PASS),
    row("flow without the graph of its derivative", given(field, plane, forward=solving(flowing)),
        FAIL, CUT_TERM),
    row("flow of a gas", given(field, plane, forward=solving(flowing, create_graph=True)), PASS),
    row("slope of an energy as a target", given(fields, points, forward=taught), PASS),
    row("step down a judge's slope as a target", given(fields, points, forward=towards), PASS),
    row("code refined by a slope", given(fields, points, forward=refined), PASS),
    row("inputs moved up a slope", given(fields, points, forward=attacked), PASS),
    row("first-order inner step", given(field, points, forward=first_order), PASS),
    row("codebook without a loss of its own", given(Quantised, features, forward=coded("code")),
        FAIL, SILENT, "book"),
    row("codes whose loss is asked of what goes through", given(Codes, features,
        forward=coded("code", "through")), BAD, SILENT),
    row("codes with a loss of their own", given(Codes, features, forward=coded("code", "book")),
        PASS),
    row("codes of running means", given(lambda: Codes(True), features, forward=coded("code")),
        PASS),
    row("codebook behind forward", given(Quantised, features, forward=coded("code", "book")), PASS),
    row("codebook of running means", given(lambda: Quantised(True), features,
        forward=coded("code")), PASS),
    sixteen("by steps of 1e-4", WARN, torch.optim.Adam, 1e-4, ROUNDED_AWAY),
    sixteen("by steps of 1e-5", FAIL, torch.optim.Adam, 1e-5, ROUNDED_AWAY),
    sixteen("by steps of 1e-3", PASS, torch.optim.Adam, 1e-3),
    sixteen("by descent at 1e-3", BAD, torch.optim.SGD, 1e-3, ROUNDED_AWAY),
    sixteen("by descent at .1", PASS, torch.optim.SGD, 0.1),
    sixteen("with copies of 32", PASS, Master, 1e-5),
    sixteen("with what rounding took", PASS, Compensated, 1e-3),
    row("32 bits by steps of 1e-5", given(net(), groups, optimizer=adam(1e-5)), PASS),
]  # fmt: skip
