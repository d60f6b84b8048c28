"""Writers of residual streams whose scaling by the depth was not applied."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_initcheck.checks.prose import number
from pytest_initcheck.checks.remedy_code import scaled_by
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.checks.writer_scales import (
    ERRORS,
    Base,
    Scale,
    base_of,
    depth_factors,
    is_drawn_by_depth,
    scale_of,
    standard_deviations,
    writers_of,
)
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.streams import Stream
from pytest_initcheck.records import Finding, Severity


@dataclass(frozen=True, kw_only=True)
class _Unscaled:
    """Writers of a role that are not scaled, with the deviation that each should have, and why."""

    scales: Sequence[Scale]
    wanted: Sequence[float]
    severity: Severity
    reason: str


class DepthScaling:
    """Verifies depth-scaled initialisers where someone says that there is one.

    That is the argument ``depth_scaled`` of a diagnosis, the model's own code, or other writers of
    the same stream. A stream that nothing says it of is sound unscaled.
    """

    name = "depth-scaling"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC409",
            title="depth scaling not applied",
            cause="what writes to the residual stream should be divided by the square root of the "
            "depth, and is not: the variance of the stream grows with the number of its blocks",
            limit="σ/√N, for the σ of what reads the stream (or 1/√fan_in, where it goes by that) "
            f"and N additions or blocks, within {number(ERRORS)} standard errors",
            reference="Radford et al.: Language Models are Unsupervised Multitask Learners (2019), "
            "section 2.3; huggingface/transformers #47458, #47478, karpathy/llama2.c #579, "
            "tenstorrent/tt-metal #48716, marian-nmt/marian-dev #861",
            quantity="standard deviation of a writer over the one that it should have",
            exempt="models of which neither depth_scaled=, nor their code, nor other writers say "
            "that they are scaled; code behind a setting that is off; branches that start at zero, "
            "or whose scale a normalisation takes back; depth_scaled=False",
            severities=("error", "warning"),
            remedy="draw the writers with std / sqrt(2 * layers), after all that draws them anew, "
            "and match their names by their ends",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        if evidence.depth_scaled is False:
            return
        found = [one for stream in evidence.streams for one in _unscaled(evidence, stream)]
        for severity in ("error", "warning"):
            of_it = [one for one in found if one.severity == severity]
            if of_it:
                yield self._found(evidence, of_it, severity)

    def _found(self, evidence: Evidence, found: list[_Unscaled], severity: Severity) -> Finding:
        pairs = [
            (scale, wanted)
            for one in found
            for scale, wanted in zip(one.scales, one.wanted, strict=True)
        ]
        worst, wanted = max(pairs, key=lambda pair: abs(math.log(pair[0].sigma / pair[1])))
        told = "; ".join(f"{_told(evidence, one)}, {one.reason}" for one in found)
        return self.rules[0].found(
            self.name,
            severity,
            list(dict.fromkeys(scale.layer for scale, _ in pairs)),
            "standard deviation over the one that it should have",
            measured=worst.sigma / wanted,
            limit=1 + ERRORS * worst.error,
            cause=f"{told}: {self.rules[0].cause}",
            profile={scale.layer: scale.sigma / wanted for scale, wanted in pairs},
            code=scaled_by({scale.parameter: wanted / scale.sigma for scale, wanted in pairs}),
        )


def _unscaled(evidence: Evidence, stream: Stream) -> Iterator[_Unscaled]:
    asked = evidence.depth_scaled
    factors, roles = depth_factors(stream), writers_of(evidence, stream)
    if not factors or not roles:
        return
    given = float(asked) if asked is not None and not isinstance(asked, bool) else None
    base = base_of(evidence, stream, given)
    if asked:
        yield from _verified(roles, base, factors)
        return
    found = list(_declared(evidence, roles, base, factors))
    known = {scale.role for one in found for scale in one.scales}
    yield from found
    for one in _compared(evidence, stream, roles, base, factors):
        if one.scales[0].role not in known:
            yield one


def _verified(
    roles: dict[str, list[Scale]], base: Base | None, factors: Sequence[float]
) -> Iterator[_Unscaled]:
    """Every writer that is not at σ/√N, where the caller says that all are."""
    for scales in roles.values():
        allowed = [_allowed(scale, base, factors) for scale in scales]
        error = base.error if base is not None else 0.0
        bad = [
            (scale, wanted[0])
            for scale, wanted in zip(scales, allowed, strict=True)
            if not any(scale.is_near(sigma, other=error) for sigma in wanted)
        ]
        if bad and not is_drawn_by_depth(scales):
            yield _Unscaled(
                scales=[scale for scale, _ in bad],
                wanted=[wanted for _, wanted in bad],
                severity="error",
                reason="where depth_scaled= says that it is scaled by the depth",
            )


def _declared(
    evidence: Evidence, roles: dict[str, list[Scale]], base: Base | None, factors: Sequence[float]
) -> Iterator[_Unscaled]:
    """Roles that are drawn as if the line of the code that scales by the depth were not there."""
    for scales in roles.values():
        lines = [one for one in evidence.scaling_lines if scales[0].parameter in one.parameters]
        if not lines:
            continue
        is_sure = not is_drawn_by_depth(scales) and not _may_be_scaled(scales[0], factors)
        if is_sure and all(_is_unscaled(scale, base) for scale in scales):
            text = f"where the model's own code scales by the depth, at {lines[0]}"
            yield _undivided(scales, factors, text)


def _compared(
    evidence: Evidence,
    stream: Stream,
    roles: dict[str, list[Scale]],
    base: Base | None,
    factors: Sequence[float],
) -> Iterator[_Unscaled]:
    """Writers that are not scaled where something else of the stream is, exactly.

    Where that is what reads the stream, it was taken for the writer; kinds of writers may differ.
    """
    scaled = [role for role, scales in roles.items() if _is_scaled(scales, base, factors)]
    readers = [] if base is None else _scaled_readers(evidence, stream, base, factors)
    for role, scales in roles.items():
        if role in scaled or not scaled:
            continue
        wrong = _of_another_fan(scales, roles, base, factors)
        if wrong is not None:
            yield wrong
        elif readers and all(_is_unscaled(scale, base) for scale in scales):
            text = f"where {readers[0]} is, which reads the stream and does not write to it"
            yield _undivided(scales, factors, text)


def _undivided(scales: Sequence[Scale], factors: Sequence[float], reason: str) -> _Unscaled:
    wanted = [scale.sigma / factors[0] for scale in scales]
    return _Unscaled(scales=scales, wanted=wanted, severity="error", reason=reason)


def _scaled_readers(
    evidence: Evidence, stream: Stream, base: Base, factors: Sequence[float]
) -> list[str]:
    """Roles of matrices that read a stream and are scaled by its depth."""
    found: dict[str, list[Scale]] = {}
    for name in stream.readers:
        if (scale := scale_of(evidence, name)) is not None:
            found.setdefault(scale.role, []).append(scale)
    return [
        role.partition(" ")[0]
        for role, scales in found.items()
        if _is_scaled(scales, base, factors)
    ]


def _is_scaled(scales: Sequence[Scale], base: Base | None, factors: Sequence[float]) -> bool:
    if is_drawn_by_depth(scales):
        return True
    if base is None:
        return False
    return any(_is_scaled_by(factor, scales, base) for factor in factors)


def _is_scaled_by(factor: float, scales: Sequence[Scale], base: Base) -> bool:
    """Whether all that can tell are; a matrix of a few values is near to everything."""
    telling = [one for one in scales if one.can_tell(factor, other=base.error)]
    return len(telling) > 1 and all(
        any(scale.is_near(sigma / factor, other=base.error) for sigma in base.of(scale))
        for scale in telling
    )


def _of_another_fan(
    scales: Sequence[Scale],
    roles: dict[str, list[Scale]],
    base: Base | None,
    factors: Sequence[float],
) -> _Unscaled | None:
    """Writers that are drawn like those of another role, whose fan is not theirs."""
    if base is None or not base.by_fan or _is_scaled(scales, base, factors):
        return None
    for others in roles.values():
        is_alike = all(one.is_near(others[0].sigma, other=others[0].error) for one in scales)
        if others[0].fan_in == scales[0].fan_in or not is_alike:
            continue
        if _is_scaled(others, base, factors):
            factor = base.gain / (others[0].sigma * math.sqrt(others[0].fan_in))
            return _Unscaled(
                scales=scales,
                wanted=[base.gain / math.sqrt(one.fan_in) / factor for one in scales],
                severity="warning",
                reason=f"as {others[0].role.partition(' ')[0]} with its fan of {others[0].fan_in} "
                f"is, where this one's is {scales[0].fan_in}",
            )
    return None


def _allowed(scale: Scale, base: Base | None, factors: Sequence[float]) -> list[float]:
    if base is not None:
        return [sigma / factor for sigma in base.of(scale) for factor in factors]
    return [sigma / factor for sigma in standard_deviations(scale) for factor in factors]


def _is_unscaled(scale: Scale, base: Base | None) -> bool:
    error = base.error if base is not None else 0.0
    known = (*(base.of(scale) if base is not None else ()), *standard_deviations(scale))
    return any(scale.is_near(sigma, other=error) for sigma in known)


def _may_be_scaled(scale: Scale, factors: Sequence[float]) -> bool:
    """Whether it is, by chance or not, what an initialiser gives, divided by the depth."""
    return any(scale.is_near(s / f) for s in standard_deviations(scale) for f in factors)


def _told(evidence: Evidence, one: _Unscaled) -> str:
    """ "h.*.mlp.c_proj.weight (6 of them) is drawn with σ 0.02 (normal_(std=0.02) at a.py:7)"."""
    first, count = one.scales[0], len(one.scales)
    role = first.role.partition(" ")[0]
    many = f" ({count} of them)" if count > 1 else ""
    text = f"{role}{many} is drawn with σ {first.sigma:.3g}, not {one.wanted[0]:.3g}"
    facts = evidence.construction
    built = next((b for b in facts.tensors if b.name == first.parameter), None) if facts else None
    return f"{text} ({built})" if built is not None and str(built) else text
