"""How fast each engine trains the models of several seeds, as a ratio to the plain loop.

    python benchmarks/seeds.py [--rounds 5] [--only CNN] [--threads 1] [--json FILE]

The clock is that on the wall, since several threads are what is measured: other programs disturb
it, and the ratios, of engines that take turns, less than the seconds. Models are put back before
every training, outside of the clock. A ratio above 1 is faster than the plain loop; "by hand" is a
loop without any tally, as one would write it.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import os
import sys
from collections.abc import Callable, Iterator

import torch
from timing import Times, add_options, finish, ratios, take_turns
from torch import nn

from pytest_initcheck import Experiment
from pytest_initcheck.data import load_mnist
from pytest_initcheck.training.build import build_models
from pytest_initcheck.training.engines import Engine, train
from pytest_initcheck.training.loop import batches
from pytest_initcheck.training.prepare import Prepared, prepare
from pytest_initcheck.training.seeds import Order

IMAGES, LABELS = load_mnist("embedded").train
ENGINES: list[Engine] = ["plain", "batched", "threads", "processes", "auto"]


def dense(widths: list[int], nonlinearity: type[nn.Module]) -> nn.Sequential:
    """Linear layers of these widths with a nonlinearity between them."""
    layers = [
        part for pair in itertools.pairwise(widths) for part in (nn.Linear(*pair), nonlinearity())
    ]
    return nn.Sequential(*layers[:-1])


def sigma() -> Experiment:
    """The network of suites/test_sigma.py."""
    return Experiment(
        model=lambda: dense([784, 20, 15, 15, 10], nn.Sigmoid),
        data=(IMAGES[:1200], LABELS[:1200]),
        optimizer=lambda params: torch.optim.Adam(params, fused=True),
        epochs=5,
        batch_size=32,
        dtype=torch.float64,
    )


def xavier() -> Experiment:
    """The network of suites/test_initialisation.py."""
    return Experiment(
        model=lambda: dense([784, 256, 256, 10], nn.ReLU),
        data=(IMAGES, LABELS),
        optimizer=lambda params: torch.optim.Adam(params, lr=1e-3, fused=True),
        epochs=3,
        batch_size=100,
        drop_last=True,
    )


def convolutions() -> nn.Sequential:
    """Two blocks of convolution, BatchNorm, ReLU and pooling, then a linear layer."""
    blocks = [
        part
        for pair in ((1, 8), (8, 16))
        for part in (
            nn.Conv2d(*pair, 3, padding=1), nn.BatchNorm2d(pair[1]), nn.ReLU(), nn.MaxPool2d(2)
        )
    ]  # fmt: skip
    return nn.Sequential(nn.Unflatten(1, (1, 28)), *blocks, nn.Flatten(), nn.Linear(16 * 49, 10))


def normed() -> Experiment:
    """A convolutional network with BatchNorm."""
    images = IMAGES[:3000].reshape(-1, 28, 28)
    return Experiment(model=convolutions, data=(images, LABELS[:3000]), epochs=3, batch_size=64)


CASES: dict[str, tuple[Callable[[], Experiment], int]] = {
    "S3 network, 64 seeds": (sigma, 64),
    "Xavier MNIST network, 8 seeds": (xavier, 8),
    "BatchNorm CNN, 8 seeds": (normed, 8),
}


def by_hand(prepared: Prepared, models: list[nn.Module], seeds: list[int]) -> None:
    """The loop that one would write."""
    experiment = prepared.experiment
    for model, seed in zip(models, seeds, strict=True):
        optimizer = experiment.optimizer(list(model.parameters()))
        order = Order(seed, len(prepared.train), experiment.shuffle)
        for _ in range(experiment.epochs):
            for index in batches(prepared, order.epoch()):
                inputs, targets = prepared.train.rows(index)
                optimizer.zero_grad()
                prepared.loss(model(inputs), targets).backward()
                optimizer.step()


def timed(experiment: Experiment, count: int, rounds: int) -> tuple[Times, str]:
    """Seconds of all engines, and what "auto" took last."""
    prepared, seeds = prepare(experiment), list(range(count))
    told = [""]
    models = build_models(prepared, seeds)
    start = [copy.deepcopy(model.state_dict()) for model in models]

    def reset() -> None:
        for model, state in zip(models, start, strict=True):
            model.load_state_dict(state)

    def work(engine: Engine) -> Callable[[], None]:
        def call() -> None:
            told.append(train(engine, prepared, models, seeds, lambda _: None)[1])

        return call

    works = {"by hand": (lambda: by_hand(prepared, models, seeds), 1)}
    works |= {engine: (work(engine), 1) for engine in ENGINES}
    times = take_turns(works, rounds, clock="wall", before=reset)
    return times, told[-1]


def rows(times: Times) -> Iterator[tuple[str, tuple[float, float, float]]]:
    """How many times as fast as the plain loop each of them is: quartiles."""
    for name in times:
        yield name, ratios(times, "plain", name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "1")))
    add_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found: dict[str, float] = {}
    for case, (experiment, count) in CASES.items():
        if options.only not in case:
            continue
        times, told = timed(experiment(), count, options.rounds)
        print(f"\n| {case} | times as fast as the plain loop | quartiles |\n|---|---|---|")
        for name, (low, middle, high) in rows(times):
            print(f"| {name} | {middle:.2f} | {low:.2f} to {high:.2f} |", flush=True)
            # What is stored and compared grows where something becomes slower.
            found[f"{case}, {name}"] = 1 / middle
        print(f"\nauto: {told}", flush=True)
    return finish(found, options, threads=options.threads)


if __name__ == "__main__":
    sys.exit(main())
