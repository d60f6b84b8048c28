"""torchmortem: detectors that watch a run."""

from __future__ import annotations

from rivals_problem import Problem

from rivals_adapters import Flag, Rival, evaluated, stepped

# It judges the second half of a run; of 5, 10, 20 and 50 steps, 20 suited it best.
LONG = 20


def autopsy(problem: Problem) -> list[Flag]:
    from torchmortem import Autopsy, Severity

    optimizer = problem.made_or_adam()
    with Autopsy(problem.model, optimizer=optimizer) as report:
        for _ in range(LONG):
            loss = evaluated(problem, optimizer)
            stepped(problem, optimizer)
            report.step(loss=loss.item())
    levels = {Severity.CRITICAL: "fail", Severity.WARNING: "warn"}
    findings = [f for f in report.get_report().findings if f.severity in levels]
    return [Flag(f.title, levels[f.severity], f.summary) for f in findings]


RIVAL = Rival(
    name="torchmortem",
    commands={"Autopsy": autopsy},
    words=[
        (r"Dead units", {"dead units"}),
        (r"Activation saturation", {"saturation"}),
        (r"Vanishing gradients", {"vanishing"}),
        (r"Gradient stalling", {"vanishing", "no gradient", "stuck after the steps"}),
        (r"Exploding gradients", {"exploding"}),
        (r"Rank collapse", {"vanishing", "same output"}),
        (r"Training divergence|Update ratio too high", {"learning rate"}),
        (r"Update ratio too low|Stagnant weight norms", {"not moved"}),
        (r"Weight norm explosion", {"exploding"}),
        (r"Loss plateau|High gradient noise|weight norm imbalance", set()),
    ],
)
