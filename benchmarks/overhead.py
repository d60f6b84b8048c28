"""What the plugin costs: a diagnosis in training steps, a pytest run that does not use it in ms.

Run on a quiet machine: ``python benchmarks/overhead.py [--device cuda] [--rounds 7]``. Prints two
Markdown tables; nothing is asserted. Times are medians over the rounds; the two sides of each
comparison take turns, so that a machine that slows down slows both.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torchvision.models import resnet18

from pytest_initcheck import diagnose
from pytest_initcheck.capture import look

Batch = tuple[torch.Tensor, torch.Tensor]
Case = tuple[str, nn.Module, Batch]


def mlp() -> Case:
    model = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    )
    return "MLP 784-256-256-10, batch 100", model, (torch.randn(100, 784), labels(100))


def residual() -> Case:
    batch = torch.randn(8, 3, 64, 64), labels(8)
    return "ResNet-18, batch 8 of 64×64", resnet18(num_classes=10), batch


def transformer() -> Case:
    layer = nn.TransformerEncoderLayer(128, 4, 512, batch_first=True)
    model = nn.Sequential(
        nn.Embedding(1000, 128),
        nn.TransformerEncoder(layer, 4, enable_nested_tensor=False),
        nn.Flatten(),
        nn.Linear(32 * 128, 10),
    )
    return "transformer 4×128, batch 16 of 32", model, (torch.randint(1000, (16, 32)), labels(16))


def labels(count: int) -> torch.Tensor:
    return torch.randint(0, 10, (count,))


def timed(function: Callable[[], object], device: str) -> float:
    """Seconds of one call."""
    wait(device)
    start = time.perf_counter()
    function()
    wait(device)
    return time.perf_counter() - start


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def measure(case: Case, device: str, rounds: int) -> tuple[float, float, float]:
    """Median seconds of a training step, of one look, and of a diagnosis with five steps."""
    _, model, (inputs, targets) = case
    model.to(device)
    batch = inputs.to(device), targets.to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
        optimizer.step()

    # Several steps at once: a single one of a small model is shorter than the clock's noise.
    works: list[tuple[Callable[[], object], int]] = [
        (lambda: [step() for _ in range(10)], 10),
        (lambda: look(model, batch), 1),
        (lambda: diagnose(model, batch), 1),
    ]
    for function, _ in works:
        function()
    times = [[timed(function, device) / n for function, n in works] for _ in range(rounds)]
    step_time, look_time, whole = (statistics.median(column) for column in zip(*times, strict=True))
    return step_time, look_time, whole


def show_diagnosis(device: str, rounds: int) -> None:
    print(f"| on {device} | training step | one look | in steps | diagnosis (5 steps) | in steps |")
    print("|---|---|---|---|---|---|")
    for make in (mlp, residual, transformer):
        torch.manual_seed(0)
        case = make()
        step, one, whole = measure(case, device, rounds)
        print(
            f"| {case[0]} | {1e3 * step:.1f} ms | {1e3 * one:.1f} ms | {one / step:.1f} "
            f"| {1e3 * whole:.0f} ms | {whole / step:.1f} |",
            flush=True,
        )


def show_unused(rounds: int) -> None:
    """A test that does not use the fixture, with the plugin and without it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_nothing.py").write_text("def test_nothing():\n    pass\n")
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        # Other plugins take longer than this one, and vary by more.
        others = ["no:cacheprovider", "no:hypothesispytest", "no:xdist"]
        command = [sys.executable, "-m", "pytest", "-q", *(f"-p{name}" for name in others)]

        def run(*more: str) -> None:
            subprocess.run([*command, *more], cwd=folder, check=True, capture_output=True)

        sides = {"without": ("-p", "no:initcheck"), "with": ()}
        times: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(2 + 6 * rounds):
            for name, more in sides.items():
                times[name].append(timed(lambda more=more: run(*more), "cpu"))
    medians = {name: statistics.median(values[2:]) for name, values in times.items()}
    print("\n| a pytest run that does not use the plugin | |\n|---|---|")
    for name, value in medians.items():
        print(f"| {name} the plugin | {1e3 * value:.0f} ms |")
    print(f"| difference | {1e3 * (medians['with'] - medians['without']):.0f} ms |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s)\n")
    show_diagnosis(arguments.device, arguments.rounds)
    show_unused(arguments.rounds)


if __name__ == "__main__":
    main()
