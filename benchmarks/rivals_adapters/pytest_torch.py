"""pytest-torch: assertions on gradients, falling losses and batches."""

from __future__ import annotations

from typing import Any

from rivals_causes import DOMAIN, STEP
from rivals_problem import Problem
from torch import Tensor

from rivals_adapters import Command, Flag, Rival


def assertion(name: str, *, trains: bool = False) -> Command:
    """An assertion of pytest-torch; those that train take the case's optimiser or their own."""

    def command(problem: Problem) -> list[Flag]:
        import pytest_torch

        asserts = getattr(pytest_torch, f"assert_{name}")
        options = {"optimizer": problem.optimizer and problem.made_for_copy} if trains else {}
        try:
            asserts(problem.model, problem.inputs, problem.loss, **options)
        except AssertionError as error:
            return [Flag(name, "fail", str(error))]
        return []

    return command


def batch_invariant(problem: Problem) -> list[Flag]:
    import pytest_torch

    # As documented, in eval mode.
    try:
        pytest_torch.assert_batch_invariant(problem.model.eval(), problem.inputs)
    except AssertionError as error:
        return [Flag("batch_invariant", "fail", str(error))]
    except ValueError as error:
        # Its word for outputs that have no row for each sample.
        if not str(error).startswith("assert_batch_invariant"):
            raise
    return []


def run_training(problem: Problem) -> list[Flag]:
    import pytest_torch

    setup = problem.model, problem.made_or_adam()

    def loss(model: Any, batch: Any) -> Tensor:
        return problem.loss(problem.output())

    try:
        pytest_torch.run_training(lambda: setup, problem.inputs, loss_fn=loss).assert_healthy()
    except AssertionError as error:
        return [Flag("healthy_run", "fail", str(error))]
    return []


RIVAL = Rival(
    name="pytest-torch",
    commands={
        "assert_gradients_finite": assertion("gradients_finite"),
        "assert_all_params_receive_grad": assertion("all_params_receive_grad"),
        "assert_loss_decreases": assertion("loss_decreases", trains=True),
        "assert_overfits_one_batch": assertion("overfits_one_batch", trains=True),
        "assert_batch_invariant": batch_invariant,
        "run_training": run_training,
    },
    words=[
        (r"gradients_finite", DOMAIN),
        (r"all_params_receive_grad", {"no gradient", "unread layer", "cut term"}),
        (r"loss_decreases", STEP | {"unbounded loss", "batch not fitted"}),
        (r"overfits_one_batch", {"no gradient", "unread layer", "not moved", "batch not fitted"}),
        (r"overfits_one_batch", {"mispaired targets", "dropout", "against the loss"}),
        (r"batch_invariant: .*results differ", {"leaking samples"}),
        (r"batch_invariant: .*fails on a single sample", {"leaking samples"}),
        (r"healthy_run: Optimizer coverage", {"not moved", "other tensors"}),
        (r"healthy_run: Training produced non-finite", DOMAIN | {"learning rate"}),
        (r"healthy_run: .*parameter is not finite", {"NaN of the optimiser"}),
        (r"healthy_run: .*did not update", {"not moved", "no gradient", "other tensors"}),
        (r"healthy_run: .*did not update", {"stuck after the steps"}),
    ],
)
