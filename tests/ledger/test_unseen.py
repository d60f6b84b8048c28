"""What is written past torch is seen in the values, and is never called "never written"."""

from __future__ import annotations

import ctypes
import threading

import numpy as np
import pytest
import torch
from torch import nn

from pytest_initcheck import assert_same_start, construction, diagnose
from pytest_initcheck.ledger.unseen import mark, put_back

SMALL, LARGE = (32, 16), (300, 500)


def by_numpy(tensor):
    tensor.numpy()[:] = np.random.default_rng(0).normal(size=tuple(tensor.shape))


def zeros_by_numpy(tensor):
    tensor.numpy()[...] = 0


def by_c(tensor):
    ctypes.memset(tensor.data_ptr(), 0, tensor.nbytes)


def by_dlpack(tensor):
    by_c(torch.from_dlpack(tensor.numpy()))


def by_another_thread(tensor):
    thread = threading.Thread(target=nn.init.zeros_, args=(tensor,))
    thread.start()
    thread.join()


def empty(shape=SMALL, dtype=torch.float32, write=lambda tensor: None):
    """A model of one parameter whose memory such a function is handed."""
    model = nn.Module()
    weight = torch.empty(shape, dtype=dtype)
    model.weight = nn.Parameter(weight, requires_grad=dtype.is_floating_point)
    write(model.weight.detach())
    return model


@pytest.mark.parametrize("shape", [(), (3,), SMALL, LARGE])
@pytest.mark.parametrize(
    "write", [zeros_by_numpy, by_c, by_dlpack, by_another_thread], ids=lambda w: w.__name__
)
def test_it_is_a_write_of_its_own(write, shape):
    weight = construction(lambda: empty(shape, write=write)).of("weight")

    assert str(weight) == "set by something outside of torch"
    assert (weight.unwritten, weight.is_unseen, weight.is_drawn) == (0, True, False)


@pytest.mark.parametrize("shape", [SMALL, LARGE])
@pytest.mark.parametrize(
    "dtype",
    [
        torch.float16,
        torch.float64,
        torch.bool,
        torch.uint8,
        torch.int16,
        torch.int64,
        torch.cdouble,
    ],
)
def test_of_any_dtype(dtype, shape):
    written = construction(lambda: empty(shape, dtype, by_c))
    left = construction(lambda: empty(shape, dtype))

    assert "IC111" not in {finding.id for finding in written.findings}
    assert "IC111" in {finding.id for finding in left.findings}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.complex128])
@pytest.mark.parametrize("shape", [SMALL, LARGE])
def test_memory_that_nothing_wrote_to_holds_what_it_held(shape, dtype):
    lay = torch.full(shape, 7.0, dtype=dtype)
    storage = lay.untyped_storage()
    saved = mark(lay, storage)
    assert not bool((lay == 7).all())
    written = torch.zeros(lay.numel(), dtype=torch.bool)
    lay[0] = 0
    written[: shape[1]] = True

    put_back(storage, saved, written)
    assert bool((lay[0] == 0).all())
    assert bool((lay[1:] == 7).all())


@pytest.mark.parametrize("shape", [SMALL, LARGE])
def test_no_mark_stays_where_no_parameter_is(shape):
    kept = []

    def factory(*, fails):
        kept.append(torch.empty(shape))
        if fails:
            raise ZeroDivisionError
        return nn.Linear(2, 2)

    construction(lambda: factory(fails=False))
    with pytest.raises(ZeroDivisionError):
        construction(lambda: factory(fails=True))
    marked = [bool((left.view(torch.uint8).flatten()[:8] == 0x0B).all()) for left in kept]
    assert marked == [False, False]


def test_numbers_that_are_the_mark_by_accident_stay():
    def write(tensor):
        tensor.numpy()[:] = np.arange(64)

    made = construction(lambda: empty((64,), torch.uint8, write))
    assert made.model.weight.tolist() == list(range(64))


def test_what_is_asked_for_late_is_what_was_built():
    def factory():
        return nn.Linear(32, 16)

    torch.manual_seed(0)
    early = construction(factory)
    drawn = early.of("weight").draw
    torch.manual_seed(0)
    late = construction(factory)
    nn.init.zeros_(late.model.weight)
    assert late.of("weight").draw == drawn
    assert late.findings == early.findings


@pytest.mark.parametrize("count", [256, 40_000])
def test_short_numbers_that_are_the_mark_by_accident(count):
    def write(tensor):
        tensor.numpy()[:] = np.arange(count)

    made = construction(lambda: empty((count,), torch.int16, write))
    assert made.of("weight").unwritten == 0


@pytest.mark.parametrize("shape", [SMALL, LARGE])
def test_what_it_left_out_is_never_written(shape):
    def half(tensor):
        tensor.numpy()[: len(tensor) // 2] = 0

    def rest(tensor):
        half(tensor)
        nn.init.normal_(tensor[len(tensor) // 2 :])

    left, whole = (construction(lambda w=w: empty(shape, write=w)) for w in (half, rest))
    assert left.of("weight").unwritten == pytest.approx(0.5, abs=0.05)
    assert "IC111" in {finding.id for finding in left.findings}
    assert whole.of("weight").unwritten == 0
    assert [write.is_unseen for write in whole.of("weight").writes] == [False, True]


def test_it_takes_the_place_of_the_default_draw():
    def factory():
        layer = nn.Linear(16, 16)
        by_numpy(layer.weight.detach())
        layer.bias.detach().numpy()[:] = layer.bias.detach().numpy().copy()
        return layer

    frame = construction(factory).to_frame().set_index("name")
    assert list(frame.loc["weight", "status"]) == ["overwritten", "in effect"]
    assert frame.loc["weight", "call"].iloc[-1] == "something outside of torch"
    # What is as it was is nobody's write.
    assert frame.loc["bias", "call"].startswith("uniform_")


def test_the_values_are_judged_where_nothing_else_is_known():
    def factory(least):
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        by_numpy(model[0].weight.detach())
        model[0].weight.detach().numpy()[:, 0] *= least
        return model

    torch.manual_seed(0)
    batch = torch.randn(16, 8), torch.arange(16) % 2
    found = [diagnose(lambda s=s: factory(s), batch).findings for s in (1.0, 1e-40)]
    assert [bool({"IC104"} & {finding.id for finding in one}) for one in found] == [False, True]


def test_what_is_computed_of_garbage_is_garbage_until_something_writes():
    def halved(tensor):
        tensor.mul_(0.5)

    def then_written(tensor):
        tensor.mul_(0.5)
        by_numpy(tensor)

    def copied(tensor):
        tensor.copy_(torch.empty_like(tensor, dtype=torch.float64))

    unwritten = [
        construction(lambda w=w: empty(write=w)).of("weight").unwritten
        for w in (halved, then_written, copied)
    ]
    assert unwritten == [1, 0, 1]


@pytest.mark.parametrize("factory", [lambda: nn.Linear(16, 16), lambda: nn.LSTM(4, 4)])
def test_memory_that_processes_share_lost_no_draw(factory):
    made = construction(lambda: factory().share_memory())
    assert made.findings == ()
    assert all(not built.is_unseen for built in made.facts.tensors)


def test_a_draw_into_a_copy_is_still_lost():
    def factory():
        layer = nn.Linear(16, 16)
        layer.weight.detach().clone().copy_(torch.randn(16, 16))
        return layer

    assert [finding.id for finding in construction(factory).findings] == ["IC112"]


@pytest.mark.parametrize("is_training", [True, False])
def test_running_statistics_are_written_by_their_normalisation(is_training):
    def factory():
        model = nn.BatchNorm1d(8).train(is_training)
        model(torch.randn(16, 8))
        return model

    calls = [write.call for write in construction(factory).of("running_mean").writes]
    assert calls[-1] == ("batch_norm" if is_training else "zero_")


def test_memory_that_grew_holds_nothing_there():
    def factory():
        model = nn.Module()
        model.weight = nn.Parameter(torch.zeros(4).resize_(16))
        return model

    assert construction(factory).of("weight").unwritten == pytest.approx(12 / 16)


class FromAZeroRow(nn.Module):
    """Its bias is a row that was set after the draw, handed on as it is, copied, or computed."""

    def __init__(self, hand_on):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16, 16))
        with torch.no_grad():
            self.weight[0] = torch.arange(16.0)
        self.bias = nn.Parameter(hand_on(self.weight.detach()))


@pytest.mark.parametrize(
    "hand_on",
    [
        lambda w: w[0].clone(),
        lambda w: torch.empty(16).copy_(w[0]),
        lambda w: w[0] * 2,
    ],
)
def test_what_is_copied_from_a_part_that_was_set_is_no_draw(hand_on):
    assert not construction(lambda: FromAZeroRow(hand_on)).of("bias").is_drawn
    assert construction(lambda: FromAZeroRow(lambda w: w[:2].clone())).of("bias").is_drawn
    assert_same_start(lambda: FromAZeroRow(hand_on), "twice")
