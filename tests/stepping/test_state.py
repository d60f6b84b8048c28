"""`check_step` leaves no trace: model, optimisers, scaler, streams, and what the step keeps."""

from __future__ import annotations

import random
import types
from collections import deque
from queue import SimpleQueue

import numpy as np
import pytest
import torch
from support.state import changed, fingerprint
from support.steps import Net, adam, batch, loss_of, net, plain, sgd
from torch import nn
from torch.amp import GradScaler
from torch.nn.utils import clip_grad
from torch.optim import optimizer as torch_optimizer

from pytest_initcheck import InitcheckError, check_step
from tests.stepping import test_faults, test_healthy


def state_of(value, depth=8):
    """Bits of tensors and plain values, however deep, in optimisers, scalers and containers."""
    if isinstance(value, torch.Tensor):
        plain = value.detach()
        plain = plain.to_dense() if plain.is_sparse else plain
        return id(value), plain.dtype, str(plain.tolist())
    if depth == 0 or isinstance(value, (str, int, float, bool, type(None))):
        return repr(value)
    if isinstance(value, dict):
        return {
            key if isinstance(key, (str, int)) else id(key): state_of(item, depth - 1)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple, deque)):
        return [state_of(item, depth - 1) for item in value]
    return id(value)


def optimizer_state(optimizer):
    many = optimizer.values() if isinstance(optimizer, dict) else optimizer
    every = many if isinstance(many, (list, tuple, type({}.values()))) else [many]
    return [state_of(vars(one)) for one in every]


def taps():
    """The places of torch where a watcher could be left."""
    cells = [clip_grad.clip_grad_norm_, clip_grad.clip_grad_value_]
    return [
        *(tuple(cell.cell_contents for cell in function.__closure__) for function in cells),
        *(vars(GradScaler)[name] for name in ("scale", "unscale_", "step")),
        len(torch_optimizer._global_optimizer_pre_hooks),
        len(torch_optimizer._global_optimizer_post_hooks),
    ]


EVERY = {**test_healthy.CASES, **{n: c[0] for n, c in test_faults.CASES.items()}}


@pytest.mark.parametrize("name", sorted(EVERY))
def test_all_is_put_back(name):
    given = EVERY[name]()
    torch.manual_seed(5)
    before = fingerprint(given.model, given.batch), optimizer_state(given.optimizer), taps()
    check_step(*given[:4], **given.options)
    after = fingerprint(given.model, given.batch), optimizer_state(given.optimizer), taps()
    assert changed(before[0], after[0]) == []
    assert before[1:] == after[1:]


def test_a_state_that_has_begun_is_put_back():
    """Gradients, moments and statistics from a training before."""
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), amsgrad=True)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    scaler = GradScaler("cpu")

    def step(model, optimizer, batch, scaler):
        optimizer.zero_grad(set_to_none=False)
        scaler.scale(loss_of(model, batch)).backward()
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()

    for _ in range(3):
        step(model, optimizer, batch(), scaler)
    loss_of(model, batch()).backward()
    kept = vars(scaler), vars(scheduler)
    data = batch()
    before = fingerprint(model), optimizer_state(optimizer), state_of(kept)
    assert check_step(step, model, optimizer, data, scaler=scaler).verdict == "pass"
    assert changed(before[0], fingerprint(model)) == []
    assert before[1:] == (optimizer_state(optimizer), state_of(kept))


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_all_is_put_back_where_the_step_raises(call):
    model = Net()
    optimizer, calls, data = adam(model), SimpleQueue(), batch()

    def step(model, optimizer, batch):
        calls.put(1)
        model.eval()
        plain(model, optimizer, batch)
        torch.rand(1), random.random(), np.random.rand()
        model.body.requires_grad_(False)
        model.note = "changed"
        # Three calls are the first run; a list would be put back before the second.
        if calls.qsize() == call:
            raise ValueError("no more data")
        model.body.requires_grad_(True)

    before = fingerprint(model), optimizer_state(optimizer), taps()
    with pytest.raises(InitcheckError, match="train_step raised ValueError") as error:
        check_step(step, model, optimizer, data)
    assert isinstance(error.value.__cause__, ValueError)
    assert changed(before[0], fingerprint(model)) == []
    assert before[1:] == (optimizer_state(optimizer), taps())
    assert calls.qsize() == call


def test_an_interrupt_passes_and_puts_all_back():
    model, data = net(), batch()
    optimizer = sgd(model)

    def step(model, optimizer, batch):
        plain(model, optimizer, batch)
        raise KeyboardInterrupt

    before = fingerprint(model), optimizer_state(optimizer), taps()
    with pytest.raises(KeyboardInterrupt):
        check_step(step, model, optimizer, data)
    assert changed(before[0], fingerprint(model)) == []
    assert before[1:] == (optimizer_state(optimizer), taps())


GLOBAL_COUNT, GLOBAL_LOG = 0, []


def test_what_the_step_keeps_is_put_back():
    """Closures, globals, defaults, attributes of functions and objects, arrays, generators."""
    count, empty, log, ring = 0, types.SimpleNamespace(n=0), [], deque([1, 2], maxlen=2)
    table = np.zeros(3)
    generators = torch.Generator().manual_seed(1), random.Random(1), np.random.default_rng(1)
    average = torch.optim.swa_utils.AveragedModel(net())
    shadow = {name: p.detach().clone() for name, p in net().named_parameters()}

    class Meter:
        count = 0

        def __init__(self):
            self.total, self.inner = 0.0, {"values": [1.0]}

    meter = Meter()

    def step(model, optimizer, batch, *, seen=log):
        nonlocal count
        global GLOBAL_COUNT, MADE_LATER
        count += 1
        GLOBAL_COUNT += 1
        MADE_LATER = 1
        GLOBAL_LOG.append(count)
        seen.append(count)
        empty.n += 1
        ring.append(count)
        table[0] += 1
        step.calls = count
        meter.total += 1
        Meter.count += 1
        meter.inner["values"].append(2.0)
        torch.rand(1, generator=generators[0])
        generators[1].random()
        generators[2].random()
        loss = plain(model, optimizer, batch)
        average.update_parameters(model)
        for name, parameter in model.named_parameters():
            shadow[name].lerp_(parameter.detach(), 0.5)
        return loss

    def kept():
        return (
            count, GLOBAL_COUNT, list(GLOBAL_LOG), "MADE_LATER" in globals(), list(log), empty.n,
            Meter.count, list(ring), table.tolist(), vars(step).copy(), meter.total,
            str(meter.inner), generators[0].get_state().tolist(), generators[1].getstate(),
            generators[2].bit_generator.state, state_of(shadow), str(average.state_dict()),
        )  # fmt: skip

    model = net()
    before = kept()
    report = check_step(step, model, sgd(model), batch())
    assert report.verdict == "pass", str(report)
    assert kept() == before
    step(model, sgd(model), batch())
    assert kept() != before
    globals().pop("MADE_LATER")


def test_hooks_of_the_user_run_as_before():
    # A list would be put back.
    model, order = net(), SimpleQueue()
    weight = model[0].weight
    weight.register_hook(lambda gradient: order.put("tensor"))
    weight.register_post_accumulate_grad_hook(lambda _: order.put("added"))
    model.register_forward_pre_hook(lambda *_: order.put("module"))
    optimizer = sgd(model)
    optimizer.register_step_pre_hook(lambda *_: order.put("before"))
    optimizer.register_step_post_hook(lambda *_: order.put("after"))
    check_step(plain, model, optimizer, batch())
    one = ["module", "tensor", "added", "before", "after"]
    assert [order.get() for _ in range(order.qsize())] == one * 5
    plain(model, optimizer, batch())
    assert [order.get() for _ in range(order.qsize())] == one


def test_the_batch_is_fresh_in_every_call():
    x, y = batch()
    before, seen = x.clone(), SimpleQueue()

    def step(model, optimizer, batch):
        seen.put(float(batch[0].sum()))
        loss = plain(model, optimizer, batch)
        batch[0].mul_(2)
        return loss

    model = net()
    check_step(step, model, sgd(model), (x, y))
    assert torch.equal(x, before)
    assert [seen.get() for _ in range(seen.qsize())] == [float(before.sum())] * 5

    class Batch:
        def __init__(self):
            self.x, self.y = x, y

    def inside(model, optimizer, batch):
        loss = plain(model, optimizer, (batch.x, batch.y))
        batch.x.mul_(2)
        batch.x = batch.x + 1
        return loss

    given = Batch()
    check_step(inside, model, sgd(model), given)
    assert given.x is x
    assert torch.equal(x, before)


def test_two_checks_give_the_same():
    model = Net()
    optimizer = adam(model)
    torch.manual_seed(7)
    reports = [check_step(plain, model, optimizer, batch()) for _ in range(2)]
    assert reports[0] == reports[1]
    assert reports[0].run_record() == reports[1].run_record()


def test_it_works_without_gradients_around_it():
    model = nn.Linear(6, 3)
    with torch.no_grad():
        assert check_step(plain, model, sgd(model), batch()).verdict == "pass"
        assert not torch.is_grad_enabled()
