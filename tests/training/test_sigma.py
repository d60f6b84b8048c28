"""Drawing weights from N(0, sigma^2), and sweeps over sigma and optimisers."""

import pytest
import torch
from support.training import experiment, points, small
from torch import nn
from torch.nn.utils import parametrizations

from pytest_initcheck import InitcheckError, run, sweep
from pytest_initcheck.training import draw_normal


def drawn(model, **options):
    """Names of the parameters that `draw_normal` changes."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    draw_normal(model, 0.5, **options)
    return {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}


class Mixed(nn.Module):
    """Layers of several kinds; the head is registered first and runs last."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 3)
        self.conv = nn.Conv1d(1, 4, 1, bias=False)
        self.norm = nn.BatchNorm1d(4)
        self.cell = nn.LSTM(8, 8)
        self.table = nn.Embedding(5, 8)

    def forward(self, x):
        return self.head(self.norm(self.conv(x[:, None])).flatten(1))


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("all", {"head.weight", "head.bias", "conv.weight"}),
        ("first", {"head.weight", "head.bias"}),
        ("conv", {"conv.weight"}),
        (["table", "conv"], {"table.weight", "conv.weight"}),
        (["cell"], {f"cell.{w}_{g}_l0" for w in ("weight", "bias") for g in ("ih", "hh")}),
    ],
)
def test_layers_that_are_drawn(layers, expected):
    assert drawn(Mixed(), layers=layers) == expected


def test_first_to_run_where_an_example_is_given():
    model = Mixed().train()
    assert drawn(model, layers="first", example=torch.randn(3, 2)) == {"conv.weight"}
    assert model.training
    assert model.norm.num_batches_tracked == 0


@pytest.mark.parametrize("sigma", [0.01, 1.0, 20.0])
def test_spread_of_weights_and_biases(sigma):
    model = draw_normal(nn.Linear(300, 300), sigma, generator=torch.Generator().manual_seed(0))
    # The standard deviation of n values is itself off by 1 / sqrt(2 n): four of those.
    for values in (model.weight, model.bias):
        assert values.std().item() == pytest.approx(sigma, rel=4 / (2 * values.numel()) ** 0.5)
        assert abs(values.mean().item()) < 4 * sigma / values.numel() ** 0.5


def test_sigma_zero_is_zero():
    assert not draw_normal(small(), 0.0)[0].weight.any()


def test_generator_decides_and_the_global_one_stays():
    state = torch.get_rng_state()
    a, b = (draw_normal(small(), 1, generator=torch.Generator().manual_seed(3)) for _ in "ab")
    del state
    before = torch.get_rng_state()
    draw_normal(a, 1, generator=torch.Generator().manual_seed(3))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(a[0].weight, b[0].weight)


def test_dtype_and_gradients_are_kept():
    model = small().to(torch.bfloat16)
    draw_normal(model, 1.0)
    assert model[0].weight.dtype == torch.bfloat16
    assert model[0].weight.requires_grad
    assert model[0].weight.is_leaf


def test_parametrised_weights_are_set_through_their_parametrisation():
    model = parametrizations.weight_norm(nn.Linear(50, 40))
    draw_normal(model, 0.5)
    assert model.weight.std().item() == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (small(), {"sigma": -1}, "sigma: pass a standard deviation"),
        (small(), {"sigma": float("nan")}, "sigma: pass a standard deviation"),
        (small(), {"sigma": "wide"}, "sigma: pass a standard deviation"),
        (small(), {"sigma": True}, "sigma: pass a standard deviation"),
        (small(), {"layers": "second"}, r"\['second'\] is no layer; .*\['0', '1', '2'\]"),
        (small(), {"layers": []}, "is no layer"),
        (small(), {"layers": ["1"]}, "'1' has no weight or bias"),
        (nn.LSTM(2, 3), {}, "no linear or convolutional layer for 'all'"),
        (nn.LazyLinear(3), {}, "is lazy"),
        (
            parametrizations.orthogonal(nn.Linear(4, 2)),
            {},
            "parametrised weight of '' cannot be set",
        ),
    ],
)
def test_what_cannot_be_drawn(model, options, message):
    with pytest.raises(InitcheckError, match=message):
        draw_normal(model, **{"sigma": 1.0, **options})


# ----------------------------------------------------------------------------------------------
# Sweeps

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
}


def test_cells_are_named_by_sigma_and_optimiser():
    assert list(sweep(experiment(), sigmas=[1, 0.1], seeds=2)) == ["sigma=1", "sigma=0.1"]
    assert list(sweep(experiment(), optimizers=OPTIMIZERS, seeds=2)) == ["sgd", "adam"]
    both = sweep(experiment(), sigmas=[1, 0.1], optimizers=OPTIMIZERS, seeds=2)
    assert set(both) == {f"sigma={s}, {o}" for s in ("1", "0.1") for o in OPTIMIZERS}


def test_cell_is_the_run_with_that_sigma():
    def initialise(model):
        draw_normal(model, 0.3, layers="first")

    cells = sweep(experiment(), sigmas=[0.3, 2.0], seeds=2)
    alone = run(experiment(initialise=initialise), seeds=2)
    assert cells["sigma=0.3"].curves == alone.curves
    assert cells["sigma=0.3"].before == alone.before
    assert cells["sigma=0.3"].meta["sigma"] == "0.3"


def test_sigma_is_that_of_the_first_layer_at_the_start():
    cells = sweep(experiment(model=wide), sigmas=[0.1, 3.0], seeds=2)
    for sigma in (0.1, 3.0):
        before = cells[f"sigma={sigma:g}"].before
        assert before.layer("0").weights["weight"].std == pytest.approx(sigma, rel=0.2)
        assert before.layer("2").weights["weight"].std < 0.1


def wide():
    return nn.Sequential(nn.Linear(2, 200), nn.Tanh(), nn.Linear(200, 3))


def test_all_layers_or_named_ones():
    for layers in ("all", ["2"]):
        cells = sweep(experiment(model=wide), sigmas=[3.0], seeds=1, layers=layers)
        assert cells["sigma=3"].before.layer("2").weights["weight"].std > 2


def test_own_initialisation_comes_first():
    def initialise(model):
        nn.init.zeros_(model[2].weight)

    cells = sweep(experiment(initialise=initialise), sigmas=[3.0], seeds=1)
    assert cells["sigma=3"].before.layer("2").weights["weight"].zero_share == 1
    assert cells["sigma=3"].before.layer("0").weights["weight"].zero_share == 0


def test_first_layer_is_the_first_to_run():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(8, 3), nn.Linear(2, 8)

        def forward(self, x):
            return self.last(torch.tanh(self.first(x)))

    before = sweep(experiment(model=Backwards), sigmas=[0.0], seeds=1)["sigma=0"].before
    assert before.layer("first").weights["weight"].zero_share == 1
    assert before.layer("last").weights["weight"].zero_share == 0


def zero(model):
    nn.init.zeros_(model[2].weight)


def test_starts_are_cells_too():
    cells = sweep(experiment(), starts={"zero": zero, "default": lambda m: None}, seeds=2)
    assert list(cells) == ["zero", "default"]
    assert cells["zero"].curves == run(experiment(initialise=zero), seeds=2).curves
    assert cells["default"].curves == run(experiment(), seeds=2).curves


def test_start_comes_before_sigma():
    cells = sweep(experiment(), sigmas=[0.5], starts={"zero": zero}, seeds=1, layers="all")
    assert cells["zero, sigma=0.5"].before.layer("2").weights["weight"].zero_share == 0


def test_batched_sweep_equals_the_plain_one():
    chosen = experiment(dtype=torch.float64, validation=points(20))
    plain, batched = (
        sweep(chosen, sigmas=[0.1, 3.0], optimizers=OPTIMIZERS, seeds=2, batched=b)
        for b in (False, True)
    )
    assert plain.keys() == batched.keys()
    for name, record in plain.items():
        for metric, curves in record.curves.items():
            for ours, theirs in zip(curves, batched[name].curves[metric], strict=True):
                assert theirs == pytest.approx(ours, abs=1e-10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "pass sigmas, optimizers, starts"),
        ({"sigmas": []}, "sigmas: pass at least one"),
        ({"sigmas": [1, 1.0]}, "each once"),
        ({"sigmas": 0.1}, "sigmas: pass several"),
        ({"sigmas": [0.1, -1]}, "sigma: pass a standard deviation"),
        ({"sigmas": ["a"]}, "sigma: pass a standard deviation"),
        ({"optimizers": {}}, "optimizers: pass names and functions"),
        ({"optimizers": [torch.optim.SGD]}, "optimizers: pass names and functions"),
        ({"optimizers": {"a": 3}}, "optimizers: 'a' is 3; pass a function"),
        ({"starts": {}}, "starts: pass names and functions"),
        ({"starts": {"a": 3}}, "starts: 'a' is 3; pass a function"),
        ({"sigmas": [1], "layers": "nothing"}, "is no layer"),
        ({"sigmas": [1], "seeds": 0}, "seeds: pass at least one"),
    ],
)
def test_bad_sweeps(options, message):
    with pytest.raises(InitcheckError, match=message):
        sweep(experiment(), **options)
