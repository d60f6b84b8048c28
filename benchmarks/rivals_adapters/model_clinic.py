"""model-clinic: rules on a state dict, and a monitor of a run."""

from __future__ import annotations

from rivals_causes import LARGE
from rivals_problem import Problem

from rivals_adapters import Flag, Rival, trained

CLINIC = {"ERROR": "fail", "WARN": "warn"}


def static(problem: Problem) -> list[Flag]:
    import model_clinic

    return [
        Flag(f.condition, CLINIC[f.severity], f"{f.param_name}: {f.details}")
        for f in model_clinic.diagnose(problem.model.state_dict())
        if f.severity in CLINIC
    ]


def monitor(problem: Problem) -> list[Flag]:
    import model_clinic

    watch = model_clinic.ClinicMonitor(problem.model, log_every=1)
    for step, (loss, _) in enumerate(trained(problem)):
        watch.step(step, loss=loss)
    return [Flag(a.condition, CLINIC[a.severity], a.message) for a in watch.alerts()]


RIVAL = Rival(
    name="model-clinic",
    commands={"diagnose": static, "ClinicMonitor": monitor},
    words=[
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
)
