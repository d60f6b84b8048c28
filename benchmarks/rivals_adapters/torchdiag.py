"""torchdiag: dead neurons, gradients and one step, printed."""

from __future__ import annotations

from rivals_problem import Problem

from rivals_adapters import Flag, Rival, printed


def dead(problem: Problem) -> list[Flag]:
    import torchdiag

    layers, _ = printed(torchdiag.check_dead_neurons, *problem.single())
    shares = {name: layer["dead_pct"] for name, layer in layers.items()}
    # Its own limits: above 50 % it prints CRITICAL, above 20 % WARNING.
    return [
        Flag("dead_neurons", "fail" if share > 50 else "warn", f"{name}: {share:.0f}% dead")
        for name, share in shares.items()
        if share > 20
    ]


def gradients(problem: Problem) -> list[Flag]:
    import torchdiag

    problem.loss(problem.output()).backward()
    layers, _ = printed(torchdiag.check_gradients, problem.model)
    found = {name: layer["status"] for name, layer in layers.items() if layer["status"] != "OK"}
    return [Flag(f"gradients {status}", "fail", name) for name, status in found.items()]


def step(problem: Problem) -> list[Flag]:
    import torchdiag

    model, x = problem.single()
    arguments = model, problem.made_or_adam(), lambda output, _: problem.loss(output), x
    _, issues = printed(torchdiag.verify_step, *arguments, problem.targets)
    return [Flag("verify_step", "fail", issue) for issue in issues]


RIVAL = Rival(
    name="torchdiag",
    commands={"check_dead_neurons": dead, "check_gradients": gradients, "verify_step": step},
    words=[
        (r"dead_neurons", {"dead units"}),
        (r"gradients NO_GRAD|gradients no_grad|verify_step: None", {"no gradient"}),
        (r"gradients VANISH", {"vanishing", "no gradient"}),
        (r"gradients EXPLODE", {"exploding"}),
        (r"verify_step: Loss", {"non-finite"}),
        (r"verify_step: No parameters changed", {"not moved"}),
    ],
)
