"""What `watch` measures of a training of one's own, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch
from support import trainings
from torch import nn
from torch.nn import functional

from pytest_initcheck import InitcheckError, diagnose, watch
from pytest_initcheck.watching.looks import MOST, Looks, TrainingLook

FLAT = (6,)


def sgd(model, rate=0.1):
    return torch.optim.SGD(model.parameters(), rate)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return trainings.mlp()


@pytest.fixture
def data():
    return trainings.batches(FLAT, 6)


def true_losses(data, every):
    """The losses of the looked steps of a training that nobody watches."""
    torch.manual_seed(0)
    model = trainings.mlp()
    optimizer, found = sgd(model), []
    for inputs, labels in data:
        found.append(functional.cross_entropy(model(inputs), labels).item())
        trainings.plain(model, optimizer, [(inputs, labels)])
    return found[::every]


def test_before_a_step_there_is_nothing_to_read(model, data):
    with watch(model, sgd(model), every=1) as watched:
        trainings.plain(model, sgd(model), data[:1])
    assert watched.looks == 0
    with pytest.raises(InitcheckError, match="has seen no step"):
        watched.run_record()


@pytest.mark.parametrize("layer", ["0", "2", "4"])
def test_the_first_look_is_that_of_a_diagnosis(model, data, layer):
    expected = diagnose(model, data[0]).record
    optimizer = sgd(model)
    with watch(model, optimizer) as watched:
        trainings.plain(model, optimizer, data)
    assert watched.looks == 1
    mine, theirs = watched.record.layer(layer), expected.layer(layer)
    assert (mine.kind, mine.nonlinearity, mine.units) == (
        theirs.kind,
        theirs.nonlinearity,
        theirs.units,
    )
    assert mine.weights == theirs.weights
    assert mine.gradients == theirs.gradients
    assert mine.activations == theirs.activations
    assert mine.activation_gradients == theirs.activation_gradients
    assert watched.record.loss == expected.loss
    assert watched.record.operations == expected.operations
    assert watched.record.wiring == expected.wiring
    assert mine.update_ratio == {}


def test_looks_at_the_first_step_and_every_nth_after_it(model, data):
    optimizer = sgd(model)
    with watch(model, optimizer, every=2) as watched:
        trainings.plain(model, optimizer, data)
    assert [record.moment for record in watched.records] == [
        "start",
        "after 2 steps",
        "after 4 steps",
    ]
    assert watched.losses == pytest.approx(true_losses(data, 2), rel=1e-6)
    assert [record.loss for record in watched.records] == list(watched.losses)
    assert str(watched).startswith("3 looks in 6 steps, loss ")


def test_how_far_the_weights_have_come(model, data):
    start = model[0].weight.detach().clone()
    optimizer = sgd(model)
    with watch(model, optimizer, every=3) as watched:
        trainings.plain(model, optimizer, data[:3])
        moved = (model[0].weight - start).norm() / start.norm()
        trainings.plain(model, optimizer, data[3:4])
    assert watched.after.layer("0").update_ratio["weight"] == pytest.approx(moved.item(), rel=1e-5)
    shown = watched.run_record().shown
    first, second = shown["update per step"][0]
    assert 0 < first < 0.1
    assert 0 < second < 0.1
    norm = math.sqrt(sum(p.grad.square().sum().item() for p in model.parameters()))
    assert shown["gradient norm"][0][1] == pytest.approx(norm, rel=1e-4)


def test_movement_of_large_weights_is_estimated():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(512, 512))
    optimizer = sgd(model, 1.0)
    start = model[0].weight.detach().clone()
    with watch(model, optimizer, every=1) as watched:
        for _ in range(2):
            optimizer.zero_grad()
            moved = (model[0].weight - start).norm() / start.norm()
            model(torch.randn(64, 512)).square().mean().backward()
            optimizer.step()
    ratio = watched.after.layer("0").update_ratio["weight"]
    assert ratio == pytest.approx(moved.item(), rel=0.1)


def test_a_unit_that_dies_is_seen_when_it_does(model, data):
    optimizer = sgd(model)
    with watch(model, optimizer, every=1) as watched:
        trainings.plain(model, optimizer, data[:2])
        with torch.no_grad():
            model[0].bias[3] = -100.0
        trainings.plain(model, optimizer, data[2:4])
    assert [3 in record.layer("0").units.dead for record in watched.records] == [
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("train", "every"),
    [(trainings.evaluating, 1), (trainings.with_closure, 1), (trainings.scaled, 1)],
)
def test_the_loss_is_heard(model, data, train, every):
    optimizer = sgd(model)
    options = {}
    if train is trainings.scaled:
        options["scaler"] = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with watch(model, optimizer, every, **options) as watched:
        train(model, optimizer, data[:1], **options)
    assert watched.losses == pytest.approx(true_losses(data[:1], 1), rel=1e-6)


def test_a_scale_is_taken_out_where_the_scaler_is_known(data):
    records = []
    for is_scaled in (False, True):
        torch.manual_seed(0)
        model = trainings.mlp()
        optimizer = sgd(model)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=is_scaled)
        with watch(model, optimizer, scaler=scaler) as watched:
            trainings.scaled(model, optimizer, data[:1], scaler)
        records.append(watched.record)
    for layer in ("0", "2", "4"):
        one, other = (record.layer(layer) for record in records)
        assert other.activation_gradients.std == pytest.approx(
            one.activation_gradients.std, rel=1e-5
        )
        assert other.gradients["weight"].std == pytest.approx(one.gradients["weight"].std, rel=1e-5)


def test_a_fused_optimiser_divides_by_the_scale_itself(data):
    records = []
    for is_fused in (False, True):
        torch.manual_seed(0)
        model = trainings.mlp()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, fused=is_fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        with watch(model, optimizer, scaler=scaler) as watched:
            scaler.scale(functional.cross_entropy(model(data[0][0]), data[0][1])).backward()
            scaler.step(optimizer)
        records.append(watched.record.layer("0").gradients["weight"].std)
    assert records[1] == pytest.approx(records[0], rel=1e-5)


def test_a_step_that_the_scaler_skips_is_none(model, data):
    optimizer = sgd(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    (inputs, labels), kept = data[0], data[1]
    with watch(model, optimizer, scaler=scaler) as watched:
        trainings.scaled(model, optimizer, [(inputs * float("inf"), labels), kept], scaler)
    assert watched.looks == 1
    assert watched.record.moment == "start"
    assert watched.record.inputs.max == kept[0].max()
    assert watched.losses[0] < 10


def test_a_model_may_shrink_and_grow(model, data):
    model.append(nn.Linear(3, 3))
    optimizer = sgd(model)
    with watch(model, optimizer, every=1) as watched:
        trainings.plain(model, optimizer, data[:2])
        model.pop(5)
        trainings.plain(model, optimizer, data[2:4])
        assert len(watched.plot().axes) == 12
        model.append(nn.Linear(3, 3))
        optimizer.add_param_group({"params": model[5].parameters()})
        trainings.plain(model, optimizer, data[4:6])
    assert ["5" in {one.name for one in r.layers} for r in watched.records] == [1, 1, 0, 0, 1, 1]
    ratios = [r.layer("4").update_ratio.get("weight", 0.0) > 0 for r in watched.records]
    assert ratios == [False, True, False, True, False, True]


def test_parts_of_an_accumulated_step_are_its_loss(model, data):
    losses = [functional.cross_entropy(model(x), y).item() for x, y in data[:2]]
    optimizer = sgd(model)
    with watch(model, optimizer) as watched:
        trainings.accumulating(model, optimizer, data[:2])
    assert watched.losses == pytest.approx([sum(losses) / 2], rel=1e-6)
    assert watched.record.layer("0").units.count == 16


def test_the_loss_of_another_model_is_not_this_one(model, data):
    other = trainings.mlp()
    optimizer, theirs = sgd(model), sgd(other)
    with watch(model, optimizer) as watched, watch(other, theirs) as beside:
        for network in (other, model):
            (functional.cross_entropy(network(data[0][0]), data[0][1]) * 1).backward()
        theirs.step()
        optimizer.step()
    assert watched.losses == pytest.approx(true_losses(data[:1], 1), rel=1e-6)
    assert beside.losses[0] != watched.losses[0]


def test_a_loss_that_is_told_counts(model, data):
    optimizer = sgd(model)
    with watch(model, optimizer, every=1) as watched:
        for inputs, labels in data[:2]:
            loss = functional.cross_entropy(model(inputs), labels)
            assert watched.loss(loss) is loss
            optimizer.zero_grad()
            (2 * loss).backward()
            optimizer.step()
    assert watched.losses[0] == pytest.approx(true_losses(data[:1], 1)[0], rel=1e-6)
    with pytest.raises(InitcheckError, match="a tensor of one number"):
        watched.loss([1.0])


def test_gradients_made_by_hand_have_no_loss(model, data):
    optimizer = sgd(model)
    with watch(model, optimizer) as watched:
        loss = functional.cross_entropy(model(data[0][0]), data[0][1])
        parameters = list(model.parameters())
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss, parameters), strict=True
        ):
            parameter.grad = gradient
        optimizer.step()
    assert watched.record.loss is None
    assert "loss" not in watched.run_record().curves
    assert watched.record.layer("4").gradients["weight"].rms > 0


def test_a_loss_that_is_nan_is_known(model, data):
    optimizer = sgd(model)
    with watch(model, optimizer, every=1) as watched:
        trainings.plain(model, optimizer, [(data[0][0] * math.nan, data[0][1]), data[1]])
    assert math.isnan(watched.record.loss)
    assert len(watched.run_record().curves["loss"][0]) == 2
    assert watched.after.layer("0").weights["weight"].nonfinite == 96


def test_a_pass_whose_gradients_were_thrown_away_is_no_part_of_the_step(model, data):
    optimizer = sgd(model)
    (inputs, labels), kept = data[0], data[1]
    with watch(model, optimizer) as watched:
        functional.cross_entropy(model(100 * inputs), labels).backward()
        trainings.plain(model, optimizer, [kept])
    assert watched.record.inputs.max == kept[0].max()
    assert watched.losses[0] < 10


def test_a_part_of_a_larger_model_and_a_model_that_is_not_called(model, data):
    head = nn.Linear(3, 3)
    optimizer = torch.optim.SGD([*model.parameters(), *head.parameters()], 0.1)
    whole = nn.ModuleDict({"body": model, "head": head})
    for watched_part, is_seen in ((model, True), (whole, False)):
        with watch(watched_part, optimizer) as watched:
            optimizer.zero_grad()
            functional.cross_entropy(head(model(data[0][0])), data[0][1]).backward()
            optimizer.step()
        assert any(layer.units for layer in watched.record.layers) == is_seen
        assert (
            any("was not called as it is" in line for line in watched.record.not_observed)
            != is_seen
        )
        assert watched.record.layers[0].gradients["weight"].rms > 0


def test_kernels_that_hide_their_inside_are_named():
    torch.manual_seed(0)
    model = trainings.Recurrent()
    optimizer = sgd(model)
    with watch(model, optimizer) as watched:
        trainings.plain(model, optimizer, trainings.batches((5, 4), 1))
    assert any(line.startswith("body: inside of ") for line in watched.record.not_observed)


def test_frames_and_figures(model, data):
    optimizer = sgd(model)
    with watch(model, optimizer, every=2) as watched:
        trainings.plain(model, optimizer, data)
    frame = watched.to_frame()
    assert set(frame["moment"]) == {"start", "after 2 steps", "after 4 steps"}
    assert {"weight", "weight gradient", "activation"} <= set(frame["tensor"])
    titles = [axis.get_title() for axis in watched.plot().axes]
    assert "0 weights" in titles


def test_a_long_training_keeps_evenly_spaced_looks():
    looks = Looks()
    for step in range(1000):
        if looks.wants_next:
            looks.add(TrainingLook(step=step, reading=None, movement={}))
        else:
            looks.skip()
    steps = [look.step for look in looks]
    assert MOST / 2 < len(steps) <= MOST
    assert steps == list(range(0, 1000, steps[1]))


def test_between_them_only_curves_go_on(model, data, monkeypatch):
    monkeypatch.setattr("pytest_initcheck.watching.looks.MOST", 4)
    optimizer, data = sgd(model), [*data, *data]
    with watch(model, optimizer, every=1) as watched:
        trainings.plain(model, optimizer, data)
    assert [record.moment for record in watched.records] == [
        "start",
        "after 4 steps",
        "after 8 steps",
    ]
    assert watched.losses == pytest.approx(true_losses(data, 1), rel=1e-5)
    assert watched.looks == 12
    shown = watched.run_record().shown
    assert [len(curve) for (curve,) in shown.values()] == [12, 12]
    norm = math.sqrt(sum(p.grad.square().sum().item() for p in model.parameters()))
    assert shown["gradient norm"][0][-1] == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"every": 0}, "every: pass a whole number of steps of at least 1, not 0"),
        ({"every": 2.5}, "every: pass a whole number"),
        ({"every": True}, "every: pass a whole number"),
        ({"model": "net"}, "not an nn.Module"),
        ({"model": nn.LazyLinear(3)}, "lazy parameters"),
        ({"optimizer": torch.optim.SGD}, "pass the torch.optim.Optimizer itself"),
        (
            {"optimizer": torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1)},
            "holds no parameter of the model",
        ),
        ({"scaler": 1024.0}, "pass the torch.amp.GradScaler"),
    ],
)
def test_wrong_use_is_refused(model, change, message):
    given = {"model": model, "optimizer": sgd(model), **change}
    with pytest.raises(InitcheckError, match=message), watch(**given):
        pass
    assert not model._forward_hooks


@pytest.mark.parametrize(
    "inner", [lambda model: model, lambda model: model[0]], ids=["whole", "part"]
)
def test_one_watch_at_a_time(model, inner):
    optimizer = sgd(model)
    with watch(model, optimizer):
        with (
            pytest.raises(InitcheckError, match="being watched already"),
            watch(inner(model), optimizer),
        ):
            pass
        assert len(model._forward_hooks) == 1
    with watch(inner(model), optimizer):
        assert len(inner(model)._forward_hooks) == 1


def test_a_diagnosis_inside_is_no_pass_of_the_training(model, data):
    optimizer = sgd(model)
    with watch(model, optimizer, every=1) as watched:
        found = diagnose(model, data[3])
        trainings.plain(model, optimizer, data[:2])
    assert found.verdict != "fail"
    assert watched.losses == pytest.approx(true_losses(data[:2], 1), rel=1e-6)
    assert watched.record.inputs.max == data[0][0].max()
