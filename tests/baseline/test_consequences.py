"""What moved with a part of the start is told beside its cause, and only then."""

import torch
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.baseline import compare


def started(seed=0, *, head=1.0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 1))
    with torch.no_grad():
        model[2].weight *= head
    batch = torch.linspace(-1, 1, 64).reshape(16, 4) + seed, torch.linspace(0, 1, 16).reshape(16, 1)
    return diagnose(model, batch, steps=1).run_record()


def moved(found):
    """The signals that are told to have moved, with their ratios, for each note about them."""
    told = [note.partition("what moved: ")[2] for note in found.notes if "as they were" in note]
    return [dict(part.split(" ×") for part in each.split(", ")) for each in told]


def test_what_a_layer_moved_is_told_as_a_ratio_largest_first():
    now, was = started(head=20.0), started()
    (told,) = moved(compare(now, was))
    assert told["loss"] == f"{now.before.loss / was.before.loss:.3g}"
    assert next(iter(told)) == "loss"
    assert len(told) == 4
    gradients = [one.before.layer("0").gradients["weight"].rms for one in (now, was)]
    assert told["0 gradient of weight"] == f"{gradients[0] / gradients[1]:.3g}"


def test_nothing_is_told_where_nothing_or_everything_was_drawn_anew():
    assert moved(compare(started(), started())) == []
    anew = compare(started(1), started(), rtol=1e-3)
    assert anew.status == "changed"
    assert moved(anew) == []


def test_what_moved_by_less_than_a_tenth_is_not_told():
    found = compare(started(head=1.02), started(), rtol=1e-3)
    assert found.status == "changed"
    assert moved(found) == []
