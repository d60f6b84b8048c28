"""Models in the maximal update parametrisation, right, or with one layer's rule left out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

BASE = 64
CLASSES, INPUTS, VOCAB, LENGTH = 5, 12, 24, 8
Build = Callable[[int], nn.Module]


class Residual(nn.Module):
    """Input, blocks of norm, up, down beside a skip, norm, readout."""

    def __init__(self, width: int, blocks: int, act: type[nn.Module]) -> None:
        super().__init__()
        self.inputs = nn.Linear(INPUTS, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, 2 * width), act(), nn.Linear(2 * width, width)
            )
            for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.readout = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inputs(x)
        for block in self.blocks:
            x = x + block(x)
        return self.readout(self.norm(x))


class Attention(nn.Module):
    """Two heads, whose logits are divided by the size of a head, as Tensor Programs V asks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (2, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        logits = q @ k.transpose(-1, -2) * (math.sqrt(BASE / 2) / q.shape[-1])
        mask = torch.ones(x.shape[1], x.shape[1]).tril() == 0
        made = logits.masked_fill(mask, -math.inf).softmax(-1) @ v
        return self.out(made.transpose(1, 2).flatten(-2))


class Transformer(nn.Module):
    """A language model of pre-norm blocks."""

    def __init__(self, width: int, blocks: int = 1) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCAB, width), nn.Embedding(LENGTH, width)
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm1": nn.LayerNorm(width),
                    "attention": Attention(width),
                    "norm2": nn.LayerNorm(width),
                    "up": nn.Linear(width, 2 * width),
                    "down": nn.Linear(2 * width, width),
                }
            )
            for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.readout = nn.Linear(width, VOCAB)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = x + block["attention"](block["norm1"](x))
            x = x + block["down"](functional.gelu(block["up"](block["norm2"](x))))
        return self.readout(self.norm(x)).transpose(1, 2)


def mlp(hidden: int, act: type[nn.Module]) -> Build:
    """Layers of one width."""

    def build(width: int) -> nn.Module:
        sizes = [INPUTS, *[width] * (hidden + 1), CLASSES]
        layers = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), act())]
        return nn.Sequential(*layers[:-1])

    return build


def cnn(width: int) -> nn.Module:
    """Three convolutions, of which one has a stride, and a readout of the mean."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, CLASSES),
    )


class Recurrent(nn.Module):
    """A GRU over a sequence, and a readout of its last state."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inputs, self.cell = nn.Linear(INPUTS, width), nn.GRUCell(width, width)
        self.readout = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(x.shape[0], self.cell.hidden_size)
        for _ in range(3):
            state = self.cell(self.inputs(x), state)
        return self.readout(state)


ARCHITECTURES: dict[str, Build] = {
    "MLP 1 relu": mlp(1, nn.ReLU),
    "MLP 2 tanh": mlp(2, nn.Tanh),
    "MLP 3 gelu": mlp(3, nn.GELU),
    "MLP 4 relu": mlp(4, nn.ReLU),
    "residual 2": lambda width: Residual(width, 2, nn.ReLU),
    "CNN": cnn,
    "transformer": Transformer,
    "GRU": Recurrent,
}


def batch_of(architecture: str, many: int = 1) -> tuple[Tensor, Tensor]:
    """Random data with labels; the next token for a language model; so many times 16 rows."""
    generator = torch.Generator().manual_seed(1)
    if architecture == "transformer":
        ids = torch.randint(0, VOCAB, (8 * many, LENGTH + 1), generator=generator)
        return ids[:, :-1], ids[:, 1:]
    shape = (8 * many, 3, 8, 8) if architecture == "CNN" else (16 * many, INPUTS)
    x = torch.randn(shape, generator=generator)
    return x, torch.randint(0, CLASSES, shape[:1], generator=generator)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A model with an optimiser; ``layer`` is the one of which ``what`` is wrong, "" for none."""

    architecture: str
    optimizer: str = "adam"
    layer: str = ""
    what: str = ""

    def __str__(self) -> str:
        fault = f", {self.what} of {self.layer} not scaled" if self.layer else ""
        return f"{self.architecture}, {self.optimizer}{fault}"

    def factory(self, width: int) -> nn.Module:
        """The model with its weights drawn as muP says."""
        model = ARCHITECTURES[self.architecture](width)
        for name, role, weight in _weights(self.architecture, model):
            wrong = self.what == "initialiser" and name == self.layer
            nn.init.normal_(weight, std=_spread(role, weight, model, wrong=wrong))
        return model

    def steps(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimiser with a rate for each weight as muP says; vectors have those of inputs."""
        roles = {id(w): (name, role) for name, role, w in _weights(self.architecture, model)}
        ratio = _ratio(self.architecture, model)
        groups = []
        for parameter in model.parameters():
            name, role = roles.get(id(parameter), ("", "input"))
            wrong = self.what == "rate" and name == self.layer
            scale = 1.0 if wrong else _rate(self.optimizer, role, ratio)
            groups.append({"params": [parameter], "lr": LEARNING[self.optimizer] * scale})
        kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
        return kinds[self.optimizer](groups, lr=LEARNING[self.optimizer])


LEARNING = {"adam": 1e-3, "adamw": 2e-3, "sgd": 0.05}


def _ratio(architecture: str, model: nn.Module) -> float:
    base = dict(ARCHITECTURES[architecture](BASE).named_parameters())
    grown = {name: p.shape for name, p in model.named_parameters()}
    return max(max(a / b for a, b in zip(grown[n], p.shape, strict=True)) for n, p in base.items())


def _weights(architecture: str, model: nn.Module) -> Iterator[tuple[str, str, Tensor]]:
    """Names of modules, roles and weights of all that mix features, by how their shapes grow."""
    small, large = ARCHITECTURES[architecture](8), ARCHITECTURES[architecture](16)
    modules = dict(model.named_modules())
    pairs = zip(small.named_parameters(), large.parameters(), strict=True)
    for ((name, a), b), weight in zip(pairs, model.parameters(), strict=True):
        if a.dim() < 2:
            continue
        owner = name.rpartition(".")[0]
        out, into = (0, 1) if not isinstance(modules[owner], nn.Embedding) else (1, 0)
        grows = a.shape[into] < b.shape[into], a.shape[out] < b.shape[out]
        role = {(False, True): "input", (True, True): "hidden", (True, False): "output"}[grows]
        is_only = (
            sum(n.startswith(f"{owner}.") for n, p in model.named_parameters() if p.dim() > 1) == 1
        )
        yield (owner if is_only else name), role, weight


def _spread(role: str, weight: Tensor, model: nn.Module, *, wrong: bool) -> float:
    fan_in = math.prod(weight.shape[1:])
    grown = fan_in / max(1, math.prod(weight.shape[2:]))
    if role == "input":
        is_table = any(m.weight is weight for m in model.modules() if isinstance(m, nn.Embedding))
        return 1.0 if is_table else 1 / math.sqrt(fan_in)
    if role == "hidden":
        return math.sqrt(2 / (fan_in / grown * BASE if wrong else fan_in))
    return 1 / math.sqrt(fan_in) if wrong else math.sqrt(BASE) / fan_in


def _rate(optimizer: str, role: str, ratio: float) -> float:
    if optimizer == "sgd":
        return {"input": ratio, "hidden": 1.0, "output": 1 / ratio}[role]
    return {"input": 1.0, "hidden": 1 / ratio, "output": 1 / ratio}[role]


def broken() -> Iterator[Variant]:
    """Each model and optimiser, with each rule of each layer left out that has one."""
    for variant in right():
        model = ARCHITECTURES[variant.architecture](BASE)
        for name, role, _ in _weights(variant.architecture, model):
            scaled = {"input", "output"} if variant.optimizer == "sgd" else {"hidden", "output"}
            faults = (["rate"] if role in scaled else []) + ["initialiser"] * (role != "input")
            for what in faults:
                yield Variant(
                    architecture=variant.architecture,
                    optimizer=variant.optimizer,
                    layer=name,
                    what=what,
                )


def right() -> Iterator[Variant]:
    """Each model with Adam or AdamW, and the plainer ones with SGD."""
    for place, name in enumerate(ARCHITECTURES):
        yield Variant(architecture=name, optimizer=("adam", "adamw")[place % 2])
        if name.startswith(("MLP", "CNN", "residual")):
            yield Variant(architecture=name, optimizer="sgd")
