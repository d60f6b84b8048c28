"""The rules of findings in a user's own training step; see `pytest_initcheck.stepping`."""

from __future__ import annotations

from pytest_initcheck.checks.prose import fraction, number, percent
from pytest_initcheck.checks.rule import Rule

# What the findings of these rules carry as check.
CHECK = "step"
_TRAINCHECK = "Jiang et al.: Training with Confidence: Catching Silent Errors (TrainCheck, 2025)"

# By so much a gradient is cut: the reference of IC855 has bounds of half to ten times its norm.
CUT_WARNING = 30.0
# Nobody can have meant it.
CUT_ERROR = 1e3
# A scale of 2^16, which GradScaler begins with, has come down to 1 when 16 steps were skipped.
MOST_SKIPS = 17
# Learning rate times decay: what takes most of a one, or a tenth, in so many steps.
PULL_WARNING = 1e-3
PULL_INFO = 1e-4
DECAY_STEPS = 1000
# Over what else moves a gain: below it the gradient outruns decay.
OUTRUN = 0.05
# Calls of each run of IC860: the second starts from what the first has left.
AGAIN = 2
# What an accelerator adds up in another order differs by roundings, which Adam turns into whole
# steps of single weights where a gradient is next to zero.
ATOMIC = 0.1


def decayed(pull: float) -> float:
    """Which part of a one decay alone takes in DECAY_STEPS steps, as ``pull`` in each."""
    return 1 - (1 - min(pull, 1.0)) ** DECAY_STEPS


LEFTOVER = Rule(
    id="IC851",
    title="gradients that are not zeroed",
    cause="the gradient that an optimiser has already used is still there when the next backward "
    "adds its own, so that every step goes along the sum of all gradients so far",
    limit="none: what a step used is gone before the next backward, or at the latest before the "
    "next step of that optimiser",
    reference=f"{_TRAINCHECK}; torch.autograd: backward adds to .grad",
    quantity="norm of the gradient that is left from the step before, over that of the backward "
    "that adds to it",
    exempt="gradients that are gathered over several backwards before one step, in one call or "
    "over many; gradients that are cleared between backward and step; what a user has changed by "
    "hand",
    remedy="call optimizer.zero_grad() once in every step, before backward or after "
    "optimizer.step(), and for every optimiser",
)
UNHELD = Rule(
    id="IC852",
    title="weights that no optimiser holds",
    cause="the weights are trainable and backward gives them a gradient, but no optimiser has "
    "them: they never move, and their gradient grows from step to step, for nobody zeroes it",
    limit="every trainable parameter with a gradient in a group of some optimiser",
    reference="torch.optim: parameters are passed to the constructor, or by add_param_group",
    quantity="trainable parameters with a gradient that are in no group",
    exempt="frozen parameters; those without a gradient, such as a teacher's under no_grad; those "
    "that the step moves by hand, such as an average of weights",
    remedy="pass every trainable parameter to the optimiser after the model is complete, and "
    "freeze what is not to move with requires_grad_(False); where another optimiser holds them, "
    "pass all optimisers as a list",
)
TWICE = Rule(
    id="IC853",
    title="weights that are stepped twice on one gradient",
    cause="one gradient moves the same weights twice: they are in two groups or optimisers, twice "
    "in one, or step() is called twice",
    limit="one step for each gradient",
    reference="torch.optim: a parameter belongs in one group",
    quantity="parameters that are twice in an optimiser's groups, or that move again on a "
    "gradient that has moved them",
    exempt="optimisers that wrap others; several optimisers over the same weights, each with a "
    "backward of its own; what changes gradients without moving weights",
    remedy="keep each parameter in one group of one optimiser (of tied weights, list one), and "
    "call step() once for each backward",
)
REPLACED = Rule(
    id="IC854",
    title="optimiser of weights that were replaced",
    cause="the model's weights were replaced after the optimiser was built, so that it steps the "
    "old tensors, which get no gradient, and the new ones never move",
    limit="the optimiser's tensors are the model's, as it now is",
    reference="torch.optim: an optimiser keeps the tensors that it was given",
    quantity="trainable parameters with a gradient that no optimiser holds, while one holds as "
    "many tensors without gradient that the model does not have",
    exempt="tensors of others, such as a loss's own weights, that get a gradient",
    remedy="build the optimiser after the last change to the model (load_state_dict(assign=True), "
    "a new head, a resized embedding, parametrizations, a copy), or add_param_group the new ones",
)
CLIPPED = Rule(
    id="IC855",
    title="clipping that cuts every step",
    cause="the gradient is cut by orders of magnitude in every step: the bound, and no longer the "
    "gradient, sets the size of the step",
    limit=f"some step in which the gradient is cut to no less than {fraction(1 / CUT_WARNING)} "
    f"(error: {fraction(1 / CUT_ERROR)})",
    reference="Pascanu, Mikolov, Bengio: On the difficulty of training recurrent neural networks "
    "(2013): the bound is to be about the gradient's usual norm, from half to ten times it",
    quantity="norm of the gradient before clipping over that after it, in the step where it is cut "
    "least",
    exempt="clipping that lets some step pass; factors of single samples or weights, noise and "
    "projections; division by the number of samples or by a loss scale",
    severities=("error", "warning"),
    remedy="clip at about the usual norm of the gradient (print what clip_grad_norm_ returns), and "
    "divide the learning rate instead if steps are too large",
)
SCALER = Rule(
    id="IC856",
    title="loss scaler that does not let the step through",
    cause="the loss scaler skips the optimiser's step in every call, or the step goes past it with "
    "gradients that are still multiplied by the scale",
    limit=f"some step that is not skipped, within {MOST_SKIPS} calls: from 2^{MOST_SKIPS - 1} down "
    f"to 1 the scale has halved {MOST_SKIPS - 1} times by then; scaler.step(optimizer) wherever "
    "the loss was scaled",
    reference="Micikevicius et al.: Mixed Precision Training (2018), section 3.2; "
    "torch.amp.GradScaler",
    quantity="calls in which the scaler skips the step; the scale of gradients that are stepped "
    "unscaled",
    exempt="skips at the beginning, by which the scaler finds its scale; a scaler that is off",
    remedy="scaler.scale(loss).backward(), scaler.step(optimizer), scaler.update(), in this order; "
    "where it still skips, look for NaN and inf with assert_healthy, or use bfloat16 without a "
    "scaler",
)
MODE = Rule(
    id="IC857",
    title="not in training mode",
    cause="the model is in eval mode while its weights are trained: dropout is off, and "
    "normalisations take statistics that no longer follow the data",
    limit="model.training is true at some forward pass with gradients in every call",
    reference=f"{_TRAINCHECK}; torch.nn.Module.train",
    quantity="calls in which every forward pass with gradients runs in eval mode",
    exempt="single layers that are set to eval mode, such as frozen batch normalisation; forward "
    "passes without gradients; a pass in eval mode beside one in training mode, as for attacks",
    severities=("error", "warning"),
    remedy="call model.train() at the beginning of the step, and again after every evaluation; to "
    "keep normalisations still, set only these to eval mode",
)
FROZEN = Rule(
    id="IC858",
    title="only norms or biases are trainable",
    cause="no weight matrix is trainable: all that moves are gains of normalisations or biases, "
    "as where a loop freezes more than it was meant to",
    limit="some trainable parameter that is neither a bias nor of a normalisation",
    reference=f"{_TRAINCHECK}: all but the norms frozen; Ben Zaken et al.: BitFit (2022), which "
    "trains biases on purpose",
    quantity="share of the model's values that are trainable",
    exempt="a trainable head, adapter, prompt or other weight beside frozen ones; models without "
    "frozen weights",
    severities=("error", "warning"),
    remedy="freeze by module (model.backbone.requires_grad_(False)), and look at what is left: "
    "[n for n, p in model.named_parameters() if p.requires_grad]",
)
DECAY = Rule(
    id="IC859",
    title="weight decay that undoes an initialiser",
    cause="weight decay pulls gains that start at one to zero about as fast as their gradient "
    "moves them: a gain of one is neutral, and a decayed one shrinks the signal",
    limit=f"learning rate times decay below {number(PULL_WARNING)}, where decay alone takes "
    f"{percent(decayed(PULL_WARNING))} of a one within {DECAY_STEPS} steps (info: "
    f"{number(PULL_INFO)}, {percent(decayed(PULL_INFO))}), or less than {percent(OUTRUN)} of what "
    "else moves the gain",
    reference="Loshchilov, Hutter: Decoupled Weight Decay Regularization (2019); He et al.: Bag "
    "of Tricks for Image Classification (2019), section 3.1: no decay of biases and gains",
    quantity="learning rate times weight decay, in groups that hold tensors that start at one "
    "everywhere",
    exempt="what starts at zero, which decay leaves there; decay that gradients outrun",
    severities=("warning", "info"),
    remedy="give gains and biases a group of their own with weight_decay=0",
)
DIFFERS = Rule(
    id="IC860",
    title="two runs that differ",
    cause="two runs from the same state, with the same random streams, do not give the same "
    "weights: the step takes something from elsewhere, such as a generator without seed or the "
    "clock",
    limit=f"the same weights, buffers and gradients after {AGAIN} calls, up to rounding",
    reference="torch: Reproducibility (notes/randomness)",
    quantity="distance of the two runs over how far they went",
    exempt="what closures, globals and objects of the step hold is put back before the second "
    "run; data from an iterator that goes on is told as info; on a GPU a distance of "
    f"{percent(ATOMIC)} is rounding",
    severities=("error", "info"),
    remedy="draw from torch's, numpy's or Python's global stream, or from a generator that the "
    "step holds; pass data as batch; torch.use_deterministic_algorithms(True) names operators",
)
STILL = Rule(
    id="IC861",
    title="the step moves nothing",
    cause="the step changes no trainable weight of the model",
    limit="some trainable weight that changes within the calls",
    reference=f"{_TRAINCHECK}; torch.optim: zero_grad, backward, step",
    quantity="trainable parameters that have changed",
    exempt="learning rates that a scheduler holds at zero; a frozen model beside other weights "
    "that are trained; what another finding explains",
    remedy="zero_grad(), backward(), step(), in this order, with the model that was passed",
)
NONFINITE = Rule(
    id="IC862",
    title="steps along gradients that are not finite",
    cause="the optimiser steps along NaN or inf, which makes the weights NaN for good",
    limit="finite gradients wherever an optimiser steps",
    reference="IEEE 754: NaN propagates",
    quantity="parameters with a gradient that is not finite",
    exempt="steps that a scaler skips",
    remedy="assert_healthy names the layer where it begins; under float16 use a scaler",
)
BEFORE = Rule(
    id="IC863",
    title="step before backward",
    cause="the optimiser steps before backward in every call: along the gradient of the call "
    "before, which is of other data and older weights",
    limit="a backward before the step, in some call",
    reference="torch.optim: zero_grad, backward, step",
    quantity="calls in which the first step comes before the first backward",
    exempt="gradients that are gathered over several calls",
    severities=("warning",),
    remedy="call backward() before step()",
)
STEP = (
    LEFTOVER,
    UNHELD,
    TWICE,
    REPLACED,
    CLIPPED,
    SCALER,
    MODE,
    FROZEN,
    DECAY,
    DIFFERS,
    STILL,
    NONFINITE,
    BEFORE,
)
