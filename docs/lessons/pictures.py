"""Draws the lessons' pictures beside it: ``python docs/lessons/pictures.py [NAME]``.

They are those of `suites/`, which assert what the lessons tell: the same models, data and seeds.
Takes a minute on one core. Needs pillow.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from pytest_initcheck import escape, run, sweep  # noqa: E402
from suites import test_initialisation as first_weights  # noqa: E402
from suites import test_momentum as momentum  # noqa: E402
from suites import test_rbm_dbn as machines  # noqa: E402
from suites import test_sigma as sigma  # noqa: E402
from suites import test_symmetry as symmetry  # noqa: E402

DOTS, COLOURS = 90, 64
WIDEST = 10.0  # inches: what is wider would be shrunk in the page, its words with it
Pictures = Iterator[tuple[str, Figure]]


def identical_weights() -> Pictures:
    """What one unit twice can draw, and what two units can; the two units against each other."""
    starts = [symmetry.identical(), *map(symmetry.default, symmetry.SEEDS)]
    training = symmetry.train(np.stack([symmetry.as_row(net) for net in starts]))
    for start, name in ((0, "identical"), (1, "default")):
        yield f"{name}-fit", symmetry.fit_picture(training, 0, start)
        yield f"{name}-units", symmetry.units_picture(training, 0, start)
    yield "cost", symmetry.cost_picture(training.costs[:, 0], "BCE")


def first() -> Pictures:
    """Four rules on MNIST, the first machine's recreations, and a DBN against Xavier."""
    rules = {
        "Xavier": first_weights.xavier,
        "He": first_weights.he,
        "N(0, 1)": first_weights.standard_normal,
        "zero": first_weights.zero,
    }
    trained = first_weights.experiment(None, epochs=3, digits=2000)
    yield "rules", first_weights.curves_picture(sweep(trained, starts=rules, seeds=8))
    starts = {"DBN": machines.deep_belief, "Xavier": machines.xavier}
    records = {name: run(machines.fine_tuning(start), seeds=4) for name, start in starts.items()}
    yield "dbn", machines.accuracy_picture(records)
    yield "recreations", machines.recreations_picture(_recreations())


def _recreations() -> list[tuple[str, np.ndarray]]:
    shown: list[tuple[str, np.ndarray]] = []

    def measure(model: machines.RBM, moment: str) -> dict[str, float]:
        with torch.no_grad():
            shown.append((moment, model.recreate(machines.HELD_OUT[:10]).numpy()))
            return {"reconstruction error": machines.error(model, machines.HELD_OUT)}

    run(machines.contrastive_divergence(64, machines.DIGITS, epochs=5, measure=measure), seeds=1)
    return shown


def momenta() -> Pictures:
    """The saddle of w³, the minima of a quartic, and noise on its gradient."""
    for value in (0.0, 0.9):
        optimizer = momentum.sgd(0.01, value)
        found = escape(momentum.cubic, 4.0, optimizer, 10, reached=momentum.past_the_saddle)
        yield f"saddle-{value:g}", found.plot(span=(-5, 4))
        optimizer = momentum.sgd(0.001, value)
        found = escape(momentum.quartic, 6.0, optimizer, 100, reached=momentum.past_the_ridge)
        yield f"minimum-{value:g}", found.plot(span=(-4, 6))
    noisy = escape(
        momentum.quartic, 6.0, optimizer, 100, noise=100, seeds=momentum.SEEDS,
        reached=momentum.past_the_ridge,
    )  # fmt: skip
    yield "noise", noisy.plot(span=(-4, 6))


def sigmas() -> Pictures:
    """Accuracy, weights, outputs and gradients of each of the five cases."""
    for case in sigma.CASES:
        yield case.replace(" ", "-"), sigma.picture(case, *sigma.trained(case))


LESSONS: dict[str, Callable[[], Pictures]] = {
    "identical-weights": identical_weights,
    "first-weights": first,
    "momentum": momenta,
    "sigma": sigmas,
}


def save(name: str, figure: Figure) -> None:
    """A PNG of few colours: lines and text need no more."""
    width, height = figure.get_size_inches()
    figure.set_size_inches(min(width, WIDEST), height)
    drawn = BytesIO()
    figure.savefig(drawn, dpi=DOTS)
    path = HERE / f"{name}.png"
    with Image.open(drawn) as picture:
        few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KB")


def main() -> None:
    for lesson in sys.argv[1:] or LESSONS:
        for name, figure in LESSONS[lesson]():
            save(f"{lesson}-{name}", figure)


if __name__ == "__main__":
    main()
