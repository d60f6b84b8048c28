"""What a critical point costs: seconds and memory over the number of parameters.

Run on a quiet machine: ``python benchmarks/curvature.py [--device cuda] [--sizes 5 6 7]``. Prints a
Markdown table; nothing is asserted. Each row runs in a process of its own, so that its peak memory
is its own; "beside the model" is what the peak adds to that of a training step.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import torch
from torch import nn

from pytest_initcheck.curvature import critical_point

BATCH = 32


def model(kind: str, size: int) -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    """About ``size`` parameters, and a batch of 32."""
    torch.manual_seed(0)
    labels = torch.randint(0, 10, (BATCH,))
    if kind == "MLP":
        width = int((size / 2) ** 0.5)
        layers = [nn.Linear(784, width), nn.Tanh()]
        for _ in range(2):
            layers += [nn.Linear(width, width), nn.Tanh()]
        return nn.Sequential(*layers, nn.Linear(width, 10)), (torch.randn(BATCH, 784), labels)
    width = 8 * max(int((size / 24) ** 0.5) // 8, 1)
    layer = nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True)
    inputs = torch.randn(BATCH, 16, width)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    head = nn.Sequential(nn.Flatten(), nn.Linear(16 * width, 10))
    return nn.Sequential(encoder, head), (inputs, labels)


def peak(device: str) -> float:
    """GB, of the process or of the GPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def row(kind: str, power: float, device: str) -> dict[str, object]:
    """One measurement, in this process."""
    net, batch = model(kind, int(10**power))
    net.to(device)
    batch = tuple(tensor.to(device) for tensor in batch)
    before = []
    for _ in range(3):
        start = time.perf_counter()
        nn.functional.cross_entropy(net(batch[0]), batch[1]).backward()
        if device == "cuda":
            torch.cuda.synchronize()
        before.append(time.perf_counter() - start)
    base, start = peak(device), time.perf_counter()
    point = critical_point(net, batch)
    seconds = time.perf_counter() - start
    return {
        "kind": kind,
        "parameters": point.parameters,
        "products": point.steps,
        "seconds": seconds,
        "steps": seconds / min(before),
        "memory": peak(device) - base,
        "smallest": str(point.smallest),
        "largest": str(point.largest),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", type=float, nargs="+", default=[4, 5, 6, 7], help="powers of 10")
    parser.add_argument("--row", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        print(json.dumps(row(options.row[0], float(options.row[1]), options.device)))
        return
    print("| model | parameters | products | seconds | in training steps | GB beside | extremes |")
    print("|---|---|---|---|---|---|---|")
    for kind in ("MLP", "transformer"):
        for size in options.sizes:
            command = [sys.executable, __file__, "--device", options.device, "--row", kind]
            done = subprocess.run([*command, str(size)], capture_output=True, text=True, check=True)
            r = json.loads(done.stdout)
            print(
                f"| {kind} | {r['parameters']:,} | {r['products']} | {r['seconds']:.1f} "
                f"| {r['steps']:.0f} | {r['memory']:.2f} | {r['smallest']} to {r['largest']} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
