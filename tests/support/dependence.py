"""Programs that are asked what depends on what, and the one finding that is right for each."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from pytest_initcheck.capture.composite_calls import switch_off_dropout
from pytest_initcheck.capture.prepare import opened
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.checks.leaks import Leaks
from pytest_initcheck.dependence import dependencies
from support.starts import Model

__all__ = ["Model"]
# Sizes that no two axes share.
SAMPLES, LENGTH, WIDTH, KINDS, WORDS = 7, 5, 12, 3, 23


@dataclass
class Asked:
    """What these rules alone say of a program, without a step taken."""

    proved: Any
    findings: list[Any]

    def __str__(self):
        return "\n".join([*map(str, self.findings), str(self.proved)])


def ask(model, batch, loss_fn=None, *, causal=None, forward=None):
    with opened(model, batch, loss_fn, forward, None) as program:
        program.materialise()
        switch_off_dropout(model)
        with preserved(program.model, program.loss_fn, program.forward) as start:
            proved = dependencies(program, start, causal=causal)
    loss = SimpleNamespace(is_forward=forward is not None)
    return Asked(proved, list(Leaks().run(SimpleNamespace(dependencies=proved, loss=loss))))


def model(function, **parts):
    """A module that calls a function of itself and its inputs; the parts are always the same."""
    torch.manual_seed(0)
    made = {name: part() if callable(part) and not isinstance(part, nn.Module) else part
            for name, part in parts.items()}  # fmt: skip
    return Model(function, **made)


def rows(*shape, kinds=KINDS, count=SAMPLES):
    """Normal inputs, and a class for each sample."""
    torch.manual_seed(1)
    return torch.randn(count, *shape), torch.arange(count) % kinds


def sequences():
    return rows(LENGTH, WIDTH)


def tokens(count=4, length=10):
    """Ids, and those that follow them."""
    torch.manual_seed(1)
    ids = torch.randint(0, WORDS, (count, length + 1))
    return ids[:, :-1], ids[:, 1:]


def linear(given, made):
    return lambda: nn.Linear(given, made)


def encoder(**options):
    layer = nn.TransformerEncoderLayer(WIDTH, 4, 16, **options)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def named(found):
    """Ids and layers of the findings."""
    return [(finding.id, finding.layer) for finding in found.findings]
