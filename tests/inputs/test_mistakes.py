"""Real mistakes of use: each message names what was passed and the shortest thing to pass."""

from __future__ import annotations

import types

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from pytest_initcheck import InitcheckError, diagnose


def net(*ends):
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3), *ends)


def x():
    return torch.randn(8, 6)


def y():
    return torch.randint(0, 3, (8,))


def pair():
    return x(), y()


class Ends(nn.Module):
    """A classifier whose output, or whole forward, is changed."""

    def __init__(self, change=lambda out: out):
        super().__init__()
        self.body, self.change = net(), change

    def forward(self, x):
        return self.change(self.body(x))


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(10, 8), nn.Linear(8, 3)

    def forward(self, ids):
        return self.head(self.embed(ids).mean(1))


class Tagger(nn.Module):
    """Takes labels, as models of transformers do."""

    def __init__(self):
        super().__init__()
        self.body = Tokens()

    def forward(self, input_ids, attention_mask, labels=None):
        return {"logits": self.body(input_ids)}


def images():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(3))


def inferred():
    with torch.inference_mode():
        return net()


def own_step(model, batch):
    loss = functional.cross_entropy(model(batch[0]), batch[1])
    loss.backward()
    return loss


def vector(output, targets):
    return functional.cross_entropy(output, targets, reduction="none")


IDS = torch.zeros(8, 5, dtype=torch.long)
# What was passed, and what the message has to say: first what it was, last what to pass.
MISTAKES = {
    "float64 inputs": (net, lambda: (x().double(), y()), {}, "float64 (8, 6)", "to(torch.float32)"),
    "bytes as inputs": (net, lambda: (x().byte(), y()), {}, "uint8 (8, 6)", "to(torch.float32)"),
    "swapped batch": (net, lambda: (y(), x()), {}, "int64 (8,)", "swapped"),
    "another width": (net, lambda: (torch.randn(8, 5), y()), {}, "(8, 5)", "gets 6 values"),
    "floating token ids": (
        Tokens, lambda: (torch.zeros(8, 5), y()), {}, "float32 (8, 5)", "inputs.long()"),
    "token ids out of range": (
        Tokens, lambda: (IDS + 12, y()), {}, "they reach 12", "'embed' has 10"),
    "channels last": (
        images, lambda: (torch.randn(8, 9, 9, 3), y()), {},
        "(8, 9, 9, 3)", "permute(0, 3, 1, 2)"),
    "grey images": (
        images, lambda: (torch.randn(8, 1, 9, 9), y()), {}, "(8, 1, 9, 9)", "of 3 channels"),
    "one sample and batch norm": (
        lambda: net(nn.BatchNorm1d(3)), lambda: (x()[:1], y()[:1]), {},
        "float32 (1, 6)", "at least 2"),
    "an empty batch": (net, lambda: (x()[:0], y()[:0]), {}, "empty", "at least one sample"),
    "texts": (net, lambda: (["a text"] * 8, y()), {}, "a list", "tokenizer(texts, return_tensors"),
    "no batch": (net, lambda: None, {}, "None", "pass (inputs, targets)"),
    "an empty list": (net, list, {}, "a list", "pass (inputs, targets)"),
    "an empty mapping": (net, dict, {}, "a dict", "pass (inputs, targets)"),
    "LBFGS beside another": (
        net, pair, {"optimizer": [torch.optim.LBFGS, torch.optim.SGD]}, "LBFGS", "pass it alone"),
    "a data set": (net, lambda: TensorDataset(x(), y()), {}, "TensorDataset of 8", "DataLoader("),
    "a missing field": (
        Tagger, lambda: {"input_ids": IDS, "labels": y()}, {}, "'input_ids'", "attention_mask"),
    "missing labels": (
        Tagger, lambda: {"input_ids": IDS, "attention_mask": IDS}, {}, "no targets", "labels"),
    "no targets": (net, x, {}, "no targets", "batch=(inputs, targets)"),
    "no targets for a loss": (net, x, {"loss_fn": vector}, "None", "batch=(inputs, targets)"),
    "too many inputs": (net, lambda: ((x(), x()), y()), {}, "a tuple of float32", "hands it 2"),
    "floating classes": (net, lambda: (x(), y().float()), {}, "(8,)", "targets.long()"),
    "regression of one value": (
        lambda: nn.Linear(6, 1), lambda: (x(), torch.randn(8)), {},
        "(8,)", "targets.unsqueeze(-1)"),
    "classes from 1": (net, lambda: (x(), torch.full((8,), 3)), {}, "from 3 to 3", "0 to 2"),
    "int targets of a regression": (
        lambda: nn.Linear(6, 8), lambda: (x(), IDS.repeat(1, 2)[:, :8]), {"loss_fn": nn.BCELoss()},
        "int64 (8, 8)", "targets.float()"),
    "a tuple for a loss": (
        lambda: Ends(lambda out: (out, out)), pair,
        {"loss_fn": lambda o, t: functional.cross_entropy(o, t)},
        "a tuple of float32", "output[0]"),
    "a mapping for a loss": (
        lambda: Ends(lambda out: {"scores": out}), pair,
        {"loss_fn": lambda o, t: functional.cross_entropy(o, t)}, "a dict of", "output['scores']"),
    "a loss per sample": (net, pair, {"loss_fn": vector}, "(8,)", "reduction='mean'"),
    "a loss as a number": (
        net, pair, {"loss_fn": lambda o, t: vector(o, t).mean().item()},
        "a float", "before .item()"),
    "no loss returned": (net, pair, {"loss_fn": lambda o, t: None}, "None", "return it"),
    "a mapping without a loss": (
        net, pair, {"loss_fn": lambda o, t: {"a": "b"}}, "a dict of 'a'", "with 'loss'"),
    "a detached loss": (
        net, pair, {"loss_fn": lambda o, t: vector(o, t).mean().detach()},
        "does not depend", "detach"),
    "a model under no_grad": (
        lambda: Ends(torch.Tensor.detach), pair, {}, "does not depend", "no_grad"),
    "a forward of the batch alone": (
        net, pair, {"forward": lambda batch: 0}, "a tuple of float32", "lambda model, batch"),
    "a step in place of a loss": (
        net, pair, {"forward": own_step}, "backward", "return the loss before loss.backward()"),
    "a loss and a forward": (
        net, pair, {"loss_fn": "mse", "forward": own_step}, "both passed", "one of them"),
    "an optimiser by name": (net, pair, {"optimizer": "adamw"}, "'adamw'", "torch.optim.AdamW"),
    "an unknown loss": (net, pair, {"loss_fn": "cross"}, "'cross'", "loss_fn='cross_entropy'"),
    "the class of a model": (lambda: nn.Linear, pair, {}, "model is Linear", "lambda: Linear(…)"),
    "a trainer": (
        lambda: types.SimpleNamespace(model=net()), pair, {}, "SimpleNamespace", "pass its .model"),
    "a state dict": (lambda: net().state_dict(), pair, {}, "OrderedDict", "nn.Module"),
    "a model of inference mode": (inferred, pair, {}, "Inference", "deepcopy"),
    "the meta device": (lambda: net().to("meta"), pair, {}, "meta device", "to_empty"),
    "steps as a text": (net, pair, {"steps": "5"}, "'5'", "whole number"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "batch", "options", "was", "instead"), MISTAKES.values(), ids=MISTAKES
)
def test_the_message_names_what_was_passed_and_what_to_pass(model, batch, options, was, instead):
    torch.manual_seed(0)
    with pytest.raises(InitcheckError) as caught:
        diagnose(model(), batch(), **options)
    text = str(caught.value)
    assert was in text
    assert instead in text
    assert text.index(was) <= text.rindex(instead)
    assert "\n" not in text
    assert len(text) < 600


@pytest.mark.parametrize("mode", ["eval", "no_grad", "inference_mode"])
def test_modes_of_the_caller_are_no_mistake(mode):
    torch.manual_seed(0)
    model, data = net(nn.Dropout()), pair()
    model.train(mode != "eval")
    context = getattr(torch, mode) if mode != "eval" else torch.enable_grad
    with context():
        found = diagnose(model, data)
    assert found.losses[-1] != found.losses[0]
    assert model.training == (mode != "eval")
