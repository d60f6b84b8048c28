"""Parameters that hold what memory held: no initialiser ever wrote to them."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks.prose import number
from pytest_initcheck.checks.remedy_code import redraw
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence, ParameterSnapshot
from pytest_initcheck.records import Finding

# The smallest normal numbers; those of float16 lie within what initialisers draw.
_NORMAL = {"float32": 2.0**-126, "bfloat16": 2.0**-126, "float64": 2.0**-1022}
# The largest of a billion normal values is nine times their median, of uniform ones twice. Bytes
# read as numbers have exponents from everywhere.
_SPREAD = 1e6
_FEW = 4
# No initialiser draws beyond it.
_LARGE = 1e3


class UninitialisedMemory:
    """Recognises arbitrary bytes by exponents that no initialiser draws."""

    name = "memory"
    aspects = frozenset({"gradients"})
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC104",
            title="uninitialised memory",
            cause="the values are what memory happened to hold: the parameter was created empty, "
            "as by to_empty after the meta device, and no initialiser wrote to it",
            limit="every value normal (not denormal), and the largest at most "
            f"{number(_SPREAD)} times the median",
            reference="IEEE 754: the exponents of arbitrary bytes spread over the whole range; "
            "PyTorch documentation: torch.nn.Module.to_empty",
            follows=frozenset({"IC111", "IC501"}),
            quantity="smallest |value| above zero, and the largest over the median of those above "
            "zero, of every trainable parameter",
            exempt="frozen parameters and buffers; what was recorded as written, where the model "
            "was passed as a factory (IC111); memory that happens to look like a draw, which "
            "nothing tells from one; all zeros (IC101)",
            remedy="call reset_parameters() of every module, or an initialiser for every "
            "parameter, after to_empty()",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        found: dict[str, tuple[str, float, float]] = {}
        facts = evidence.construction
        for parameter in evidence.parameters.values():
            built = facts.of(parameter.name) if facts else None
            if built is not None and not built.unwritten:
                continue
            odd = _oddity(evidence.start.parameters[parameter.name])
            if odd and parameter.trainable:
                found.setdefault(parameter.layer, odd)
        if found:
            quantity, measured, limit = next(iter(found.values()))
            yield self.rules[0].found(
                self.name,
                "error",
                tuple(found),
                quantity,
                measured=measured,
                limit=limit,
                code=redraw(evidence, found),
            )


def _oddity(look: ParameterSnapshot) -> tuple[str, float, float] | None:
    stats = look.stats
    if stats is None or stats.nonfinite or look.least is None or look.median is None:
        return None
    normal = _NORMAL.get(stats.dtype, 0.0)
    if look.least < normal:
        return "smallest |weight| that is not zero", look.least, normal
    largest = max(abs(stats.min or 0.0), abs(stats.max or 0.0))
    # Values at the level of rounding beside ordinary ones are differences that came to nothing.
    is_large = largest > _LARGE
    if is_large and stats.n >= _FEW and largest > _SPREAD * look.median:
        return "largest |weight| over the median", largest / look.median, _SPREAD
    return None
