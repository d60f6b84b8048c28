"""What `run` trains and records, seed by seed."""

import math
import random

import numpy as np
import pytest
import torch
from support.training import experiment, points, sgd, small
from torch import nn

from pytest_initcheck import RunRecord, run
from pytest_initcheck.serialization import decode, encode


def by_hand(seed, epochs=3, batch_size=16, shuffle=True):
    """The training that `run` stands for, in plain torch: mean cost per epoch, and the model."""
    inputs, targets = points()
    torch.manual_seed(seed)
    model = small()
    optimizer = sgd(model.parameters())
    order = torch.Generator().manual_seed(seed)
    costs = []
    for _ in range(epochs):
        places = torch.randperm(60, generator=order) if shuffle else torch.arange(60)
        total = 0.0
        for batch in places.split(batch_size):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs[batch]), targets[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        costs.append(total / 60)
    return costs, model


@pytest.mark.parametrize("shuffle", [True, False])
def test_curve_is_that_of_a_loop_by_hand(shuffle):
    record = run(experiment(shuffle=shuffle), seeds=[3, 5])
    for seed, curve in zip((3, 5), record.curves["loss"], strict=True):
        assert curve == pytest.approx(by_hand(seed, shuffle=shuffle)[0], rel=1e-5)


def test_final_accuracy_is_that_of_the_trained_model():
    inputs, targets = points()
    _, model = by_hand(0)
    expected = (model(inputs).argmax(1) == targets).double().mean().item()
    assert run(experiment(), seeds=1).metrics["accuracy"] == (pytest.approx(expected),)


def test_record_has_a_curve_and_a_metric_for_every_seed():
    validation = points(20)
    record = run(experiment(validation=validation), seeds=4)
    assert record.seeds == (0, 1, 2, 3)
    assert set(record.curves) == {"loss", "accuracy", "validation loss", "validation accuracy"}
    assert all(len(curves) == 4 for curves in record.curves.values())
    assert all(len(curve) == 3 for curves in record.curves.values() for curve in curves)
    for name in ("loss", "validation loss", "validation accuracy"):
        assert record.metrics[name] == tuple(curve[-1] for curve in record.curves[name])
    assert record.metrics["diverged"] == (0.0,) * 4


def test_record_goes_to_json_and_back():
    record = run(experiment(), seeds=2)
    assert decode(RunRecord, encode(record)) == record


def test_same_seed_gives_the_same_record():
    assert encode(run(experiment(), seeds=3)) == encode(run(experiment(), seeds=3))


def test_seed_alone_decides_its_curve():
    alone, among = run(experiment(), seeds=[2]), run(experiment(), seeds=[7, 2, 0])
    assert alone.curves["loss"][0] == among.curves["loss"][1]


def test_models_before_and_after_are_pooled_over_the_seeds():
    record = run(experiment(), seeds=4)
    before, after = record.before.layer("0"), record.after.layer("0")
    assert before.weights["weight"].n == 4 * 16
    assert sum(before.weights["weight"].histogram.counts) == 4 * 16
    assert after.weights["weight"].mean != before.weights["weight"].mean
    assert record.before.moment == "before"
    assert record.after.moment == "after"
    assert record.after.loss < record.before.loss


def test_movement_of_the_weights_is_recorded_after():
    record = run(experiment(), seeds=1)
    torch.manual_seed(0)
    start = small()[0].weight
    _, trained = by_hand(0)
    expected = ((trained[0].weight - start).norm() / start.norm()).item()
    assert record.after.layer("0").update_ratio["weight"] == pytest.approx(expected, rel=1e-4)


def test_regression_has_no_accuracy():
    inputs, _ = points()
    record = run(
        experiment(model=lambda: nn.Linear(2, 1), data=(inputs, inputs[:, :1] * 2)), seeds=2
    )
    assert set(record.curves) == {"loss"}
    assert record.meta["loss"] == "mse_loss"
    assert all(curve[-1] < curve[0] for curve in record.curves["loss"])


def test_one_output_with_a_loss_of_its_own_has_no_accuracy():
    inputs, labels = points(classes=2)

    def loss(outputs, targets):
        return nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], targets.float())

    record = run(
        experiment(model=lambda: nn.Linear(2, 1), data=(inputs, labels), loss=loss), seeds=2
    )
    assert set(record.curves) == {"loss"}


def test_diverging_training_is_a_metric_and_no_crash():
    record = run(
        experiment(optimizer=lambda params: torch.optim.SGD(params, lr=1e30), epochs=4, model=relu),
        seeds=3,
    )
    assert record.metrics["diverged"] == (1.0, 1.0, 1.0)
    assert all(math.isnan(curve[-1]) for curve in record.curves["loss"])
    assert record.metrics["accuracy"] == (0.0, 0.0, 0.0)
    assert record.after.layer("0").weights["weight"].nonfinite > 0


def relu():
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))


def test_one_diverging_seed_leaves_the_others_alone():
    def initialise(model):
        if torch.initial_seed() == 1:
            nn.init.constant_(model[2].weight, float("inf"))

    record = run(experiment(initialise=initialise), seeds=3)
    assert record.metrics["diverged"] == (0.0, 1.0, 0.0)
    assert record.curves["loss"][2] == run(experiment(), seeds=[2]).curves["loss"][0]


def test_measure_is_recorded_before_and_after():
    def measure(model, moment):
        return {"bias": model[2].bias.abs().sum(), "is after": moment == "after"}

    record = run(experiment(measure=measure), seeds=2)
    torch.manual_seed(0)
    assert record.metrics["bias before"][0] == pytest.approx(small()[2].bias.abs().sum().item())
    assert record.metrics["is after before"] == (0.0, 0.0)
    assert record.metrics["is after after"] == (1.0, 1.0)


def test_initialise_draws_the_numbers_that_follow_the_factory():
    seen = []
    run(experiment(initialise=lambda _: seen.append(torch.rand(1).item())), seeds=[4])
    torch.manual_seed(4)
    small()
    assert seen == [torch.rand(1).item()]


def test_dtype_is_that_of_model_and_data():
    record = run(experiment(dtype=torch.float64), seeds=1)
    assert record.meta["dtype"] == "float64"
    assert record.before.layer("0").weights["weight"].dtype == "float64"


def test_meta_states_what_was_chosen():
    meta = run(experiment(), seeds=1).meta
    assert meta["optimizer"] == "SGD, lr 0.1"
    assert meta["loss"] == "cross_entropy"
    assert meta["samples"] == "60"
    assert meta["parameters"] == str(2 * 8 + 8 + 8 * 3 + 3)


def test_last_batch_is_left_out_on_request():
    steps = []
    factory = counting(steps)
    run(experiment(optimizer=factory, drop_last=True, epochs=1), seeds=1)
    dropped = len(steps)
    run(experiment(optimizer=factory, drop_last=False, epochs=1), seeds=1)
    assert len(steps) - 2 * dropped == 1


def counting(steps):
    class Counting(torch.optim.SGD):
        def step(self, closure=None):
            steps.append(1)
            return super().step(closure)

    return lambda params: Counting(params, lr=0.1)


def test_weights_of_a_batch_follow_its_size():
    # 60 samples in batches of 16 end in one of 12, which must not count as much as the others.
    record = run(experiment(optimizer=lambda p: torch.optim.SGD(p, lr=0.0), epochs=1), seeds=1)
    inputs, targets = points()
    torch.manual_seed(0)
    expected = nn.functional.cross_entropy(small()(inputs), targets).item()
    assert record.curves["loss"][0][0] == pytest.approx(expected, rel=1e-5)


def test_classes_may_have_places():
    # One label for each of 5 places of a sequence: outputs (n, classes, places).
    inputs = torch.randn(40, 2, 5, generator=torch.Generator().manual_seed(0))
    targets = (inputs[:, 0] > 0).long()
    record = run(
        experiment(model=lambda: nn.Conv1d(2, 2, 1), data=(inputs, targets), epochs=30), seeds=2
    )
    assert min(record.metrics["accuracy"]) > 0.9


def test_arrays_and_tensor_datasets_are_data_too():
    inputs, targets = points()
    expected = run(experiment(), seeds=1)
    for data in (
        (inputs.numpy(), targets.numpy().astype("uint8")),
        torch.utils.data.TensorDataset(inputs, targets),
    ):
        assert run(experiment(data=data), seeds=1).curves == expected.curves


def test_data_is_left_as_it_was():
    inputs, targets = points()
    kept = inputs.clone(), targets.clone()
    run(experiment(data=(inputs, targets), dtype=torch.float64), seeds=1)
    assert torch.equal(inputs, kept[0])
    assert torch.equal(targets, kept[1])


def generators():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def test_random_generators_are_put_back():
    before = generators()
    run(experiment(), seeds=2)
    assert generators() == before


def test_random_generators_are_put_back_after_an_error():
    before = generators()

    def measure(model, moment):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        run(experiment(measure=measure), seeds=2)
    assert generators() == before


def test_dropout_and_batch_norm_train():
    def model():
        return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))

    record = run(experiment(model=model, epochs=10), seeds=2)
    assert min(record.metrics["accuracy"]) > 0.8
    assert run(experiment(model=model, epochs=10), seeds=2).curves == record.curves


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("batched", [False, True])
def test_cuda_gives_the_curves_of_the_cpu(batched):
    chosen = experiment(dtype=torch.float64, validation=points(20))
    cpu, cuda = (run(chosen, seeds=2, device=d, batched=batched) for d in ("cpu", "cuda"))
    assert cuda.meta["device"] == "cuda"
    for name, curves in cpu.curves.items():
        for ours, theirs in zip(curves, cuda.curves[name], strict=True):
            assert theirs == pytest.approx(ours, rel=1e-6)
