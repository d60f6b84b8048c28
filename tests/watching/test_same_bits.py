"""A training that is watched comes out as one that is not, bit for bit."""

from __future__ import annotations

import contextlib
import copy
import functools

import pytest
import torch
from support import state, trainings
from torch import nn

from pytest_initcheck import watch

SGD = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)
ADAM = functools.partial(torch.optim.AdamW, lr=0.01)
LBFGS = functools.partial(torch.optim.LBFGS, lr=0.1, max_iter=4)
FLAT = (6,)
CASES = {
    "mlp": (trainings.mlp, FLAT, trainings.plain, SGD),
    "batch norm": (trainings.Residual, (1, 6, 6), trainings.plain, SGD),
    "attention with dropout": (trainings.Attention, (5, 8), trainings.plain, ADAM),
    "lstm": (trainings.Recurrent, (5, 4), trainings.plain, ADAM),
    "bfloat16": (trainings.Residual, (1, 6, 6), trainings.autocast, SGD),
    "bfloat16 attention": (trainings.Attention, (5, 8), trainings.autocast, ADAM),
    "scaler": (trainings.mlp, FLAT, trainings.scaled, SGD),
    "accumulation": (trainings.mlp, FLAT, trainings.accumulating, ADAM),
    "evaluation": (trainings.Residual, (1, 6, 6), trainings.evaluating, SGD),
    "two passes": (trainings.Attention, (5, 8), trainings.twice, SGD),
    "closure": (trainings.mlp, FLAT, trainings.with_closure, LBFGS),
    "penalty": (trainings.mlp, FLAT, trainings.penalised, SGD),
    "checkpoint": (
        functools.partial(trainings.Checkpointed, is_reentrant=False),
        FLAT,
        trainings.plain,
        SGD,
    ),
    "reentrant checkpoint": (
        functools.partial(trainings.Checkpointed, is_reentrant=True),
        FLAT,
        trainings.plain,
        SGD,
    ),
}


def everything(model, optimizer):
    """Weights, buffers, gradients, the optimiser's state and the random stream."""
    gradients = [p.grad for p in model.parameters()]
    return copy.deepcopy((model.state_dict(), gradients, optimizer.state_dict())), torch.rand(1)


@pytest.mark.parametrize("case", CASES)
def test_weights_gradients_states_and_streams(case):
    make, shape, train, optimizer_of = CASES[case]
    ends = []
    for every in (0, 1, 3):
        torch.manual_seed(0)
        model = make()
        optimizer = optimizer_of(model.parameters())
        data = trainings.batches(shape, 8)
        if every:
            with watch(model, optimizer, every) as watched:
                train(model, optimizer, data)
            assert watched.looks >= 2
            assert max(r for one in watched.after.layers for r in one.update_ratio.values()) > 0
        else:
            train(model, optimizer, data)
        ends.append(everything(model, optimizer))
    for end in ends[1:]:
        torch.testing.assert_close(end, ends[0], rtol=0, atol=0)


@pytest.mark.parametrize("way", ["whole", "part", "in place", "inside"])
def test_compiled_models_keep_their_code(way):
    ends = []
    for is_watched in (False, True):
        torch.compiler.reset()
        torch.manual_seed(0)
        model = trainings.mlp()
        called = model
        if way == "part":
            model[0] = torch.compile(model[0], backend="aot_eager")
        elif way == "in place":
            model.compile(backend="aot_eager")
        else:
            called = torch.compile(model, backend="aot_eager")
        optimizer = SGD(model.parameters())
        data = trainings.batches(FLAT, 4)
        if is_watched:
            with watch(model if way == "inside" else called, optimizer, every=1) as watched:
                trainings.plain(called, optimizer, data)
            assert watched.looks == 4
            assert watched.after.layer("2").weights["weight"].n == 128
            assert watched.losses[0] > 0
            assert "the model's forward" in watched.record.not_observed[0]
        else:
            trainings.plain(called, optimizer, data)
        ends.append(everything(model, optimizer))
    torch.testing.assert_close(ends[1], ends[0], rtol=0, atol=0)


def test_compiled_code_is_not_made_anew_for_a_look():
    torch.compiler.reset()
    torch.manual_seed(0)
    model, made = trainings.mlp(), []

    def backend(graph, _):
        made.append(graph)
        return graph.forward

    called = torch.compile(model, backend=backend)
    optimizer = SGD(model.parameters())
    with watch(model, optimizer, every=2) as watched:
        trainings.plain(called, optimizer, trainings.batches(FLAT, 8))
    assert watched.looks == 4
    assert len(made) == 1


@pytest.mark.parametrize("fails_in", ["forward", "loop"])
def test_nothing_is_left_behind(fails_in):
    torch.manual_seed(0)
    model = trainings.mlp()
    optimizer = SGD(model.parameters())
    before, backward = state.fingerprint(model), torch.autograd.backward
    hooks = len(optimizer._optimizer_step_pre_hooks), len(optimizer._optimizer_step_post_hooks)
    optimizer.zero_grad()
    shape = (5,) if fails_in == "forward" else FLAT
    with contextlib.suppress(RuntimeError, KeyError), watch(model, optimizer, 2) as watched:
        model(torch.ones(4, *shape))
        raise KeyError
    assert state.changed(before, state.fingerprint(model)) == []
    assert torch.autograd.backward is backward
    after = len(optimizer._optimizer_step_pre_hooks), len(optimizer._optimizer_step_post_hooks)
    assert after == hooks
    assert watched.looks == 0
    with watch(model, optimizer):
        assert torch.autograd.backward is not backward
    assert torch.autograd.backward is backward


def test_what_others_put_in_place_of_backward_stays(monkeypatch):
    torch.manual_seed(0)
    model = trainings.mlp()
    optimizer, calls = SGD(model.parameters()), []
    own = torch.autograd.backward
    monkeypatch.setattr(torch.autograd, "backward", own)
    with watch(model, optimizer) as watched:
        heard = torch.autograd.backward

        def counting(*args, **kwargs):
            calls.append(args)
            return heard(*args, **kwargs)

        torch.autograd.backward = counting
        trainings.plain(model, optimizer, trainings.batches(FLAT, 2))
    assert torch.autograd.backward is counting
    assert (len(calls), watched.looks) == (2, 1)
    assert watched.losses[0] > 0


def test_a_pass_that_raised_is_looked_at_again():
    torch.manual_seed(0)
    model = trainings.mlp()
    optimizer = SGD(model.parameters())
    with watch(model, optimizer, every=1) as watched:
        with pytest.raises(RuntimeError):
            model(torch.ones(4, 5))
        trainings.plain(model, optimizer, trainings.batches(FLAT, 2))
    assert [r.layer("2").units.count for r in watched.records] == [8, 8]


def test_a_scripted_part_is_followed():
    torch.manual_seed(0)
    model = nn.Sequential(
        torch.jit.script(nn.Sequential(nn.Linear(6, 8), nn.ReLU())), nn.Linear(8, 3)
    )
    optimizer = SGD(model.parameters())
    with watch(model, optimizer, every=1) as watched:
        trainings.plain(model, optimizer, trainings.batches(FLAT, 2))
    assert watched.after.layer("0.0").units.count == 8
