"""How each tool is asked: its commands, called as documented, each on a fresh problem."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from rivals_problem import Problem, Whole
from torch import Tensor
from torch.nn import functional


class Flag(NamedTuple):
    """One thing that a tool said: its rule, "fail" or "warn", its words."""

    rule: str
    level: str
    text: str


# Given a problem (pytest-initcheck: the start itself); returns what was flagged.
Command = Callable[[Any], list[Flag]]
# Steps of training for the tools that watch one; as many as pytest-initcheck takes by default.
STEPS = 5
# torchmortem judges the second half of a run; of 5, 10, 20 and 50 steps, 20 suited it best.
LONG = 20


def trained(problem: Problem, steps: int = STEPS) -> Iterator[tuple[float, float]]:
    """Plain training on the batch: loss and learning rate between backward and the step."""
    optimizer = problem.made_or_adam()
    for _ in range(steps):
        yield evaluated(problem, optimizer).item(), optimizer.param_groups[0]["lr"]
        stepped(problem, optimizer)


def evaluated(problem: Problem, optimizer: torch.optim.Optimizer) -> Tensor:
    """The loss, with its gradients."""
    optimizer.zero_grad()
    loss = problem.loss(problem.output())
    loss.backward()
    return loss


def stepped(problem: Problem, optimizer: torch.optim.Optimizer) -> None:
    """A step; LBFGS evaluates the loss itself."""
    if isinstance(optimizer, torch.optim.LBFGS):
        optimizer.step(lambda: evaluated(problem, optimizer))
    else:
        optimizer.step()


def printed(command: Callable[..., Any], *arguments: Any) -> tuple[Any, list[str]]:
    """What a command returns, and the bullets that it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        result = command(*arguments)
    lines = [line.strip() for line in out.getvalue().splitlines()]
    return result, [line[2:] for line in lines if line.startswith("• ")]


def initcheck(start: Any) -> list[Flag]:
    from pytest_initcheck import diagnose

    levels = {"error": "fail", "warning": "warn"}
    findings = diagnose(start.model, start.batch, **start.options).findings
    return [Flag(f.id, levels[f.severity], str(f)) for f in findings if f.severity in levels]


def torchtest2(problem: Problem) -> list[Flag]:
    import torchtest2

    report = torchtest2.check_model(
        problem.model,
        problem.inputs,
        problem.targets,
        loss_fn=problem.loss_fn,
        optimizer=problem.made(),
        # A batch that is passed whole may hold what this loss has no use for.
        skip=["input_dependency"] if isinstance(problem.model, Whole) else [],
    )
    fails = [Flag(r.name, "fail", r.message) for r in report.failures]
    return fails + [Flag(r.name, "warn", r.message) for r in report.warnings]


def pytest_torch(name: str, *, trains: bool = False) -> Command:
    """An assertion of pytest-torch; those that train take the case's optimiser or their own."""

    def command(problem: Problem) -> list[Flag]:
        import pytest_torch

        assertion = getattr(pytest_torch, f"assert_{name}")
        options = {"optimizer": problem.optimizer and problem.made_for_copy} if trains else {}
        try:
            assertion(problem.model, problem.inputs, problem.loss, **options)
        except AssertionError as error:
            return [Flag(name, "fail", str(error))]
        return []

    return command


def pytest_torch_batch(problem: Problem) -> list[Flag]:
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


def pytest_torch_run(problem: Problem) -> list[Flag]:
    import pytest_torch

    setup = problem.model, problem.made_or_adam()

    def loss(model: Any, batch: Any) -> Tensor:
        return problem.loss(problem.output())

    try:
        pytest_torch.run_training(lambda: setup, problem.inputs, loss_fn=loss).assert_healthy()
    except AssertionError as error:
        return [Flag("healthy_run", "fail", str(error))]
    return []


def torchdiag_dead(problem: Problem) -> list[Flag]:
    import torchdiag

    layers, _ = printed(torchdiag.check_dead_neurons, *problem.single())
    shares = {name: layer["dead_pct"] for name, layer in layers.items()}
    # Its own limits: above 50 % it prints CRITICAL, above 20 % WARNING.
    return [
        Flag("dead_neurons", "fail" if share > 50 else "warn", f"{name}: {share:.0f}% dead")
        for name, share in shares.items()
        if share > 20
    ]


def torchdiag_gradients(problem: Problem) -> list[Flag]:
    import torchdiag

    problem.loss(problem.output()).backward()
    layers, _ = printed(torchdiag.check_gradients, problem.model)
    found = {name: layer["status"] for name, layer in layers.items() if layer["status"] != "OK"}
    return [Flag(f"gradients {status}", "fail", name) for name, status in found.items()]


def torchdiag_step(problem: Problem) -> list[Flag]:
    import torchdiag

    model, x = problem.single()
    arguments = model, problem.made_or_adam(), lambda output, _: problem.loss(output), x
    _, issues = printed(torchdiag.verify_step, *arguments, problem.targets)
    return [Flag("verify_step", "fail", issue) for issue in issues]


def torchmortem(problem: Problem) -> list[Flag]:
    from torchmortem import Autopsy, Severity

    optimizer = problem.made_or_adam()
    with Autopsy(problem.model, optimizer=optimizer) as autopsy:
        for _ in range(LONG):
            loss = evaluated(problem, optimizer)
            stepped(problem, optimizer)
            autopsy.step(loss=loss.item())
    levels = {Severity.CRITICAL: "fail", Severity.WARNING: "warn"}
    findings = [f for f in autopsy.get_report().findings if f.severity in levels]
    return [Flag(f.title, levels[f.severity], f.summary) for f in findings]


def traintools_batch(problem: Problem) -> list[Flag]:
    import traintools

    inputs, labels, classes = problem.inputs, problem.targets, None
    if problem.loss_fn is functional.cross_entropy:
        classes = problem.output().shape[1]
    # It takes floating targets for one-hot labels, so they are passed as data.
    if isinstance(labels, Tensor) and labels.is_floating_point():
        inputs, labels = (inputs, labels), None
    report = traintools.BatchInspector(expected_num_classes=classes).inspect(inputs, labels)
    return [Flag("batch", "fail", text) for text in report.warnings]


def traintools_gradients(problem: Problem) -> list[Flag]:
    import traintools

    monitor, found = traintools.GradientHealthMonitor(), []
    for step, (_, lr) in enumerate(trained(problem)):
        found += monitor.inspect(problem.model, step=step, lr=lr).warnings
    return [Flag("gradients", "fail", text) for text in found]


def traintools_plasticity(problem: Problem) -> list[Flag]:
    import traintools

    probe = traintools.PlasticityProbe(problem.model)
    for _ in trained(problem):
        pass
    critical = [layer for layer in probe.measure().layers if layer.is_critical()]
    return [Flag("plasticity", "fail", str(layer)) for layer in critical]


CLINIC = {"ERROR": "fail", "WARN": "warn"}


def model_clinic_static(problem: Problem) -> list[Flag]:
    import model_clinic

    return [
        Flag(f.condition, CLINIC[f.severity], f"{f.param_name}: {f.details}")
        for f in model_clinic.diagnose(problem.model.state_dict())
        if f.severity in CLINIC
    ]


def model_clinic_monitor(problem: Problem) -> list[Flag]:
    import model_clinic

    monitor = model_clinic.ClinicMonitor(problem.model, log_every=1)
    for step, (loss, _) in enumerate(trained(problem)):
        monitor.step(step, loss=loss)
    return [Flag(a.condition, CLINIC[a.severity], a.message) for a in monitor.alerts()]


OWN = "pytest-initcheck"
# By the name that a package index knows a tool by.
ADAPTERS: dict[str, dict[str, Command]] = {
    OWN: {"diagnose": initcheck},
    "torchtest2": {"check_model": torchtest2},
    "pytest-torch": {
        "assert_gradients_finite": pytest_torch("gradients_finite"),
        "assert_all_params_receive_grad": pytest_torch("all_params_receive_grad"),
        "assert_loss_decreases": pytest_torch("loss_decreases", trains=True),
        "assert_overfits_one_batch": pytest_torch("overfits_one_batch", trains=True),
        "assert_batch_invariant": pytest_torch_batch,
        "run_training": pytest_torch_run,
    },
    "torchdiag": {
        "check_dead_neurons": torchdiag_dead,
        "check_gradients": torchdiag_gradients,
        "verify_step": torchdiag_step,
    },
    "torchmortem": {"Autopsy": torchmortem},
    "traintools": {
        "BatchInspector": traintools_batch,
        "GradientHealthMonitor": traintools_gradients,
        "PlasticityProbe": traintools_plasticity,
    },
    "model-clinic": {"diagnose": model_clinic_static, "ClinicMonitor": model_clinic_monitor},
}
