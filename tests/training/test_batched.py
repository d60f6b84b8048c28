"""Training all seeds as one program equals training one after the other."""

import pytest
import torch
from support.training import experiment, points
from torch import nn

from pytest_initcheck import InitcheckError, run

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "fused adam": lambda p: torch.optim.Adam(p, lr=0.01, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
}


def deviations(a, b):
    """The largest difference of any value in the two records' curves and metrics."""
    assert a.curves.keys() == b.curves.keys()
    assert a.metrics.keys() == b.metrics.keys()
    curves = [abs(x - y) for n in a.curves for c, d in zip(a.curves[n], b.curves[n], strict=True)
              for x, y in zip(c, d, strict=True)]  # fmt: skip
    metrics = [
        abs(x - y) for n in a.metrics for x, y in zip(a.metrics[n], b.metrics[n], strict=True)
    ]
    return max(curves + metrics)


def both(seeds=3, **changes):
    chosen = experiment(dtype=torch.float64, **changes)
    return [run(chosen, seeds=seeds, batched=batched) for batched in (False, True)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_equal_for_every_elementwise_optimiser(name):
    plain, batched = both(optimizer=OPTIMIZERS[name], validation=points(20))
    assert deviations(plain, batched) < 1e-10


def test_models_after_are_equal_too():
    plain, batched = both()
    assert batched.meta == plain.meta
    for ours, theirs in zip(plain.after.layers, batched.after.layers, strict=True):
        assert theirs.weights["weight"].mean == pytest.approx(ours.weights["weight"].mean)
        assert theirs.gradients["weight"].std == pytest.approx(ours.gradients["weight"].std)
        assert theirs.update_ratio["weight"] == pytest.approx(ours.update_ratio["weight"])


def test_equal_for_convolutions():
    def model():
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2)
        )

    images = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = (images.mean((1, 2, 3)) > 0).long()
    plain, batched = both(model=model, data=(images, labels))
    assert deviations(plain, batched) < 1e-10


def test_equal_for_regression_in_order_with_a_loss_of_its_own():
    inputs, _ = points()
    plain, batched = both(
        model=lambda: nn.Linear(2, 2),
        data=(inputs, inputs * 2),
        loss=lambda o, t: (o - t).abs().mean(),
        shuffle=False,
        drop_last=True,
    )
    assert deviations(plain, batched) < 1e-10


def test_equal_for_tied_weights():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(2, 2)
            self.second = nn.Linear(2, 2)
            self.second.weight = self.first.weight
            self.out = nn.Linear(2, 3)

        def forward(self, x):
            return self.out(torch.tanh(self.second(torch.tanh(self.first(x)))))

    plain, batched = both(model=Tied)
    assert deviations(plain, batched) < 1e-10


def test_constant_buffers_are_stacked():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("shift", torch.randn(2))
            self.out = nn.Linear(2, 3)

        def forward(self, x):
            return self.out(x + self.shift)

    plain, batched = both(model=Shifted)
    assert deviations(plain, batched) < 1e-10


def test_one_diverging_seed_leaves_the_others_alone():
    def initialise(model):
        if torch.initial_seed() == 1:
            nn.init.constant_(model[2].weight, float("inf"))

    plain, batched = both(initialise=initialise)
    assert batched.metrics["diverged"] == plain.metrics["diverged"] == (0.0, 1.0, 0.0)
    assert batched.curves["loss"][2] == pytest.approx(plain.curves["loss"][2])


def test_equal_for_batch_statistics():
    def model():
        return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

    seen = []

    def measure(model, moment):
        seen.append(model[1].running_mean.clone())
        return {}

    plain, batched = both(model=model, validation=points(20), measure=measure)
    assert deviations(plain, batched) < 1e-10
    # Three seeds before and after, first plainly, then batched.
    torch.testing.assert_close(torch.stack(seen[9:12]), torch.stack(seen[3:6]))


def test_models_that_cannot_be_stacked_are_one_error():
    def model():
        return nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 3))

    with pytest.raises(InitcheckError, match="pass batched=False"):
        run(experiment(model=model), seeds=2, batched=True)


def test_optimisers_that_mix_values_are_one_error():
    class Normed(torch.optim.SGD):
        """Looks at whole tensors, so that a stack would mix the models."""

    for factory in (lambda p: Normed(p, lr=0.1), lambda p: torch.optim.Adafactor(p, lr=0.1)):
        with pytest.raises(InitcheckError, match=r"may mix .* pass batched=False or one of SGD"):
            run(experiment(optimizer=factory), seeds=2, batched=True)
