"""The scale of inputs, targets, first losses and signals is judged by what it costs."""

from __future__ import annotations

import math

import pytest
import torch

from support.starts import (  # isort: skip
    Model, adam, constant, ids, labelled, lines, mlp, named, normal, sgd, told, weighted,
)  # fmt: skip
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose
from pytest_initcheck.checks.activation_growth import Growth


def scaled(factor, offset=0.0, head=0.0):
    """Data of some scale before a model whose zero head keeps the first loss at chance."""
    x, y = labelled()
    model = weighted(mlp(nn.ReLU, 20, 64, 3), normal(head), "2")
    return diagnose(model, (factor * x + offset, y))


@pytest.mark.parametrize(("factor", "severity"), [
    (1, None), (25, None), (0.1, None), (100, "warning"), (1000, "error"), (5e-3, "warning"),
    (1e-3, "error"),
])  # fmt: skip
def test_inputs_far_from_unit_scale_are_told(factor, severity):
    found = scaled(factor)
    severities = [f.severity for f in found.findings if f.id == "IC701"]
    assert severities == ([] if severity is None else [severity])


@pytest.mark.parametrize(("offset", "severity"), [(5, None), (200, "warning"), (20000, "error")])
def test_inputs_that_are_alike_are_told_however_small_their_scale(offset, severity):
    """Around 1 with a spread of 1/offset: no size is large, but no sample differs."""
    found = scaled(1 / offset, 1.0)
    severities = [f.severity for f in found.findings if f.id == "IC701"]
    assert severities == ([] if severity is None else [severity])
    assert "IC402" not in ids(found)
    if severity:
        assert "differs between samples" in named(found, "IC701").quantity
        assert named(found, "IC701").measured == pytest.approx(offset**-2, rel=0.2)


@pytest.mark.parametrize(("factor", "is_blamed"), [(2, False), (25, True)])
def test_inputs_are_blamed_early_where_they_explain_a_high_first_loss(factor, is_blamed):
    found = scaled(factor, head=0.1)
    assert ("IC701" in ids(found)) == is_blamed, str(found)
    if is_blamed:
        assert named(found, "IC701").severity == "error"
        assert any("IC703" in line for line in named(found, "IC701").consequences)


def test_a_batch_of_equal_samples_is_no_fault_of_the_scale():
    x, y = labelled()
    assert "IC701" not in told(diagnose(mlp(nn.ReLU, 20, 64, 3), (x[:1].expand(64, -1), y)))


def own_scale(divide, *, after=1.0):
    return Model(lambda m, x: after * m.body((x.float() - 128) / divide),
                 body=mlp(nn.ReLU, 20, 64, 3))  # fmt: skip


def test_pictures_that_the_model_scales_are_no_fault():
    x = (torch.rand(64, 20) * 255).to(torch.uint8)
    assert diagnose(own_scale(74), (x, labelled()[1])).verdict == "pass"
    assert "IC701" in ids(diagnose(own_scale(1e-3), (x, labelled()[1])))
    assert "IC701" not in told(diagnose(own_scale(74 * 100), (x, labelled()[1])))


def test_data_that_the_model_enlarges_are_no_fault():
    x = torch.rand(256, 2) * 2 - 1
    model = Model(lambda m, x: m.body(torch.cat([(400 * x).sin(), 400 * x * 0 + x], 1)),
                  body=mlp(nn.ReLU, 4, 64, 1))  # fmt: skip
    assert diagnose(model, (x, x[:, :1] * x[:, 1:])).verdict == "pass"
    enlarged = Model(lambda m, x: m.body(1000 * x), body=mlp(nn.ReLU, 2, 64, 1))
    assert "IC701" not in told(diagnose(enlarged, (x, x[:, :1] * x[:, 1:])))
    outlier = torch.cat([torch.tensor([[200.0, 0.0]]), x[1:]])
    assert "IC701" not in told(diagnose(enlarged, (outlier, x[:, :1] * x[:, 1:])))


def test_normalisation_takes_small_inputs_as_they_are():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 3))
    x, y = labelled()
    assert "IC701" in told(diagnose(mlp(nn.ReLU, 20, 64, 3), (1e-3 * x, y)))
    assert "IC701" not in told(diagnose(model, (1e-3 * x, y)))


def test_token_ids_have_no_scale():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(5000, 16), nn.Flatten(), nn.Linear(160, 3))
    batch = torch.randint(4000, 5000, (64, 10)), torch.randint(0, 3, (64,))
    assert diagnose(model, batch).verdict == "pass"


@pytest.mark.parametrize(("scale", "is_told"), [(1, False), (50, False), (1e4, True)])
def test_targets_far_from_unit_scale_are_told(scale, is_told):
    found = diagnose(mlp(nn.ReLU, 20, 64, 1), lines(scale=scale), optimizer=adam(1e-3))
    assert ("IC702" in ids(found)) == is_told, str(found)


def test_targets_whose_scale_the_model_has_are_no_fault():
    x, y = lines()
    model = Model(lambda m, x: 2300 + 1000 * m.body(x), body=mlp(nn.ReLU, 20, 64, 1))
    found = diagnose(model, (x, 2300 + 1000 * y), optimizer=adam(1e-3))
    assert "IC702" not in told(found), str(found)
    plain = diagnose(mlp(nn.ReLU, 20, 64, 1), (x, 2300 + 1000 * y), optimizer=adam(1e-3))
    assert "IC702" in ids(plain)


def logits(spread, kinds=3, count=256):
    """A last layer whose logits have the given standard deviation."""
    torch.manual_seed(0)
    model = nn.Linear(20, kinds)
    nn.init.normal_(model.weight, 0, spread / 20**0.5)
    nn.init.zeros_(model.bias)
    batch = torch.randn(count, 20), torch.randint(0, kinds, (count,))
    return model, batch


LOSSES = {
    "cross-entropy": ((), None),
    "log-softmax and NLL": ([nn.LogSoftmax(-1)], nn.NLLLoss()),
    "label smoothing": ((), nn.CrossEntropyLoss(label_smoothing=0.1)),
    "sum": ((), nn.CrossEntropyLoss(reduction="sum")),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("spread", "severity"), [(1, None), (1.4, None), (5, "error")])
def test_a_first_loss_above_chance_is_told_whatever_the_loss(name, spread, severity):
    last, loss_fn = LOSSES[name]
    model, batch = logits(spread)
    found = diagnose(nn.Sequential(model, *last), batch, loss_fn)
    told_as = [line for f in found.findings for line in (str(f), *f.consequences)]
    assert any("IC703" in line for line in told_as) == (severity is not None), str(found)
    assert ("IC704" in told(found)) == (name == "sum")


def test_a_divergence_is_judged_by_its_own_chance():
    def soft(spread):
        model, (x, y) = logits(spread, kinds=5)
        model = nn.Sequential(model, nn.LogSoftmax(-1))
        targets = functional.one_hot(y, 5) * 0.9 + 0.02
        return diagnose(model, (x, targets), nn.KLDivLoss(reduction="batchmean"))

    assert "IC703" not in told(soft(1))
    assert named(soft(6), "IC703").severity == "error"


@pytest.mark.parametrize("kinds", [2, 10, 1000])
def test_many_classes_leave_room_for_their_number(kinds):
    """The excess grows as s²/2 until a softmax freezes on few classes, at √(2 ln C)."""
    model, batch = logits(1.4, kinds)
    assert "IC703" not in told(diagnose(model, batch))
    model, batch = logits(3, kinds)
    assert ("IC703" in told(diagnose(model, batch))) == (kinds == 10)
    model, batch = logits(12, kinds)
    assert named(diagnose(model, batch), "IC703").severity == "error"


def summed(output, y):
    """A focal loss per positive, as detectors have it."""
    p = output.sigmoid()
    hit = torch.where(y > 0, p, 1 - p)
    weight = torch.where(y > 0, 0.75, 0.25)
    return -(weight * (1 - hit).square() * hit.clamp(min=1e-6).log()).sum() / y.sum()


@pytest.mark.parametrize(("spread", "bias", "is_told"), [
    (0.01, -4.6, False), (0.01, 8.0, True), (6.0, 0.0, True), (9.0, -4.6, True),
])  # fmt: skip
def test_the_bias_of_a_prior_is_no_confidence_without_reason(spread, bias, is_told):
    """A rare class costs the prior at first; what differs between samples is another thing."""
    torch.manual_seed(0)
    x = torch.randn(64, 20)
    y = (x[:, :6] > 2.0).float()
    head = nn.Linear(20, 6)
    nn.init.normal_(head.weight, 0, spread / 20**0.5)
    nn.init.constant_(head.bias, bias)
    found = diagnose(nn.Sequential(head), (x, y), summed, adam(1e-2))
    assert ("IC703" in told(found)) == is_told, str(found)


@pytest.mark.parametrize("weight", [1.0, 20.0])
def test_weighted_positives_raise_chance_as_well(weight):
    x, y = lines()
    loss_fn = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weight))
    model = mlp(nn.ReLU, 20, 64, 1)
    found = diagnose(model, (x, (y > 0).float()), loss_fn)
    assert found.verdict == "pass", str(found)
    big = weighted(mlp(nn.ReLU, 20, 256, 1), normal(1.0))
    assert "IC703" in told(diagnose(big, (x, (y > 0).float()), loss_fn))


@pytest.mark.parametrize("loss_fn", [nn.MSELoss(), nn.L1Loss(), nn.HuberLoss()])
def test_other_losses_are_held_against_predicting_zero(loss_fn):
    assert "IC703" not in told(diagnose(mlp(nn.ReLU, 20, 64, 1), lines(), loss_fn))
    big = weighted(mlp(nn.ReLU, 20, 256, 256, 1), normal(1.0))
    assert "IC703" in told(diagnose(big, lines(), loss_fn))


def test_a_sum_over_one_value_is_a_mean():
    x, y = lines(count=1)
    assert "IC704" not in told(diagnose(mlp(nn.ReLU, 20, 64, 1), (x, y), nn.MSELoss()))
    summed = diagnose(mlp(nn.ReLU, 20, 64, 1), lines(), nn.MSELoss(reduction="sum"))
    assert named(summed, "IC704").severity == "warning"
    blown = diagnose(mlp(nn.ReLU, 20, 64, 1), lines(count=256), nn.MSELoss(reduction="sum"), sgd(1))
    assert named(blown, "IC704").severity == "error"


def hidden_loss(model, batch):
    """A loss of two calls, of which no constant output can be priced."""
    both = functional.cross_entropy(model(batch[0]), batch[1]), model(batch[0][:1]).sum()
    return both[0] + 0 * both[1]


@pytest.mark.parametrize("sigma", [0.05, 1.0])
def test_a_growing_signal_is_told_by_itself(sigma):
    model = weighted(mlp(nn.ReLU, 20, 256, 256, 3), normal(sigma))
    found = diagnose(model, labelled(), forward=hidden_loss, checks=[Growth()])
    assert ("IC405" in ids(found)) == (sigma == 1)
    if sigma == 1:
        finding = named(found, "IC405")
        with torch.no_grad():
            size = model(labelled()[0]).square().mean().sqrt()
            data = labelled()[0].square().mean().sqrt()
        assert finding.measured == pytest.approx(float(size / data), rel=0.05)
        assert list(finding.profile) == ["0", "2", "4"]
        assert finding.profile["4"] == finding.measured
        assert finding.severity == "error"


def test_a_growing_signal_follows_from_the_first_loss_where_that_is_known():
    model = weighted(mlp(nn.ReLU, 20, 256, 256, 3), normal(1.0))
    found = diagnose(model, labelled())
    assert "IC405" not in ids(found)
    assert any("IC405" in line for line in named(found, "IC703").consequences)


def test_large_data_alone_are_no_growth():
    x, y = labelled()
    found = diagnose(mlp(nn.ReLU, 20, 64, 3), (200 * x, y), forward=hidden_loss)
    assert "IC405" not in told(found)


def test_a_normalised_model_takes_the_growth_back():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 256), nn.LayerNorm(256), nn.ReLU(), nn.Linear(256, 3))
    nn.init.normal_(model[0].weight, 0, 100)
    assert diagnose(model, labelled(), forward=hidden_loss).verdict == "pass"


@pytest.mark.parametrize("is_learned", [True, False])
def test_a_learned_temperature_is_no_first_loss_to_blame(is_learned):
    def run(m, a, b):
        a, b = (functional.normalize(m.body(x), dim=-1) for x in (a, b))
        return m.scale.exp() * (a @ b.T)

    scale = torch.tensor(math.log(100.0))
    model = Model(run, body=mlp(nn.ReLU, 20, 64, 8),
                  scale=nn.Parameter(scale) if is_learned else scale)  # fmt: skip
    x, _ = labelled()
    found = diagnose(model, ((x, x.flip(0)), torch.arange(len(x))))
    assert ("IC703" in told(found)) == (not is_learned), str(found)


def test_constant_weights_explain_a_high_first_loss():
    model = weighted(mlp(nn.ReLU, 20, 64, 64, 3), constant(1.0))
    with torch.no_grad():
        model[4].weight[0] = 3
    found = diagnose(model, labelled())
    assert ids(found)[0] == "IC201"
    assert "IC703" not in ids(found)
    assert "IC703" in told(found)
