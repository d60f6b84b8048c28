"""Small models, and the ways to spread them over ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

Batch = tuple[Tensor, Tensor]


class Tied(nn.Module):
    """A language model whose head is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 8)
        self.mix = nn.Linear(8, 8)
        self.head = nn.Linear(8, 12, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(self.mix(self.embedding(tokens)).tanh())
        return logits.flatten(0, 1)


class Attending(nn.Module):
    """A transformer of one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        classes: Tensor = self.head(self.layer(self.embedding(tokens)).mean(1))
        return classes


class Heads(nn.Module):
    """A language model of one block, whose heads and vocabulary can be shared among ranks."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(12, 8), nn.Linear(8, 12)
        self.q, self.k, self.v, self.out = (nn.Linear(8, 8) for _ in range(4))
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        each = (layer(x).unflatten(-1, (-1, 2)) for layer in (self.q, self.k, self.v))
        q, k, v = (part.transpose(1, 2) for part in each)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).flatten(-2))
        x = x + self.down(nn.functional.gelu(self.up(self.norm(x))))
        logits: Tensor = self.head(x)
        return logits.flatten(0, 1)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def dead() -> nn.Module:
    """A layer whose units never fire."""
    model = mlp()
    nn.init.constant_(model[0].bias, -50.0)
    return model


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def synchronised() -> nn.Module:
    return nn.SyncBatchNorm.convert_sync_batchnorm(normalised())


def rows(n: int = 32) -> Batch:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, 6, generator=generator)
    return x, torch.randint(0, 3, (n,), generator=generator)


def tokens(n: int = 16, classes: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 12, (n, 5), generator=generator)
    return x, torch.randint(0, classes, (n,), generator=generator)


def next_tokens() -> Batch:
    x, _ = tokens()
    return x[:, :-1], x[:, 1:]


def flat_loss(output: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(output, targets.flatten())


Case = tuple[Callable[[], nn.Module], Callable[[], Batch], dict[str, Any]]
# A first look, one between, which takes less, and a last.
STEPS = {"steps": 2}
CASES: dict[str, Case] = {
    "mlp": (mlp, rows, STEPS),
    "dead": (dead, rows, STEPS),
    "batch norm": (normalised, rows, STEPS),
    "synchronised": (synchronised, rows, STEPS),
    "transformer": (Attending, tokens, STEPS),
    "tied": (Tied, next_tokens, {"loss_fn": flat_loss, **STEPS}),
    "heads": (Heads, next_tokens, {"loss_fn": flat_loss, **STEPS}),
}


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    return CASES[name][0]()


def part(batch: Batch, rank: int, size: int) -> Batch:
    x, y = batch
    return x.chunk(size)[rank], y.chunk(size)[rank]


def ddp(model: nn.Module) -> nn.Module:
    return DistributedDataParallel(model)


def fsdp(model: nn.Module) -> nn.Module:
    from torch.distributed.fsdp import fully_shard

    for child in list(model.children())[:1]:
        if any(True for _ in child.parameters()) and not isinstance(model, Tied):
            fully_shard(child)
    return fully_shard(model)


def shared_heads(model: nn.Module, *, is_wrapped: bool = False) -> nn.Module:
    """Heads and vocabulary over the ranks; with ``is_wrapped`` DTensors between two layers, too."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    plan = {
        "embedding": RowwiseParallel(input_layouts=Replicate()),
        **{name: ColwiseParallel() for name in ("q", "k", "v")},
        "out": RowwiseParallel(),
        "up": ColwiseParallel(use_local_output=not is_wrapped),
        "down": RowwiseParallel(),
        "head": ColwiseParallel(output_layouts=Replicate()),
    }
    return parallelize_module(model, init_device_mesh("cpu", (dist.get_world_size(),)), plan)


def tensor_parallel(model: nn.Module) -> nn.Module:
    """The first linear layer by its outputs, the last by its inputs."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    plan = {"0": ColwiseParallel(), f"{len(model) - 1}": RowwiseParallel()}  # type: ignore[arg-type]
    return parallelize_module(model, mesh, plan)
