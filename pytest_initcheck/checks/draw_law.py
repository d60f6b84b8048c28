"""Draws beside the law that they were drawn from: mean and kurtosis; and draws off centre."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_initcheck.checks.construction import described, layers_of
from pytest_initcheck.checks.prose import number
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.checks.scale_harm import does_harm
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.construction import Built, ConstructionFacts, Draw
from pytest_initcheck.evidence.write import Write
from pytest_initcheck.records import Finding, Severity

# A normal value lies beyond once in two million draws.
_Z = 5.0
# The measured kurtosis of fewer values is far from normal; of as many its tail is still heavier.
_FEW, _TAIL = 1000, 2.0
# Kurtosis, and √n standard errors of a measured one.
_NORMAL, _UNIFORM = (3.0, math.sqrt(24)), (1.8, 1.15)
_LAWS = {
    **dict.fromkeys(("normal_", "kaiming_normal_", "xavier_normal_", "randn"), _NORMAL),
    **dict.fromkeys(("uniform_", "kaiming_uniform_", "xavier_uniform_", "rand"), _UNIFORM),
    # Between both, wherever it is cut.
    "trunc_normal_": _NORMAL,
}
_SCALING = frozenset({"mul", "mul_", "div", "div_"})


class DrawLaw:
    """Reads the ledger of a model that was given as a factory; silent where there is none."""

    name = "law"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC136",
            title="a draw unlike its law",
            cause="the values are not what the initialiser draws: it is broken on this device or "
            "in this precision, or something wrote to them that nothing can see",
            limit=f"a mean within {number(_Z)} standard errors of that of the law; for "
            f"{number(_FEW)} values or more a kurtosis within {number(_Z * _TAIL)} of "
            f"{number(_NORMAL[0])} (normal) or {number(_UNIFORM[0])} (uniform), or not above the "
            "former (truncated)",
            reference="sampling errors of moments: mean σ/√n, kurtosis √(24/n) of a normal law; "
            "pytorch/pytorch #145498",
            follows=frozenset({"IC114", "IC117"}),
            quantity="deviation of mean or kurtosis from the law, in standard errors",
            exempt="laws that are not torch's normal, uniform or truncated normal one, times a "
            "number",
            severities=("warning",),
            remedy="draw on the CPU in float32 and copy, and hold the values against the law",
        ),
        Rule(
            id="IC137",
            title="a draw off centre",
            cause="the mean of the weights outweighs what differs between them: all units answer "
            "with nearly the same sum of their inputs (torch.rand where torch.randn was meant)",
            limit="|mean| √(rows · columns) at most σ (√rows + √columns): beyond, the largest "
            "singular value of the matrix is that of its mean",
            reference="Baik, Ben Arous, Péché: Phase transition of the largest eigenvalue (2005); "
            "Marchenko, Pastur (1967)",
            follows=frozenset({"IC101", "IC104", "IC111", "IC201"}),
            quantity="singular value of the mean over the largest of what was drawn around it",
            exempt="vectors; a note only, where signal and gradient come through",
            severities=("error", "info"),
            remedy="draw around zero, such as torch.nn.init.kaiming_normal_(weight)",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        if evidence.construction is not None:
            off = any(found.id == "IC137" for found in self.judge(evidence.construction))
            harm: Severity = "error" if off and does_harm(evidence) else "info"
            yield from self.judge(evidence.construction, harm)

    def judge(self, facts: ConstructionFacts, harm: Severity = "info") -> Iterator[Finding]:
        """What the ledger alone shows; no pass of the model is needed."""
        drawn = [(b, b.draw) for b in facts.tensors if b.draw is not None and b.kind == "parameter"]
        unlike = [(b, _errors(b, d)) for b, d in drawn]
        yield from self._found(self.rules[0], "warning", unlike, _Z)
        mixing = [(b, d) for b, d in drawn if b.is_whole and _is_matrix(b)]
        yield from self._found(self.rules[1], harm, [(b, _mean_share(b, d)) for b, d in mixing], 1)

    def _found(
        self, rule: Rule, severity: Severity, values: list[tuple[Built, float]], limit: float
    ) -> Iterator[Finding]:
        bad = [(built, value) for built, value in values if value > limit]
        if bad:
            names = described([f"{built.name} ({built})" for built, _ in bad])
            yield rule.found(
                self.name,
                severity,
                layers_of([built for built, _ in bad]),
                rule.quantity,
                measured=max(value for _, value in bad),
                limit=limit,
                cause=f"{names}: {rule.cause}",
            )


def _errors(built: Built, draw: Draw) -> float:
    """The larger of both deviations in standard errors; that of the kurtosis halved."""
    first, *later = built.effective
    name, *steps = (first.inner or first.call).split(" → ")
    steps += [*first.steps, *(write.call for write in later)]
    if name not in _LAWS or not set(steps) <= _SCALING or not built.is_whole:
        return 0.0
    mean = _mean_of(first) if not steps else 0.0 if _mean_of(first) == 0 else None
    away = 0.0 if mean is None else abs(draw.mean - mean) / draw.std * math.sqrt(draw.n)
    if draw.n < _FEW:
        return away
    kurtosis, error = _LAWS[name]
    excess = draw.kurtosis - kurtosis
    excess = max(excess, 0.0) if name == "trunc_normal_" else abs(excess)
    return max(away, excess / error * math.sqrt(draw.n) / _TAIL)


def _mean_of(write: Write) -> float | None:
    """The mean of the law, None where it is not told."""
    name = (write.inner or write.call).partition(" → ")[0]
    low, high = write.number("a"), write.number("b")
    if name == "uniform_":
        if low is None:
            # As a method it calls them otherwise.
            low, high = write.number("from"), write.number("to")
        return None if low is None or high is None else (low + high) / 2
    if name == "normal_":
        return write.number("mean")
    if name == "trunc_normal_":
        middle = write.number("mean")
        return middle if middle is not None and (low, high) == (middle - 2, middle + 2) else None
    return None if name == "rand" else 0.0


def _is_matrix(built: Built) -> bool:
    """More than one row and column: else it is a vector in the shape of one."""
    return len(built.shape) > 1 and built.shape[0] > 1 and math.prod(built.shape[1:]) > 1


def _mean_share(built: Built, draw: Draw) -> float:
    rows = built.shape[0]
    columns = math.prod(built.shape[1:])
    edge = draw.std * (math.sqrt(rows) + math.sqrt(columns))
    return abs(draw.mean) * math.sqrt(rows * columns) / edge
