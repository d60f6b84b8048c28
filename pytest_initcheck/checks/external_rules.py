"""The rules of findings that do not come from a check of the evidence."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks.prose import percent
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.checks.step_rules import CHECK, STEP
from pytest_initcheck.statistics import CONFIDENCE

_SHARE = "Clopper and Pearson, Biometrika 26 (1934)"

IGNORE = Rule(
    id="IC001",
    title="ignore that matches nothing",
    cause="an ignore names a finding that is not there (any more): it would hide the next one "
    "like it",
    limit="at least one finding of the diagnosis that the ignore matches",
    reference="docs/writing-tests.md, Ignoring a finding",
    quantity="findings of the diagnosis that the ignore matches; what is told as the consequence "
    "of another finding is not counted",
    exempt="ignores of the ini file, of a class and of a module: a note at the end of the run "
    "tells which of them matched nothing in it",
    severities=("info",),
    remedy="remove the ignore, or correct its id or layer pattern",
)
ESCAPE = Rule(
    id="IC901",
    title="too few seeds escape",
    cause="the optimiser ends elsewhere on more seeds than the probability that was asked for "
    "allows",
    limit="a number of escapes that the asked share explains with "
    f"{percent(CONFIDENCE)} confidence",
    reference=_SHARE,
    quantity="share of the seeds whose end the condition reached= accepts",
    exempt="anything but what assert_escapes asserts",
    remedy="change the optimiser (more momentum, another step size, noise on the gradient), the "
    "start or the number of steps; or ask for a smaller probability",
)
ACCURACY = Rule(
    id="IC902",
    title="too few seeds reach the accuracy",
    cause="the training ends below the accuracy on more seeds than the probability that was asked "
    "for allows",
    limit="a number of successes that the asked share explains with "
    f"{percent(CONFIDENCE)} confidence",
    reference=_SHARE,
    quantity="share of the seeds whose accuracy at the end is at least the one asked for",
    exempt="anything but what assert_reaches asserts",
    remedy="compare the curves of the seeds in the report: all low means that the start or the "
    "step size is bad, some low that it depends on chance; or ask for less",
)
STUCK = Rule(
    id="IC903",
    title="stuck at a critical point",
    cause="training stands still on a saddle, on flat ground, or in a minimum that is no better "
    "than the best constant prediction",
    limit="on a saddle or flat ground none; in a minimum a loss below that of the best constant "
    "prediction, or the loss= that was passed",
    reference="Dauphin et al.: Identifying and attacking the saddle point problem (2014); docs/"
    "critical-points.md",
    quantity="gradient, extreme eigenvalues of the Hessian, and loss",
    exempt="anything but what assert_not_stuck asserts; a slope, where the model still moves",
    remedy="off a saddle: momentum or noise on the gradient; off flat ground: draw the weights of "
    "dead or saturated layers anew; out of a minimum: train again from other weights",
)
WIDTH = Rule(
    id="IC904",
    title="does not scale with the width",
    cause="what a layer makes at the start, or what a step changes about it, grows or vanishes "
    "with the width in another way than its parametrisation says",
    limit="an interval of the exponent over the seeds that is not wholly outside of ±1/4 about "
    "the exponent of the theory, half the way to the next one",
    reference="Yang et al.: Tensor Programs V (2022); Yang, Hu: Feature Learning in Infinite-Width "
    "Neural Networks (2021); docs/scaling.md",
    quantity="slope of the logarithm of a root mean square over the logarithm of the width",
    exempt="anything but what assert_width_stable asserts; layers that not all widths have",
    remedy="scale the initialiser or the rate of the layer as its parametrisation says",
)
DEPTH = Rule(
    id="IC905",
    title="does not scale with the depth",
    cause="the output's spread, the gradient at the first layer or the change by a step multiplies "
    "from layer to layer",
    limit="an interval of the exponent over the seeds that is not wholly outside of the range "
    "that sums over layers give",
    reference="He et al.: Delving Deep into Rectifiers (2015); Glorot, Bengio (2010); Xiong et "
    "al.: On Layer Normalization in the Transformer Architecture (2020); docs/scaling.md",
    quantity="slope of the logarithm of a root mean square over the logarithm of the depth",
    exempt="anything but what assert_depth_stable asserts",
    remedy="draw the weights with the gain of their nonlinearity (√2 for ReLU), normalise, or "
    "scale the branches of residual blocks with the depth",
)
# By the name that their findings carry as check.
OUTSIDE: dict[str, tuple[Rule, ...]] = {
    "ignore": (IGNORE,),
    "escape": (ESCAPE,),
    "accuracy": (ACCURACY,),
    "critical point": (STUCK,),
    "width": (WIDTH,),
    "depth": (DEPTH,),
    CHECK: STEP,
}


def external_rules() -> Iterator[tuple[str, Rule]]:
    """Every rule of these, with the name of its check."""
    for name, rules in OUTSIDE.items():
        for rule in rules:
            yield name, rule
