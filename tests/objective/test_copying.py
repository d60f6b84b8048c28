"""Tokens that are their own answer: let through at their place, or pressed through a code."""

from __future__ import annotations

import pytest
import torch
from corpus.unusual.builders import Model
from support.objective import asked
from torch import nn
from torch.nn import functional

WORDS, PLACES = 20, 6


def repeated(places=PLACES):
    def data():
        ids = torch.randint(WORDS, (16, places))
        return ids, ids.clone()

    return data


def reader(form, *, is_coded):
    """Scores of every word at every place, from its own word or from a code of all of them."""

    def run(m, ids):
        h = m.table(ids)
        h = h.mean(1, keepdim=True) + m.places[: ids.shape[1]] if is_coded else h
        return form(m.head(h))

    return lambda: Model(run, table=nn.Embedding(WORDS, 16), head=nn.Linear(16, WORDS),
                         places=nn.Parameter(torch.randn(PLACES, 16)))  # fmt: skip


FORMS = {
    "samples, places, words": (lambda s: s, lambda s, shape: s),
    "samples, words, places": (lambda s: s.transpose(1, 2), lambda s, shape: s.transpose(1, 2)),
    "places of all samples, words": (lambda s: s.flatten(0, 1), lambda s, shape: s),
}


def loss_of(back):
    def loss(scores, ids):
        return functional.cross_entropy(back(scores, ids.shape).reshape(-1, WORDS), ids.reshape(-1))

    return loss


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("is_coded", [True, False])
@pytest.mark.parametrize("is_step", [True, False])
def test_a_copy_is_one_that_is_let_through_at_its_place(name, is_coded, is_step):
    form, back = FORMS[name]
    loss = loss_of(back)
    given = {"forward": lambda m, b: loss(m(b[0]), b[1])} if is_step else {"loss_fn": loss}

    found = asked(reader(form, is_coded=is_coded), repeated(), **given)

    assert bool(found.copied) == (not is_coded)


@pytest.mark.parametrize(("places", "form"), [(1, lambda s: s), (PLACES, lambda s: s.flatten(1))])
def test_where_the_places_cannot_be_told_a_copy_is_told(places, form):
    def loss(scores, ids):
        return functional.cross_entropy(scores.reshape(-1, WORDS), ids.reshape(-1))

    assert asked(reader(form, is_coded=places > 1), repeated(places), loss).copied


def test_labels_of_ctc_that_come_in_one_row_may_be_blank():
    def data():
        return torch.randn(4, 12, 8), torch.tensor([1, 0, 2, 3, 3, 1, 2, 1])

    def loss(scores, labels):
        lengths = torch.full((4,), 12), torch.full((4,), 2)
        return functional.ctc_loss(scores.log_softmax(2).transpose(0, 1), labels, *lengths)

    found = asked(lambda: nn.Linear(8, 5), data, loss)

    assert found.blanks == pytest.approx(1 / 8)
