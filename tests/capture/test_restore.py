"""A diagnosis leaves everything as it was, bit for bit, also when the user's code raises."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from support.state import Everything
from torch import nn
from torch.nn import functional
from torch.nn.modules import module as torch_module

from pytest_initcheck import diagnose
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.serialization import encode


def build():
    torch.manual_seed(0)
    model = Everything()
    model.head.bias.grad = torch.ones(3)
    model.register_forward_hook(lambda *_: None)
    model.head.weight.register_hook(lambda gradient: gradient)
    x = torch.randn(8, 8)
    return model, (x, torch.randint(0, 3, (8,)))


GLOBAL_HOOKS = [
    name for name in vars(torch_module) if name.startswith("_global_") and "hooks" in name
]


def hooks(model):
    """How many hooks there are on modules, tensors and globally."""
    names = [name for name in vars(model) if name.endswith("_hooks")]
    own = {(path, n): len(getattr(m, n)) for path, m in model.named_modules() for n in names}
    tensors = {
        name: (len(p._backward_hooks or ()), len(p._post_accumulate_grad_hooks or ()))
        for name, p in model.named_parameters()
    }
    return own, tensors, {n: len(getattr(torch_module, n)) for n in GLOBAL_HOOKS}


def picture(model, batch):
    """All that must not change, copied where it could be changed in place."""
    tensors = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers())
    return {
        "values": {n: t.detach().clone().numpy().tobytes() for n, t in tensors.items()},
        "storage": {n: (id(t), t.data_ptr(), t.stride()) for n, t in tensors.items()},
        "versionless": {n: (t.requires_grad, t.dtype, t.device) for n, t in tensors.items()},
        "gradients": {n: id(t.grad) for n, t in tensors.items()},
        "gradient values": {
            n: t.grad.clone().numpy().tobytes() for n, t in tensors.items() if t.grad is not None
        },
        "modes": {n: m.training for n, m in model.named_modules()},
        "hooks": hooks(model),
        "attributes": {n: sorted(vars(m)) for n, m in model.named_modules()},
        "plain": (
            model.calls, list(model.history), list(model.recent), copy.deepcopy(model.state),
            model.cache, model.plain.tolist(), id(model.plain), id(model.history),
        ),
        "generators": (
            model.generator.get_state().numpy().tobytes(), model.python.getstate(),
            str(model.numpy.bit_generator.state),
        ),
        "streams": (
            torch.get_rng_state().numpy().tobytes(), random.getstate(), str(np.random.get_state()),
        ),
        "batch": [(id(t), t.data_ptr(), t.numpy().tobytes(), t.requires_grad) for t in batch],
        "global": (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads(),
                   torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled),
    }  # fmt: skip


@pytest.fixture
def unchanged():
    """A model and a batch that must look the same after the test as before it."""
    model, batch = build()
    before = picture(model, batch)
    yield model, batch
    after = picture(model, batch)
    assert {key: before[key] == after[key] for key in before} == dict.fromkeys(before, True)


def test_a_diagnosis_changes_nothing(unchanged):
    model, batch = unchanged
    assert diagnose(model, batch).losses[0] != 0


def test_an_optimiser_with_state_and_weight_decay_changes_nothing(unchanged):
    model, batch = unchanged
    diagnose(model, batch, optimizer=lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.5))


def test_a_loss_module_with_parameters_and_buffers_is_put_back(unchanged):
    class Centres(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, output, targets):
            self.count += 1
            return functional.cross_entropy(output * self.weight, targets)

    model, batch = unchanged
    loss = Centres()
    diagnose(model, batch, loss_fn=loss)
    assert (float(loss.count), loss.weight.grad) == (0.0, None)


class Fault(Exception):
    """What the user's code raises."""


class Failing:
    """Calls ``function`` and raises at the call of that number, and at every one after it."""

    def __init__(self, function, at, error):
        self.function, self.at, self.error, self.calls = function, at, error, 0

    def __call__(self, *args):
        self.calls += 1
        value = self.function(*args)
        if self.calls >= self.at:
            raise self.error("stop")
        return value


def adam(parameters, step=None):
    return torch.optim.Adam(parameters, 0.1)


@pytest.mark.parametrize("error", [Fault, KeyboardInterrupt, SystemExit, RecursionError])
@pytest.mark.parametrize("at", [1, 5])
def test_a_loss_that_raises_changes_nothing(unchanged, at, error):
    model, batch = unchanged
    is_wrapped = issubclass(error, Exception)
    with pytest.raises(InitcheckError if is_wrapped else error, match="stop"):
        diagnose(model, batch, loss_fn=Failing(functional.cross_entropy, at, error))


@pytest.mark.parametrize("error", [Fault, KeyboardInterrupt])
@pytest.mark.parametrize("at", [1, 4])
def test_a_forward_that_raises_changes_nothing(unchanged, at, error):
    model, batch = unchanged
    failing = Failing(lambda m, b: functional.cross_entropy(m(b[0]), b[1]), at, error)
    with pytest.raises((InitcheckError, KeyboardInterrupt), match="stop"):
        diagnose(model, batch, forward=failing)


@pytest.mark.parametrize("error", [Fault, KeyboardInterrupt])
def test_a_layer_that_raises_deep_inside_changes_nothing(unchanged, error):
    model, batch = unchanged
    failing = Failing(lambda *_: None, 2, error)
    handle = model.head.register_forward_hook(failing)
    try:
        with pytest.raises((InitcheckError, KeyboardInterrupt), match="stop"):
            diagnose(model, batch)
    finally:
        handle.remove()


@pytest.mark.parametrize("error", [Fault, KeyboardInterrupt])
@pytest.mark.parametrize("at", [1, 2])
def test_an_optimiser_that_raises_changes_nothing(unchanged, at, error):
    model, batch = unchanged

    class Broken(torch.optim.SGD):
        steps = 0

        def step(self, closure=None):
            super().step()
            Broken.steps += 1
            if Broken.steps == at:
                raise error("stop")

    with pytest.raises((InitcheckError, KeyboardInterrupt), match="stop"):
        diagnose(model, batch, optimizer=lambda p: Broken(p, 0.1))


def test_an_optimiser_factory_that_raises_changes_nothing(unchanged):
    model, batch = unchanged

    def broken(parameters):
        raise Fault("stop")

    with pytest.raises(InitcheckError, match="stop"):
        diagnose(model, batch, optimizer=broken)


def test_a_backward_pass_that_raises_changes_nothing(unchanged):
    model, batch = unchanged

    class Odd(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise Fault("stop")

    def loss(output, targets):
        return functional.cross_entropy(Odd.apply(output), targets)

    with pytest.raises(InitcheckError, match="stop"):
        diagnose(model, batch, loss_fn=loss)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_surrounding_mode_without_gradients_is_no_hindrance(mode):
    model, batch = build()
    before = picture(model, batch)
    with mode():
        found = diagnose(model, batch)
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
        assert not torch.is_grad_enabled()
    assert found.losses == diagnose(model, batch).losses
    assert picture(model, batch) == before


def test_two_diagnoses_in_a_row_say_the_same():
    model, batch = build()
    first, second = diagnose(model, batch), diagnose(model, batch)
    assert encode(first.run_record()) == encode(second.run_record())
    assert first.findings == second.findings


def test_the_same_seed_gives_the_same_record():
    records = []
    for _ in range(2):
        model, batch = build()
        random.seed(5)
        np.random.seed(5)
        records.append(encode(diagnose(model, batch).run_record()))
    assert records[0] == records[1]


def test_training_goes_on_as_if_nothing_had_been():
    losses = []
    for is_diagnosed in (False, True):
        model, (x, y) = build()
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for step in range(4):
            if is_diagnosed and step == 2:
                diagnose(model, (x, y))
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x.clone()), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[:4] == losses[4:]


def test_weights_that_share_a_storage_keep_sharing_it():
    torch.manual_seed(0)
    flat = torch.randn(6 * 4 + 4 * 3)
    model = nn.Sequential(nn.Linear(6, 4, bias=False), nn.ReLU(), nn.Linear(4, 3, bias=False))
    model[0].weight.data = flat[:24].view(4, 6)
    model[2].weight.data = flat[24:].view(3, 4)
    diagnose(model, (torch.randn(8, 6), torch.randint(0, 3, (8,))))
    flat.fill_(2.0)
    assert float(model[0].weight.detach().mean()) == float(model[2].weight.detach().mean()) == 2.0


def test_a_batch_that_requires_grad_stays_a_leaf_without_gradient():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    x = torch.randn(8, 6, requires_grad=True)
    diagnose(model, (x, torch.randint(0, 3, (8,))))
    assert x.grad is None
    assert x.is_leaf


def test_a_lazy_model_draws_what_it_would_have_drawn():
    x, y = torch.ones(8, 6), torch.zeros(8, dtype=torch.long)
    weights = []
    for is_diagnosed in (False, True):
        model = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(3))
        torch.manual_seed(9)
        if is_diagnosed:
            diagnose(model, (x, y))
        model(x)
        weights.append(model[0].weight.detach())
    assert torch.equal(*weights)


def test_memory_of_the_output_is_freed():
    import gc
    import weakref

    torch.manual_seed(0)
    seen = []

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(6, 3)

        def forward(self, x):
            out = self.body(x)
            seen.append(weakref.ref(out))
            return out

    found = diagnose(Watched(), (torch.randn(8, 6), torch.randint(0, 3, (8,))))
    gc.collect()
    assert found.verdict == "pass"
    assert [ref() for ref in seen] == [None] * len(seen)


def test_what_is_written_past_a_tensor_within_a_save_is_what_an_inner_save_puts_back():
    layer = nn.Linear(3, 2)
    before = layer.weight.detach().clone()
    with preserved(layer):
        layer.weight.data.fill_(2.0)
        with preserved(layer):
            layer.weight.data.fill_(3.0)
        assert layer.weight.detach().eq(2.0).all()
    assert layer.weight.detach().equal(before)
