"""What `scaling` returns, in which forms it takes things, and that it leaves nothing behind."""

import math

import pytest
import torch
from sizes.models import CLASSES, INPUTS, adam, batch, mlp, mup_adam
from torch import nn
from torch.nn import functional

from pytest_initcheck import InitcheckError, Scaling, scaling
from pytest_initcheck.sizes.exponent import exponent_of

WIDTHS = (8, 16, 32)


@pytest.fixture(scope="module")
def found():
    return scaling(mlp, WIDTHS, batch(), optimizer=adam, steps=2, seeds=2)


def test_every_layer_has_every_quantity_at_every_step(found):
    assert isinstance(found, Scaling)
    assert found.layers == ("0", "2", "4", "6")
    steps = {
        q: found.steps_of("2", q) for q in ("gain", "activation", "change", "gradient", "update")
    }
    assert steps == {
        "gain": [0],
        "activation": [0, 1, 2],
        "change": [1, 2],
        "gradient": [0, 1],
        "update": [1, 2],
    }
    assert found.steps_of("(input)", "gradient") == [0, 1]
    samples = found.samples("2", "activation", 0)
    assert (len(samples), len(samples[0])) == (3, 2)
    assert samples[0][0] != samples[0][1]


def test_values_are_those_of_the_model(found):
    torch.manual_seed(1)
    model = mlp(8)
    x, y = batch()
    optimizer = adam(model.parameters())
    start = model[0].weight.detach().clone()
    first = model(x)
    functional.cross_entropy(first, y).backward()
    gradient = model[2].weight.grad.square().mean().sqrt()
    optimizer.step()

    def value(layer, quantity, step):
        return found.samples(layer, quantity, step)[0][1]

    assert value("(output)", "activation", 0) == pytest.approx(rms(first))
    assert value("2", "gradient", 0) == pytest.approx(float(gradient))
    assert value("0", "update", 1) == pytest.approx(rms(model[0].weight - start))
    assert value("0", "own change", 1) == pytest.approx(
        rms(x @ (model[0].weight - start).t()), rel=1e-4
    )
    assert value("(output)", "change", 1) == pytest.approx(rms(model(x) - first), rel=1e-4)
    assert found.losses[0][1][0] == pytest.approx(functional.cross_entropy(first, y).item())


def rms(tensor):
    return float(tensor.detach().square().mean().sqrt())


def test_the_same_seeds_give_the_same_bits_and_the_streams_stay(found):
    before = torch.get_rng_state()
    again = scaling(mlp, WIDTHS, batch(), optimizer=adam, steps=2, seeds=2)
    assert again.values == found.values
    assert torch.equal(torch.get_rng_state(), before)


def test_frame_table_picture_page_and_record(found):
    frame = found.to_frame()
    assert list(frame.columns) == [
        *("layer", "role", "quantity", "step", "exponent", "low", "high", "rate")
    ]
    row = frame[(frame.layer == "2") & (frame.quantity == "change") & (frame.step == 2)]
    exponent = found.exponent("2", "change")
    assert row.exponent.item() == exponent.value
    assert exponent.low < exponent.value < exponent.high
    assert [line.split()[:2] for line in found.table()][1:3] == [["0", "input"], ["2", "hidden"]]
    assert str(found).count("\n") == 6
    assert [axes.get_title() for axes in found.plot().axes][:2] == ["weight", "gain"]
    assert "srcdoc" in found._repr_html_()
    record = found.run_record()
    assert record.seeds == (0, 1)
    mean = sum(record.metrics["2: change, step 2"]) / 2
    assert mean == pytest.approx(exponent.value)
    assert record.meta["roles"] == "0 input, 2 hidden, 4 hidden, 6 output"


def test_what_was_not_measured_is_refused(found):
    with pytest.raises(InitcheckError, match="layers 0, 2, 4, 6"):
        found.samples("9", "change")
    with pytest.raises(InitcheckError, match="at step 5"):
        found.exponent("2", "change", 5)


def test_batches_may_depend_on_the_size_and_optimisers_on_the_model():
    class Wide(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.a, self.b = nn.Linear(width, width), nn.Linear(width, CLASSES)

        def forward(self, x):
            return self.b(torch.relu(self.a(x)))

    def data(width):
        return torch.ones(4, width), torch.arange(4) % CLASSES

    given = []

    def steps(module):
        given.append(module)
        return adam(module.parameters())

    found = scaling(Wide, WIDTHS, data, optimizer=steps, steps=1, seeds=1)
    assert [model.a.in_features for model in given] == [8, 16, 32]
    assert found.role("a") == "hidden"
    # A name that says nothing is tried with parameters first, then with the model.
    scaling(mlp, WIDTHS, batch(), optimizer=lambda of: mup_adam(of), steps=1, seeds=1)
    scaling(mlp, WIDTHS, batch(), "cross_entropy", torch.optim.Adam, steps=1, seeds=1)


def test_a_depth_may_be_the_size():
    found = scaling(lambda depth: mlp(8, hidden=depth), (1, 2, 4), batch(), steps=1, seeds=1)
    assert found.layers == ("0", "2", "4")
    assert {found.role(layer) for layer in found.layers} == {"fixed"}


def test_dropout_and_lazy_layers_and_closures_work():
    def factory(width):
        return nn.Sequential(nn.LazyLinear(width), nn.Dropout(0.5), nn.Linear(width, CLASSES))

    found = scaling(
        factory,
        WIDTHS,
        batch(),
        optimizer=lambda p: torch.optim.LBFGS(p, lr=0.01),
        steps=1,
        seeds=1,
    )
    # The same units are dropped in every pass: the first layer's change is that of its weights.
    assert found.layers == ("0", "2")
    changes = found.samples("0", "own change")
    assert all(value > 0 for row in changes for value in row)


def test_errors_have_the_size():
    def factory(width):
        return mlp(width) if width < 16 else nn.Linear(INPUTS + 1, CLASSES)

    with pytest.raises(InitcheckError, match="at size 16, seed 0"):
        scaling(factory, WIDTHS, batch(), seeds=1)
    with pytest.raises(InitcheckError, match=r"factory\(8\) raised ValueError: no"):
        scaling(lambda width: (_ for _ in ()).throw(ValueError("no")), WIDTHS, batch())


def test_exponents_are_those_of_the_powers_and_of_scipy():
    from scipy.stats import linregress

    sizes, noise = (1, 2, 4, 8), ((1.1, 0.9), (1.0, 1.2), (0.8, 1.0), (1.0, 0.9))
    exact = exponent_of(sizes, [[3 * s**1.5] for s in sizes])
    assert exact.value == pytest.approx(1.5)
    assert exact.high - exact.low < 1e-6
    noisy = [[s**0.5 * e for e in row] for s, row in zip(sizes, noise, strict=True)]
    found = exponent_of(sizes, noisy)
    pairs = [(math.log(s), math.log(v)) for s, row in zip(sizes, noisy, strict=True) for v in row]
    line = linregress([x for x, _ in pairs], [y for _, y in pairs])
    assert found.value == pytest.approx(line.slope)
    assert found.high - found.value == pytest.approx(2.4469 * line.stderr, rel=1e-4)
    doubling = exponent_of(sizes, [[2 ** (-s / 2)] for s in sizes])
    assert doubling.rate == pytest.approx(-0.5)


def test_an_interval_covers_the_truth_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)
    sizes, covered = (8, 16, 32, 64), 0
    for _ in range(200):
        noise = torch.randn(4, 3, generator=generator).mul(0.3).exp()
        values = [[s**0.5 * float(e) for e in row] for s, row in zip(sizes, noise, strict=True)]
        found = exponent_of(sizes, values)
        covered += found.low < 0.5 < found.high
    # 95 % of 200, and three standard deviations.
    assert 181 <= covered <= 199


def test_what_is_zero_or_not_finite_is_counted():
    found = exponent_of((1, 2), [[0.0, math.nan], [1.0, 2.0]])
    assert (found.zeros, found.lost, found.is_known) == (1, 1, False)
    assert str(found) == "not measured"
