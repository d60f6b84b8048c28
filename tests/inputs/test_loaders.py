"""A loader as a batch: its first batch is taken, and the loader is as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from pytest_initcheck import InitcheckError, critical_point, diagnose, learns
from pytest_initcheck.inputs.loaders import first_batch


class Ordered:
    """Yields batches again and again, as loaders of other libraries do."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


class Stream(IterableDataset):
    def __init__(self, samples):
        self.samples, self.read = samples, 0

    def __iter__(self):
        for sample in self.samples:
            self.read += 1
            yield sample


def test_the_first_batch_is_taken_and_said(net, data):
    loader = DataLoader(TensorDataset(*data), 8)
    found = diagnose(net, loader)
    alone = diagnose(net, (data[0][:8], data[1][:8]))
    assert found.losses == alone.losses
    assert found.record.meta["taken"] == "batch: the first of a DataLoader"
    assert found.run_record().meta["taken"] == found.record.meta["taken"]


@pytest.mark.parametrize("options", [{}, {"generator": torch.Generator()}, {"num_workers": 2}])
def test_random_streams_and_generators_are_put_back(data, options):
    loader = DataLoader(TensorDataset(*data), 8, shuffle=True, **options)
    before = torch.get_rng_state()
    own = options["generator"].get_state() if "generator" in options else None
    attributes = dict(vars(loader))
    first, _ = first_batch(loader)
    again, _ = first_batch(loader)
    assert torch.equal(first[0], again[0])
    assert torch.equal(before, torch.get_rng_state())
    assert own is None or torch.equal(own, options["generator"].get_state())
    assert vars(loader) == attributes


def test_an_epoch_that_is_running_goes_on(data):
    loader = DataLoader(TensorDataset(*data), 8)
    running = iter(loader)
    next(running)
    first_batch(loader)
    assert torch.equal(next(running)[0], data[0][8:16])


def test_counters_of_a_stream_are_put_back(data):
    stream = Stream([*zip(*data, strict=True)])
    inputs, _ = first_batch(DataLoader(stream, 4))[0]
    assert torch.equal(inputs, data[0][:4])
    assert stream.read == 0


def test_any_iterable_of_batches(net, data):
    found = diagnose(net, Ordered([data]))
    assert found.record.meta["taken"] == "batch: the first of a Ordered"


def test_a_generator_has_one_batch_less_and_it_is_said(net, data):
    batches = (data for _ in range(2))
    found = diagnose(net, batches)
    assert "generator, which has one less now" in found.record.meta["taken"]
    assert len(list(batches)) == 1


def test_other_questions_take_loaders_too(net, data):
    loader = DataLoader(TensorDataset(*data), 8)
    assert learns(net, loader).outcome != "fails"
    assert critical_point(net, loader, steps=5).loss == pytest.approx(
        diagnose(net, loader).losses[0]
    )


def test_a_data_set_is_refused_with_what_to_pass(net, data):
    with pytest.raises(InitcheckError, match=r"of 32 samples.*DataLoader\(dataset, batch_size=32"):
        diagnose(net, TensorDataset(*data))


def test_a_loader_without_a_batch_is_refused(net, data):
    empty = DataLoader(TensorDataset(*data), 64, drop_last=True)
    with pytest.raises(InitcheckError, match="the DataLoader yields no batch"):
        diagnose(net, empty)


def test_a_data_set_that_raises_is_told_as_its_own(net, data):
    class Broken(TensorDataset):
        def __getitem__(self, index):
            raise OSError("no such picture")

    with pytest.raises(InitcheckError, match="the DataLoader raised OSError: no such picture; "):
        diagnose(net, DataLoader(Broken(*data), 4))


def test_what_holds_tensors_is_a_batch_itself(data):
    graph = Ordered(data[0])
    assert first_batch(graph) == (graph, "")
    assert first_batch(copy.copy(data)) == (data, "")
