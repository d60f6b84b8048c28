"""Which causes the words of each tool name, in one vocabulary for all.

Generous to every tool alike: a cause counts as named when any finding on the start says it, be it
as one possibility among several; what is only a consequence of the cause does not count.
"""

from __future__ import annotations

import re

# Where weights drawn too large are what brings a cause about, saying so names it just as well.
LARGE = "large weights"
# The causes of the corpus by the ids in docs/checks.md; an id that is missing stands for itself.
OF_ID = {
    "IC101": {"zero weights"},
    "IC102": {"zero gain"},
    "IC103": {"overwritten weights"},
    "IC104": {"uninitialised memory"},
    "IC105": {"padding row"},
    "IC106": {"fan"},
    "IC107": {"normalisation over one value"},
    "IC108": {"dropout"},
    "IC109": {"batch changed in place"},
    "IC201": {"symmetry"},
    "IC202": {"symmetry"},
    "IC203": {"copies"},
    "IC204": {"copies"},
    "IC301": {"dead units"},
    "IC302": {"dead units"},
    "IC303": {"saturation", LARGE},
    "IC304": {"rectified output"},
    "IC305": {"saturation", LARGE},
    "IC306": {"softmax over one unit"},
    "IC307": {"linear model"},
    "IC401": {"no gradient"},
    "IC402": {"vanishing"},
    "IC403": {"vanishing"},
    "IC404": {"exploding", LARGE},
    "IC405": {"exploding", LARGE},
    "IC501": {"non-finite"},
    "IC502": {"non-finite"},
    "IC503": {"non-finite"},
    "IC504": {"non-finite"},
    "IC601": {"not moved"},
    "IC602": {"not moved"},
    "IC603": {"learning rate"},
    "IC604": {"unread layer"},
    "IC701": {"input scale"},
    "IC702": {"target scale"},
    "IC703": {"initial loss", LARGE},
    "IC704": {"summed loss"},
    "IC801": {"squashed twice"},
    "IC802": {"targets out of reach"},
    "IC803": {"unbounded loss"},
    "IC804": {"outside the loss's domain"},
    "IC805": {"leaking samples"},
    "IC806": {"sees the future"},
    "IC807": {"unread input"},
    "IC808": {"NaN of the optimiser"},
    "IC809": {"other tensors"},
    "IC810": {"stuck after the steps"},
    "IC811": {"broadcast"},
    "IC812": {"nothing to learn"},
    "IC813": {"answer in the input"},
    "IC814": {"same output"},
    "IC815": {"against the loss"},
    "IC816": {"mispaired targets"},
    "IC817": {"unread targets"},
    "IC818": {"cut term"},
    "IC819": {"axes mixed up"},
    "IC820": {"batch not fitted"},
    "IC821": {"wrong sign"},
    "IC822": {"collapsed code"},
}
# "Check the learning rate and the optimiser": whatever may be wrong about them.
STEP = {"learning rate", "not moved", "other tensors", "against the loss"}
# "Logarithm or root of zero": where a clamp hides that it leaves its domain, too.
DOMAIN = {"non-finite", "outside the loss's domain"}

# Per rival: a pattern that "rule: text" must match, and the causes that such a finding names.
OF_WORDS: dict[str, list[tuple[str, set[str]]]] = {
    "torchtest2": [
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
    "pytest-torch": [
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
    "torchdiag": [
        (r"dead_neurons", {"dead units"}),
        (r"gradients NO_GRAD|gradients no_grad|verify_step: None", {"no gradient"}),
        (r"gradients VANISH", {"vanishing", "no gradient"}),
        (r"gradients EXPLODE", {"exploding"}),
        (r"verify_step: Loss", {"non-finite"}),
        (r"verify_step: No parameters changed", {"not moved"}),
    ],
    "torchmortem": [
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
    "traintools": [
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
    "model-clinic": [
        (r"nan_inf|activation_(nan|inf)", {"non-finite"}),
        (r"dead_neurons|neuron_death", {"dead units", "zero weights"}),
        (r"vanishing_norm", {"zero weights", "uninitialised memory"}),
        (r"weight_corruption: .*all_zeros", {"zero weights"}),
        (r"identical_rows|weight_corruption: .*constant_value|token_collapse", {"symmetry"}),
        (r"token_merging", {"symmetry"}),
        (r"norm_drift", {"zero gain"}),
        (r"gradient_explosion", {"exploding"}),
        (r"exploding_norm", {LARGE, "uninitialised memory"}),
        (r"gradient_vanishing", {"vanishing", "no gradient", "stuck after the steps"}),
        (r"layer_collapse", {"vanishing", "dead units", "same output"}),
        (r"loss_spike|weight_divergence", {"learning rate"}),
        (r"majority_same_value|saturated_weights|dtype_mismatch|heavy_tails", set()),
        (r"layer_isolation|causal_outlier|representation_drift|gradient_noise", set()),
        (r"quantization_degradation|positional_encoding_issues|model_aging", set()),
        (r"stuck_gate|attention_imbalance|head_redundancy|lora_merge|moe_router", set()),
    ],
}


def expected(ids: list[str]) -> set[str]:
    """The causes that a case accepts."""
    return set().union(*(OF_ID.get(one, {one}) for one in ids))


def main_cause(ids: list[str]) -> str:
    """The first cause that a case accepts and that there are words for."""
    known = [one for one in ids if one in OF_ID]
    return min(OF_ID[known[0]] - {LARGE}) if known else ids[0]


def named(tool: str, flags: list[list[str]]) -> set[str]:
    """All causes that the findings on a start name."""
    return set().union(*(_of_flag(tool, rule, text) for rule, _, text in flags))


def _of_flag(tool: str, rule: str, text: str) -> set[str]:
    if tool not in OF_WORDS:
        return OF_ID.get(rule, {rule})
    found = [causes for pattern, causes in OF_WORDS[tool] if _says(pattern, rule, text)]
    return set().union(*found)


def unmapped(tool: str, flags: list[list[str]]) -> list[str]:
    """Findings that no pattern knows, so that none is overlooked."""
    if tool not in OF_WORDS:
        return []
    return [
        f"{rule}: {text}"
        for rule, _, text in flags
        if not any(_says(pattern, rule, text) for pattern, _ in OF_WORDS[tool])
    ]


def _says(pattern: str, rule: str, text: str) -> bool:
    return re.search(pattern, f"{rule}: {text}", re.DOTALL) is not None
