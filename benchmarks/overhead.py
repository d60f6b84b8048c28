"""What the plugin costs: looks and a diagnosis in training steps, an unused plugin in ms.

    python benchmarks/overhead.py [--device cuda] [--rounds 9] [--only mlp] [--json FILE]
    python benchmarks/overhead.py --against benchmarks/ratios.json

Prints Markdown tables: medians, with the quartiles in brackets. A step is forward, backward and
SGD; a step under a look is the same with a look that a diagnosis takes between its steps, a full
look that of `look`, and a diagnosis takes five steps. On the CPU these are seconds of the
processor, in one thread.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from timing import Times, add_options, finish, quartiles, ratios, take_turns
from torch import Tensor, nn
from torchvision.models import resnet18, vit_b_16

from pytest_initcheck import diagnose
from pytest_initcheck.capture import look
from pytest_initcheck.capture.program import Program
from pytest_initcheck.capture.snapshot import SnapshotTaker

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


class Loop(nn.Module):
    """Twice as many small operators between two layers as it takes turns."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.turns, self.first, self.last = turns, nn.Linear(8, 8), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for _ in range(self.turns):
            x = x * 0.999 + 0.001
        return self.last(x)


def operators() -> Case:
    return "loop of 5,000 operators, batch 16", Loop(2500), (torch.randn(16, 8), labels(16))


def vision_transformer() -> Case:
    return "ViT-B/16, batch 4", vit_b_16(), (torch.randn(4, 3, 224, 224), labels(4))


def labels(count: int) -> torch.Tensor:
    return torch.randint(0, 10, (count,))


def measure(case: Case, device: str, rounds: int) -> Times:
    """Seconds of a training step, of one under a look, of a full look and of a diagnosis."""
    _, model, (inputs, targets) = case
    model.to(device)
    batch = inputs.to(device), targets.to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    taker = SnapshotTaker(Program(model, batch))
    taker.take(0)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
        optimizer.step()

    def looked() -> None:
        taker.take(1, full=False)
        optimizer.step()

    return take_turns(
        {
            "step": (lambda: [step() for _ in range(5)], 5),
            "under": (lambda: [looked() for _ in range(3)], 3),
            "look": (lambda: look(model, batch), 1),
            "diagnosis": (lambda: diagnose(model, batch), 1),
        },
        rounds,
        device,
    )


def show_diagnosis(device: str, rounds: int, only: str) -> dict[str, float]:
    """Print the table; the ratios by name."""
    print(f"| on {device} | training step | a step under a look, in steps | a full look | "
          "diagnosis (5 steps), in steps | over 8 steps |")  # fmt: skip
    print("|---|---|---|---|---|---|")
    found: dict[str, float] = {}
    for make in (mlp, residual, transformer, operators, vision_transformer):
        if not make.__name__.startswith(only):
            continue
        torch.manual_seed(0)
        case = make()
        times = measure(case, device, rounds)
        parts = {name: ratios(times, name, "step") for name in ("under", "look", "diagnosis")}
        found |= {f"{make.__name__}, {name}": values[1] for name, values in parts.items()}
        step = quartiles(times["step"])[1]
        rest = [d - 8 * s for d, s in zip(times["diagnosis"], times["step"], strict=True)]
        cells = " | ".join(f"{m:.3g} ({low:.3g} to {high:.3g})" for low, m, high in parts.values())
        print(f"| {case[0]} | {1e3 * step:.1f} ms | {cells} | {1e3 * quartiles(rest)[1]:+.0f} ms |",
              flush=True)  # fmt: skip
    return found


def show_unused(rounds: int) -> None:
    """A test that does not use the fixture, with the plugin and without it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_nothing.py").write_text("def test_nothing():\n    pass\n")
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        # Other plugins take longer than this one, and vary by more.
        others = ["no:cacheprovider", "no:hypothesispytest", "no:xdist"]
        command = [sys.executable, "-m", "pytest", "-q", *(f"-p{name}" for name in others)]

        def spent(*more: str) -> tuple[float, float]:
            before, start = os.times(), time.perf_counter()
            subprocess.run([*command, *more], cwd=folder, check=True, capture_output=True)
            wall, after = time.perf_counter() - start, os.times()
            children = after.children_user + after.children_system
            return children - before.children_user - before.children_system, wall

        sides = {"without": ("-p", "no:initcheck"), "with": ()}
        for more in sides.values():
            spent(*more)
        times = [{name: spent(*more) for name, more in sides.items()} for _ in range(rounds)]
    print("\n| a pytest run that does not use the plugin | with it | without | more |")
    print("|---|---|---|---|")
    for place, kind in enumerate(("of the processor", "of the clock")):
        each = [[1e3 * pair[name][place] for pair in times] for name in ("with", "without")]
        each.append([a - b for a, b in zip(*each, strict=True)])
        cells = " | ".join(
            f"{m:.0f} ({low:.0f} to {high:.0f}) ms" for low, m, high in map(quartiles, each)
        )
        print(f"| {kind} | {cells} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--unused", type=int, default=60, help="pairs of runs, 0 for none")
    parser.add_argument("--only", default="", help="models whose name begins so")
    add_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s)\n")
    found = show_diagnosis(options.device, options.rounds, options.only)
    if options.unused:
        show_unused(options.unused)
    return finish(found, options)


if __name__ == "__main__":
    sys.exit(main())
