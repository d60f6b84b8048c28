"""How fast each engine trains the models of several seeds, as a ratio to the plain loop.

    python benchmarks/seeds.py [--rounds 5] [--only CNN] [--threads 1] [--json FILE]

The clock is that on the wall, since several cores are what is measured: other programs disturb it,
and the ratios, of engines that take turns, less than the seconds. Models are put back before every
training, outside of the clock. A ratio above 1 is faster than the plain loop; "by hand" is a loop
without any tally, as one would write it. What takes minutes one by one is timed on some seeds.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import os
import sys
from collections.abc import Callable

import torch
from timing import Times, add_options, finish, ratios, take_turns
from torch import Tensor, nn

from pytest_initcheck import Experiment, escape
from pytest_initcheck.data import load_mnist
from pytest_initcheck.training.build import build_models
from pytest_initcheck.training.engines import Engine, train
from pytest_initcheck.training.loop import batches
from pytest_initcheck.training.prepare import Prepared, prepare
from pytest_initcheck.training.seeds import Order

IMAGES, LABELS = load_mnist("embedded").train
ENGINES: list[Engine] = ["batched", "threads", "processes", "auto"]
QUICK = ("batched", "auto")  # Where it takes minutes one by one.


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


def symmetry() -> Experiment:
    """The network of suites/test_symmetry.py: single steps, in order."""
    inputs = torch.arange(-20, 20).float().view(-1, 1)
    return Experiment(
        model=lambda: nn.Sequential(*dense([1, 2, 1], nn.Sigmoid), nn.Sigmoid()),
        data=(inputs, ((inputs > -4) & (inputs < 4)).float()),
        loss=nn.functional.binary_cross_entropy,
        optimizer=lambda params: torch.optim.SGD(params, lr=0.1),
        epochs=1000,
        batch_size=1,
        shuffle=False,
    )


# How many seeds there are, and how many of them are trained where it is one after the other.
CASES: dict[str, tuple[Callable[[], Experiment], int, int]] = {
    "S0 network, 64 seeds": (symmetry, 64, 1),
    "S3 network, 64 seeds": (sigma, 64, 64),
    "Xavier MNIST network, 8 seeds": (xavier, 8, 8),
    "BatchNorm CNN, 8 seeds": (normed, 8, 8),
}
PATHS, BY_HAND = 1000, 20


def quartic(w: Tensor) -> Tensor:
    """The landscape of suites/test_momentum.py."""
    return 2 * w**4 - 9 * w**3 - 21 * w**2 + 88 * w + 48


def momentum(params: list[Tensor]) -> torch.optim.Optimizer:
    """Its optimiser."""
    return torch.optim.SGD(params, lr=0.001, momentum=0.9)


def paths_by_hand() -> None:
    """Some noisy paths on the quartic, as one would write them, without asking where they end."""
    for seed in range(BY_HAND):
        source = torch.Generator().manual_seed(seed)
        noise = 10 * torch.randn(101, 1, generator=source, dtype=torch.float64).float()
        w = torch.tensor([6.0], requires_grad=True)
        optimizer = momentum([w])
        path = [w.item()]
        for step in range(100):
            optimizer.zero_grad()
            quartic(w).backward()
            assert w.grad is not None
            w.grad += noise[step]
            optimizer.step()
            path.append(w.item())


def paths(rounds: int) -> Times:
    """Seconds of all noisy paths by hand, and with their ends by `escape`."""

    def together() -> None:
        escape(quartic, 6.0, momentum, 100, noise=10.0, seeds=PATHS)

    works = {"plain": (paths_by_hand, BY_HAND / PATHS), "escape, with the ends": (together, 1)}
    return take_turns(works, rounds, clock="wall")


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


def timed(experiment: Experiment, count: int, few: int, rounds: int) -> tuple[Times, str]:
    """Seconds of all engines, and what "auto" took last."""
    prepared, seeds = prepare(experiment), list(range(count))
    told = [""]
    models = build_models(prepared, seeds)
    start = [copy.deepcopy(model.state_dict()) for model in models]

    def reset() -> None:
        for model, state in zip(models, start, strict=True):
            model.load_state_dict(state)

    def work(engine: Engine, some: int) -> tuple[Callable[[], None], float]:
        def call() -> None:
            told.append(train(engine, prepared, models[:some], seeds[:some], lambda _: None)[1])

        return call, some / count

    def hand() -> None:
        by_hand(prepared, models[:few], seeds[:few])

    works = {"by hand": (hand, few / count), "plain": work("plain", few)}
    works |= {engine: work(engine, count) for engine in ENGINES if few == count or engine in QUICK}
    times = take_turns(works, rounds, clock="wall", before=reset)
    return times, told[-1]


def shown(case: str, times: Times) -> dict[str, float]:
    """Print how many times as fast as the plain loop each is; what is stored and compared."""
    print(f"\n| {case} | times as fast as the plain loop | quartiles |\n|---|---|---|")
    found = {}
    for name in times:
        low, middle, high = ratios(times, "plain", name)
        print(f"| {name} | {middle:.2f} | {low:.2f} to {high:.2f} |", flush=True)
        # It grows where something becomes slower.
        found[f"{case}, {name}"] = 1 / middle
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "1")))
    add_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found: dict[str, float] = {}
    for case, (experiment, count, few) in CASES.items():
        if options.only in case:
            times, told = timed(experiment(), count, few, options.rounds)
            found |= shown(case, times)
            print(f"\nauto: {told}", flush=True)
    if options.only in (case := "noisy paths on the quartic"):
        found |= shown(f"{PATHS} {case}", paths(options.rounds))
    return finish(found, options, threads=options.threads)


if __name__ == "__main__":
    sys.exit(main())
