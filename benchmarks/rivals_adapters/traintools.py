"""traintools: the batch, the gradients and the plasticity of a run."""

from __future__ import annotations

from rivals_problem import Problem
from torch import Tensor
from torch.nn import functional

from rivals_adapters import Flag, Rival, trained


def batch(problem: Problem) -> list[Flag]:
    import traintools

    inputs, labels, classes = problem.inputs, problem.targets, None
    if problem.loss_fn is functional.cross_entropy:
        classes = problem.output().shape[1]
    # It takes floating targets for one-hot labels, so they are passed as data.
    if isinstance(labels, Tensor) and labels.is_floating_point():
        inputs, labels = (inputs, labels), None
    report = traintools.BatchInspector(expected_num_classes=classes).inspect(inputs, labels)
    return [Flag("batch", "fail", text) for text in report.warnings]


def gradients(problem: Problem) -> list[Flag]:
    import traintools

    monitor, found = traintools.GradientHealthMonitor(), []
    for step, (_, lr) in enumerate(trained(problem)):
        found += monitor.inspect(problem.model, step=step, lr=lr).warnings
    return [Flag("gradients", "fail", text) for text in found]


def plasticity(problem: Problem) -> list[Flag]:
    import traintools

    probe = traintools.PlasticityProbe(problem.model)
    for _ in trained(problem):
        pass
    critical = [layer for layer in probe.measure().layers if layer.is_critical()]
    return [Flag("plasticity", "fail", str(layer)) for layer in critical]


RIVAL = Rival(
    name="traintools",
    commands={
        "BatchInspector": batch,
        "GradientHealthMonitor": gradients,
        "PlasticityProbe": plasticity,
    },
    words=[
        (r"batch: .*non-finite", {"non-finite"}),
        (r"batch: inputs.* exceeds", {"input scale"}),
        (r"batch: targets.* exceeds", {"target scale"}),
        (r"batch: .*(constant|dominant)", {"nothing to learn", "same output"}),
        (r"batch: .*(outside|empty)", set()),
        (r"gradients: .*non-finite", {"non-finite"}),
        (r"gradients: .*vanished", {"vanishing", "no gradient", "stuck after the steps"}),
        (r"gradients: .*very large", {"exploding"}),
        (r"gradients: .*ratio is high", {"learning rate"}),
        (r"gradients: .*ratio is tiny", {"not moved"}),
        (r"gradients: no gradients", {"no gradient"}),
        (r"plasticity: .*DORMANT", {"dead units"}),
        (r"plasticity: .*rank-collapsed", {"symmetry", "vanishing", "same output"}),
        (r"plasticity", set()),
    ],
)
