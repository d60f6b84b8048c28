"""torchtest2: eighteen checks on one batch."""

from __future__ import annotations

from rivals_causes import DOMAIN, LARGE, STEP
from rivals_problem import Problem, Whole

from rivals_adapters import Flag, Rival


def check_model(problem: Problem) -> list[Flag]:
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


RIVAL = Rival(
    name="torchtest2",
    commands={"check_model": check_model},
    words=[
        (r"output_finite|loss: the loss is (nan|-?inf)", {"non-finite"}),
        (r"loss: .*(not connected|is a leaf tensor)", {"no gradient"}),
        (r"output_varies", {"vanishing", "same output", "unread input", "broadcast"}),
        (r"initial_loss: .*low", {"answer in the input"}),
        (r"initial_loss: .*larger", {"initial loss", "input scale", LARGE}),
        (r"optimizer_coverage", {"not moved", "other tensors"}),
        (r"gradient_flow: .*get no gradient", {"no gradient", "unread layer", "cut term"}),
        (r"gradient_flow: .*all-zero", {"no gradient", "dead units", "zero weights"}),
        (r"gradient_magnitude: NaN/inf", DOMAIN),
        (r"gradient_magnitude: exploding", {"exploding", "learning rate", "input scale", LARGE}),
        (r"params_change: .*exactly zero gradient", {"no gradient"}),
        (r"params_change: .*vanishing", {"vanishing"}),
        (r"params_change: .*did not change after", {"not moved"}),
        (r"overfit_batch: .*did not decrease", STEP | {"batch not fitted"}),
        (r"overfit_batch: .*targets match outputs", {"broadcast", "mispaired targets"}),
        (r"overfit_batch: .*targets match outputs", {"targets out of reach"}),
        (r"overfit_batch: .*the loss became", {"learning rate", "non-finite"}),
        (r"overfit_batch: .*gradients became NaN", {"non-finite"}),
        (r"overfit_batch: .*capacity", {"batch not fitted"}),
        (r"input_dependency", {"unread input"}),
        (r"batch_independence", {"leaking samples"}),
        (r"eval_determinism|: raised|: model", set()),
    ],
)
