"""How large a change a comparison with a baseline notices.

    python benchmarks/power.py [--trials 12] [--only CHANGE] [--half]

Every change is made to a start that is otherwise as its baseline: with equal seeds ("same seed"),
or with fresh weights and data ("fresh seed"). Prints the share of trials that were called
"changed", and what was told first. ``--half`` makes changes of a size half as large.
"""

from __future__ import annotations

import argparse
import re
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from null_models import MODELS, Residual, images, mlp_of, rows
from torch import nn
from torch.nn import functional as F

from pytest_initcheck import diagnose
from pytest_initcheck.baseline import compare
from pytest_initcheck.records import RunRecord

Made = tuple[nn.Module, Any, dict[str, Any]]
Change = Callable[[float], Made]
PLAIN: dict[str, Callable[[], Made]] = {}
CHANGES: dict[str, tuple[str, Change]] = {}


def change(name: str, of: str) -> Callable[[Change], Change]:
    """Register a change of the model ``of``; it takes the part of its size that is made."""

    def register(make: Change) -> Change:
        CHANGES[name] = of, make
        return make

    return register


def net(act: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """An MLP with weights of at least 4,096 values."""
    return mlp_of([32, 128, 128, 10], act)


def data() -> Any:
    """A batch of 64 for it."""
    return rows(64, 32, 10)


class Normed(nn.Module):
    """An MLP with a functional layer norm, and a factor in its forward pass."""

    def __init__(
        self, factor: float = 1.0, has_norm: bool = True, is_swapped: bool = False
    ) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(32, 128), nn.Linear(128, 128), nn.Linear(128, 128)
        self.head = nn.Linear(128, 10)
        self.factor, self.has_norm, self.is_swapped = factor, has_norm, is_swapped

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.relu(self.a(x))
        if self.has_norm:
            h = F.layer_norm(h, (128,))
        h = h * self.factor
        first, second = (self.c, self.b) if self.is_swapped else (self.b, self.c)
        return self.head(F.relu(second(F.relu(first(h)))))


class Skip(Residual):
    """The residual network without its skips."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = F.relu(block(x))
        return self.head(x.mean((2, 3)))


PLAIN["mlp"] = lambda: (net(), data(), {})
PLAIN["normed"] = lambda: (Normed(), data(), {})
PLAIN["residual"] = lambda: (Residual(nn.BatchNorm2d), images(), {})
PLAIN["cnn"] = MODELS["cnn batch norm"]
PLAIN["language"] = MODELS["transformer"]


def scaled(model: nn.Module, name: str, factor: float) -> nn.Module:
    """The model with one parameter multiplied."""
    with torch.no_grad():
        model.get_parameter(name).mul_(factor)
    return model


def each(model: nn.Module, draw: Callable[[torch.Tensor], object]) -> nn.Module:
    """The model with all matrices drawn anew."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                draw(parameter)
    return model


def like_normal(weight: torch.Tensor) -> None:
    """A normal distribution with the standard deviation that the weight has."""
    nn.init.normal_(weight, std=float(weight.std()))


def stepped(optimizer: Callable[..., torch.optim.Optimizer], **options: Any) -> Made:
    """The plain MLP with another optimiser."""
    return net(), data(), {"optimizer": lambda p: optimizer(p, **options)}


change("sigma of one layer +10 %", "mlp")(
    lambda part: (scaled(net(), "2.weight", 1 + 0.1 * part), data(), {})
)
change("gain x1.2", "mlp")(lambda part: (each(net(), lambda w: w.mul_(1 + 0.2 * part)), data(), {}))
change("conv 3x3 sigma x1.25", "cnn")(
    lambda part: (scaled(PLAIN["cnn"]()[0], "4.weight", 1 + 0.25 * part), images(), {})
)
change("embedding .02 to .03", "language")(
    lambda part: (scaled(PLAIN["language"]()[0], "embed.weight", 1 + 0.5 * part),
                  PLAIN["language"]()[1], {})
)  # fmt: skip
change("default to Xavier", "mlp")(lambda _: (each(net(), nn.init.xavier_uniform_), data(), {}))
change("uniform to normal of equal std", "mlp")(lambda _: (each(net(), like_normal), data(), {}))
change("ReLU to LeakyReLU(.2)", "mlp")(lambda _: (net(lambda: nn.LeakyReLU(0.2)), data(), {}))
change("ReLU to GELU", "mlp")(lambda _: (net(nn.GELU), data(), {}))
change("ReLU to SiLU", "mlp")(lambda _: (net(nn.SiLU), data(), {}))
change("momentum 0 to .9", "mlp")(lambda _: stepped(torch.optim.SGD, lr=1e-2, momentum=0.9))
change("learning rate x2", "mlp")(lambda part: stepped(torch.optim.SGD, lr=1e-2 * (1 + part)))
change("weight decay 0 to .1", "mlp")(
    lambda part: stepped(torch.optim.SGD, lr=1e-2, weight_decay=0.1 * part)
)
change("SGD to Adam", "mlp")(lambda _: stepped(torch.optim.Adam, lr=1e-2))
change("loss mean to sum", "mlp")(
    lambda _: (net(), data(), {"loss_fn": nn.CrossEntropyLoss(reduction="sum")})
)
change("label smoothing 0 to .5", "mlp")(
    lambda part: (net(), data(), {"loss_fn": nn.CrossEntropyLoss(label_smoothing=0.5 * part)})
)
change("a dead layer", "mlp")(lambda _: (scaled(net(), "2.weight", 0.0), data(), {}))
change("a layer frozen", "mlp")(lambda _: (frozen(net()), data(), {}))
change("bias to zero", "mlp")(lambda _: (scaled(net(), "2.bias", 0.0), data(), {}))
change("normalisation removed", "normed")(lambda _: (Normed(has_norm=False), data(), {}))
change("two layers swapped", "normed")(lambda _: (Normed(is_swapped=True), data(), {}))
change("a factor 1 to 1.5 in forward", "normed")(lambda part: (Normed(1 + 0.5 * part), data(), {}))
change("skips dropped", "residual")(lambda _: (Skip(nn.BatchNorm2d), images(), {}))
change("padding zeros to reflect", "cnn")(lambda _: (reflected(), images(), {}))
change("inputs x2", "mlp")(lambda part: (net(), changed(lambda x: x * (1 + part)), {}))
change("inputs + .5", "mlp")(lambda part: (net(), changed(lambda x: x + 0.5 * part), {}))


def frozen(model: nn.Module) -> nn.Module:
    """The model with one layer that does not train."""
    model.get_parameter("2.weight").requires_grad_(False)
    return model


def reflected() -> nn.Module:
    """The convolutional network with another padding."""
    model = PLAIN["cnn"]()[0]
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.padding_mode = "reflect"
            module._reversed_padding_repeated_twice = [1, 1, 1, 1]
    return model


def changed(how: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The batch of the MLP with other inputs."""
    inputs, targets = data()
    return how(inputs), targets


def record(make: Callable[[], Made], seed: int) -> RunRecord:
    """The diagnosis of what is made with this seed."""
    torch.manual_seed(seed)
    model, batch, options = make()
    options = {"loss_fn": nn.CrossEntropyLoss(), **options}
    return diagnose(model, batch, checks=(), **options).run_record()


def noticed(name: str, trials: int, part: float) -> str:
    """A line of the table."""
    of, make = CHANGES[name]
    cells, first = [], Counter[str]()
    for apart in (0, 1000):
        found = 0
        for seed in range(trials):
            theirs = record(PLAIN[of], seed)
            result = compare(record(lambda: make(part), seed + apart), theirs)
            found += result.status == "changed"
            first.update(re.sub(r"\d+", "…", d.key) for d in result.differences[:1])
        cells.append(f"{found:4} of {trials}")
    return (
        f"{name:32} {cells[0]:>12} {cells[1]:>12}  {'; '.join(k for k, _ in first.most_common(2))}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--only", default="")
    parser.add_argument("--half", action="store_true")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{'change':32} {'same seed':>12} {'fresh seed':>12}  told first")
    for name in CHANGES:
        if chosen.only in name:
            print(noticed(name, chosen.trials, 0.5 if chosen.half else 1.0), flush=True)


if __name__ == "__main__":
    main()
