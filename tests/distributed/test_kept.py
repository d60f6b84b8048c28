"""What decides whether a model is put together: the memory of its weights and of its passes."""

from __future__ import annotations

import pytest
import torch
from support.spread_models import CASES, built, fsdp, part, rows
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.distributed import in_parts
from pytest_initcheck.distributed.kept import kept_for_backward
from pytest_initcheck.distributed.unsharded import outline
from pytest_initcheck.ranks.local_job import on_ranks


def kept_in_fact(model, batch):
    """Bytes that a pass with values keeps for its way back, but for the weights."""
    sizes, held = {}, []

    def note(tensor):
        held.append(tensor)
        sizes[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model(batch[0])
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    return sum(size for storage, size in sizes.items() if storage not in own)


@pytest.mark.parametrize("name", ["mlp", "batch norm", "transformer"])
def test_what_a_pass_keeps_is_known_without_its_values(name):
    model, batch, state = built(name), CASES[name][1](), torch.get_rng_state()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = kept_for_backward(model, batch, None, None)
    # Attention is not fused without values, and the loss has no targets to read.
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert found == pytest.approx(kept_in_fact(model, batch), rel=0.3)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(
        torch.equal(before[key], value)
        for key, value in model.state_dict().items()
        if name != "batch norm"
    )
    assert {p.device.type for p in outline(model).parameters()} == {"meta"}


def test_a_pass_that_asks_for_values_counts_until_it_does():
    class Asking(nn.Sequential):
        def forward(self, x):
            x = super().forward(x)
            return x if float(x.detach().mean()) < 9 else -x

    model = Asking(nn.Linear(6, 64), nn.Tanh(), nn.Linear(64, 3))
    assert kept_for_backward(model, rows(), None, None) >= 32 * 64 * 4


def chosen(rank):
    """How a model is measured where its weights fit six times, as the room for passes grows."""
    model, found = fsdp(built("mlp")), []
    weights = sum(p.numel() * p.element_size() for p in built("mlp").parameters())
    for room in (2 * weights, 13 * weights, 10**9):
        in_parts._memory = lambda *_, room=room: room
        found.append(
            "in its part" in diagnose(model, part(rows(2000), rank, 2)).record.meta["taken"]
        )
    return found


def test_activations_count_where_it_is_chosen_how_to_measure():
    assert on_ranks(2, chosen) == [[True, True, False]] * 2
