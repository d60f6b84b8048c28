"""The forms of a batch: what the model gets of it, and what the record says was taken."""

from __future__ import annotations

import collections
import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_sequence

from pytest_initcheck import InitcheckError, diagnose

Pair = collections.namedtuple("Pair", "x y")
Weighted = collections.namedtuple("Weighted", "inputs target weight")


@dataclasses.dataclass(frozen=True)
class Fields:
    image: torch.Tensor
    label: torch.Tensor


class Net(nn.Module):
    """A classifier; its children differ in what their forward takes."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x):
        return self.body(x)


class TakesObject(Net):
    def forward(self, batch):
        image = batch["image"] if isinstance(batch, dict) else batch.image
        return self.body(image)


class TakesTwo(Net):
    def forward(self, a, b):
        return self.body(a + b)


class TakesPair(Net):
    def forward(self, pair):
        first, second = pair
        return self.body(first + second)


class TakesMask(Net):
    def forward(self, x, mask=None):
        return self.body(x if mask is None else x * mask)


class TakesAll(Net):
    def forward(self, *parts):
        *summed, targets = parts
        return functional.cross_entropy(self.body(sum(summed)), targets)


class TakesThree(Net):
    def forward(self, a, b, labels):
        return functional.cross_entropy(self.body(a + b), labels)


class ReturnsLoss(Net):
    """As minGPT does."""

    def forward(self, idx, targets=None):
        logits = self.body(idx)
        return logits, None if targets is None else functional.cross_entropy(logits, targets)


class TakesList(Net):
    """As detectron2 does: a list of mappings in, a mapping of losses out."""

    def forward(self, batched_inputs):
        x = torch.stack([sample["image"] for sample in batched_inputs])
        y = torch.stack([sample["label"] for sample in batched_inputs])
        logits = self.body(x)
        return {
            "loss_cls": functional.cross_entropy(logits, y),
            "loss_size": logits.square().mean(),
        }


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRU(20, 16), nn.Linear(16, 10)

    def forward(self, sequence):
        return self.head(self.cell(sequence)[1][-1])


def taken(diagnosis):
    return diagnosis.record.meta.get("taken", "")


def reference(data):
    torch.manual_seed(1)
    return diagnose(Net(), data).losses


def losses(kind, batch, *args):
    torch.manual_seed(1)
    return diagnose(kind(), batch, *args)


@pytest.mark.parametrize(
    ("kind", "form", "said"),
    [
        (Net, lambda x, y: [x, y], ""),
        (Net, lambda x, y: Pair(x, y), ""),
        (Net, lambda x, y: Fields(x, y), "of a Fields, 'image' as inputs and 'label' as targets"),
        (Net, lambda x, y: {"image": x, "label": y}, "of a dict, 'image' as inputs"),
        (Net, lambda x, y: {"x": x, "y": y}, "targets: batch['y'], for the loss"),
        (Net, lambda x, y: (x.numpy(), y.numpy()), "its arrays as tensors"),
        (Net, lambda x, y: [{"x": a, "labels": b} for a, b in zip(x, y, strict=True)], "stacked"),
        (Net, lambda x, y: ((x,), y), ""),
        (TakesObject, lambda x, y: Fields(x, y), "a Fields as one argument, 'batch'"),
        (TakesObject, lambda x, y: {"image": x, "label": y}, "a dict as one argument, 'batch'"),
        (TakesPair, lambda x, y: ((x / 2, x / 2), y), "its 2 inputs as one argument, 'pair'"),
        (TakesMask, lambda x, y: (x, torch.ones(32, 1), y), "the first 2 of 3 items as inputs"),
        (TakesTwo, lambda x, y: (x / 2, x / 2, y), "the first 2 of 3 items as inputs"),
        (TakesTwo, lambda x, y: {"a": x / 2, "b": x / 2, "label": y}, "batch['label']"),
        (TakesThree, lambda x, y: (x / 2, x / 2, y), "all 3 items as inputs"),
        (TakesThree, lambda x, y: (x / 2, x / 2, y, None), "all 3 items as inputs"),
        (TakesAll, lambda x, y: (x / 2, x / 2, y), "all 3 items as inputs"),
        (TakesAll, lambda x, y: [(v / 2).numpy() for v in (x, x)] + [y.numpy()], "arrays"),
        (ReturnsLoss, lambda x, y: (x, y), "the scalar among the 2"),
        (ReturnsLoss, lambda x, y: {"idx": x, "targets": y}, "the scalar among the 2"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)[:30]),
)
def test_each_form_gives_the_loss_of_the_pair(data, kind, form, said):
    found = losses(kind, form(*data))
    assert found.losses == pytest.approx(reference(data), rel=1e-5)
    assert said in taken(found)
    assert "left out" not in found.record.meta


@pytest.mark.parametrize("form", [tuple, lambda items: Weighted(*items)], ids=["tuple", "named"])
def test_a_third_item_is_left_out_and_warned_of(data, form):
    found = losses(Net, form([*data, torch.rand(32)]))
    assert found.losses == reference(data)
    assert [f.id for f in found.findings] == ["IC823"]
    assert found.record.meta["left out"] == "item 3 of the batch"
    assert "item 3 of the batch" in str(found)


def test_a_loss_of_three_takes_the_third(data):
    def weighted(output, targets, weight):
        return (functional.cross_entropy(output, targets, reduction="none") * weight).mean()

    found = losses(Net, (*data, torch.ones(32)), weighted)
    assert found.losses == pytest.approx(reference(data), rel=1e-5)
    assert found.record.meta["loss"] == "weighted"
    assert not found.findings


def test_two_inputs_of_a_model_that_needs_both(data):
    found = diagnose(TakesTwo(), (data[0], data[0]), lambda output: output.square().mean())
    assert taken(found) == "batch: both items as inputs"
    assert found.losses[-1] < found.losses[0]


def test_a_mapping_of_lists_becomes_tensors(data):
    lists = {"x": data[0].tolist(), "labels": data[1].tolist()}
    found = losses(Net, lists)
    assert "its lists as tensors" in taken(found)
    assert found.losses == pytest.approx(reference(data), rel=1e-5)


def test_an_array_alone_becomes_a_tensor(data):
    found = diagnose(Net(), data[0].numpy(), lambda output: output.square().mean())
    assert "an array as a tensor" in taken(found)


def test_a_batch_of_several_for_a_forward_that_cannot_be_read(data):
    class Opaque(Net):
        forward = staticmethod(max)

    with pytest.raises(InitcheckError, match="which of them the model takes cannot be told"):
        diagnose(Opaque(), (*data, data[1]))


def test_fields_that_the_model_does_not_take_are_left_out(data):
    found = losses(Net, {"x": data[0], "y": data[1], "id": torch.arange(32)})
    assert found.record.meta["left out"] == "batch['id']"
    assert [f.id for f in found.findings] == ["IC823"]


def test_a_list_of_mappings_as_it_is_and_a_sum_of_losses(data):
    samples = [{"image": a, "label": b} for a, b in zip(*data, strict=True)]
    found = losses(TakesList, samples)
    assert "a list of mappings as one argument" in taken(found)
    assert "the sum of loss_cls, loss_size" in taken(found)
    assert list(found.parts) == ["loss_cls", "loss_size"]
    sums = [sum(values) for values in zip(*found.parts.values(), strict=True)]
    assert sums == pytest.approx(found.losses, rel=1e-5)
    assert found.run_record().shown["loss_cls"] == (found.parts["loss_cls"],)


def test_samples_of_several_lengths_are_refused_with_what_to_do():
    samples = [{"x": [1.0] * n, "labels": 0} for n in (3, 4)]
    with pytest.raises(InitcheckError, match=r"differ in the shape of 'x'.*tokenizer\.pad"):
        diagnose(Net(), samples)


@pytest.mark.parametrize("targets", [True, False])
def test_a_packed_sequence_is_handed_over_whole(targets):
    packed = pack_sequence([torch.randn(n, 20) for n in (4, 3, 3, 1)])
    labels = torch.randint(0, 10, (4,))
    if targets:
        found = diagnose(Packed(), (packed, labels))
    else:
        found = diagnose(Packed(), packed, lambda output: functional.cross_entropy(output, labels))
    assert found.verdict == "pass"
    assert found.losses[-1] < found.losses[0]


def test_an_object_is_rebuilt_for_each_pass(data):
    class Wears(TakesObject):
        def forward(self, batch):
            logits = self.body(batch.image)
            batch.label.zero_()
            return logits

    batch = Fields(data[0], data[1].clone())
    diagnose(Wears(), batch)
    assert torch.equal(batch.label, data[1])


def test_what_cannot_be_told_is_refused(data):
    with pytest.raises(InitcheckError, match=r"a tuple of 4 items.*cannot be told"):
        diagnose(nn.Bilinear(20, 20, 10), (*data, *data))
