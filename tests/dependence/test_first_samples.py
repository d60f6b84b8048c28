"""Of a large batch a few samples are asked first, and all where these do not stand alone."""

import pytest
import torch
from torch import nn

from pytest_initcheck import diagnose


class Counted(nn.Module):
    """Notes how many samples it was given, and mixes them where it is told to."""

    def __init__(self, mixes=False):
        super().__init__()
        self.body, self.head, self.mixes = nn.Linear(6, 8), nn.Linear(8, 3), mixes
        self.seen = []

    def forward(self, x):
        COUNTS.append(len(x))
        h = torch.tanh(self.body(x)).mean(1)
        return self.head(h.softmax(0) if self.mixes else h)


COUNTS: list[int] = []


def asked(model, count=24, steps=5):
    """What was found of images, and with how many samples the model was run."""
    torch.manual_seed(0)
    COUNTS.clear()
    batch = torch.randn(count, steps, 6), torch.arange(count) % 3
    # Of more columns than three for each sample none is asked about.
    return diagnose(model, batch, steps=1).dependencies(), set(COUNTS)


def test_who_stands_alone_among_a_few_stands_alone_among_all():
    found, counts = asked(Counted())
    assert min(counts) == 4
    assert (found.samples.count, found.samples.perturbed, found.samples.moved) == (24, 1, (1,))
    assert found.read == ("inputs",)


def test_one_pass_tells_of_a_sample_and_of_all_places():
    asked(Counted())
    assert COUNTS.count(4) == 2


def test_a_leak_is_asked_about_with_all_samples():
    found, counts = asked(Counted(mixes=True))
    assert counts == {4, 24}
    assert found.samples.count == 24
    assert len(found.samples.leaked) > 4


def test_the_few_are_as_many_as_no_other_axis_counts():
    assert min(asked(Counted(), steps=4)[1]) == 5


@pytest.mark.parametrize("count", [2, 7])
def test_of_a_small_batch_all_are_asked(count):
    found, counts = asked(Counted(), count)
    assert counts == {count}
    assert found.samples.count == count


def test_a_batch_that_cannot_be_cut_is_asked_whole():
    class Fixed(Counted):
        def forward(self, x):
            return super().forward(x.view(24, -1, 6))

    found, counts = asked(Fixed())
    assert counts == {24}
    assert found.samples.moved == (11,)
