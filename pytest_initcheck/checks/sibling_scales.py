"""Writers of a residual stream that are scaled unlike their kind."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

from pytest_initcheck.checks.prose import number
from pytest_initcheck.checks.remedy_code import scaled_by
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.checks.writer_scales import Scale, base_of, standard_deviations, writers_of
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.construction import Built
from pytest_initcheck.evidence.streams import Stream
from pytest_initcheck.records import Finding

# The chance that any of a model's writers is called unlike where all are drawn from one law.
_ALPHA = 1e-6


@dataclass(frozen=True)
class _Group:
    """Writers of one kind in the order of the depth, and the places of those that are unlike."""

    stream: Stream
    scales: Sequence[Scale]
    odd: tuple[int, ...]

    @property
    def usual(self) -> float:
        """The deviation of the others."""
        kept = (s.sigma for i, s in enumerate(self.scales) if i not in self.odd)
        return median(kept)

    @property
    def strange(self) -> list[Scale]:
        """Those that are unlike."""
        return [self.scales[place] for place in self.odd]

    @property
    def is_by_depth(self) -> bool:
        """Whether the odd ones lie at the ends, or come again at equal distances, as by intent."""
        last = len(self.scales) - 1
        inner = set(range(len(self.scales))) - set(self.odd)
        if self.odd and (max(inner) - min(inner) + 1 == len(inner)):
            return True
        steps = {b - a for a, b in zip(self.odd, self.odd[1:], strict=False)}
        if len(steps) != 1 or (step := steps.pop()) < 2:
            return False
        return self.odd[0] < step and self.odd[-1] + step > last


class Siblings:
    """Compares each writer of a stream with those of its role and shape in the other blocks."""

    name = "siblings"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC407",
            title="siblings scaled unlike",
            cause="of the matrices that write to one residual stream in one role, most are drawn "
            "from one law and this is not: an initialiser missed it, or reached it twice",
            limit="the logarithms of the standard deviations differ by no more than chance: the "
            f"normal quantile of α = {number(_ALPHA)} over all writers, times √(1/2n) for n values",
            reference="standard error of the standard deviation of n normal values, σ/√(2n); "
            "Radford et al.: Language Models are Unsupervised Multitask Learners (2019), "
            "section 2.3",
            quantity="standard deviation of a writer over that of its siblings",
            exempt="fewer than three of a kind, or no law that most of them share; zeros; other "
            "roles and other shapes; what a normalisation takes the scale of; the first or last "
            "blocks, and every n-th, unless they are drawn as if the initialiser had missed them",
            severities=("error", "info"),
            remedy="initialise all of a kind in one place: by a loop over all blocks, or by the "
            "name of the role",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        groups = [group for stream in evidence.streams for group in _groups(evidence, stream)]
        bad = [g for g in groups if not g.is_by_depth or _is_missed(evidence, g)]
        if bad:
            yield self._found(evidence, bad, is_error=True)
        elif groups and evidence.construction is None:
            yield self._found(evidence, groups, is_error=False)

    def _found(self, evidence: Evidence, groups: list[_Group], *, is_error: bool) -> Finding:
        strange = [scale for group in groups for scale in group.strange]
        worst = max(groups, key=lambda g: abs(math.log(g.strange[0].sigma / g.usual)))
        return self.rules[0].found(
            self.name,
            "error" if is_error else "info",
            [scale.layer for scale in strange],
            "standard deviation over that of its siblings",
            measured=worst.strange[0].sigma / worst.usual,
            limit=1.0,
            cause=f"{'; '.join(_told(evidence, group) for group in groups)}: {self.rules[0].cause}",
            profile={s.layer: s.sigma for s in worst.scales},
            code=scaled_by({s.parameter: g.usual / s.sigma for g in groups for s in g.strange}),
        )


def _groups(evidence: Evidence, stream: Stream) -> Iterator[_Group]:
    roles = writers_of(evidence, stream, with_gains=False)
    count = sum(len(scales) for scales in roles.values())
    quantile = NormalDist().inv_cdf(1 - _ALPHA / 2 / max(count, 1))
    for scales in roles.values():
        middle = median(scale.sigma for scale in scales)
        # The middle one is drawn, too.
        odd = tuple(
            place
            for place, scale in enumerate(scales)
            if not scale.is_near(middle, quantile, scale.error)
        )
        if len(scales) > 2 and odd and 2 * len(odd) < len(scales):
            yield _Group(stream, scales, odd)


def _is_missed(evidence: Evidence, group: _Group) -> bool:
    """Whether the odd ones are as they are where the initialiser of the others passes them by."""
    facts = evidence.construction
    if facts is not None:
        known = {built.name: built for built in facts.tensors}
        lines = [_lines(known.get(s.parameter)) for s in group.scales]
        usual = frozenset.intersection(*(x for i, x in enumerate(lines) if i not in group.odd))
        return any(usual - lines[place] and lines[place] <= usual for place in group.odd)
    base = base_of(evidence, group.stream)
    return any(
        any(scale.is_near(sigma) for sigma in standard_deviations(scale))
        or (base is not None and any(scale.is_near(s, other=base.error) for s in base.of(scale)))
        for scale in group.strange
    )


def _lines(built: Built | None) -> frozenset[tuple[str, int]]:
    """The lines that a matrix goes back to, but for what torch's modules do by themselves."""
    writes = built.writes if built is not None else ()
    return frozenset((write.file, write.line) for write in writes if not write.is_default)


def _told(evidence: Evidence, group: _Group) -> str:
    """ "of 12 h.*.c_proj.weight 11 are drawn with σ 0.0029, and h.3.c_proj.weight with 0.02"."""
    odd = ", ".join(f"{s.parameter} with {s.sigma:.3g}" for s in group.strange[:3])
    role, count = group.scales[0].role.partition(" ")[0], len(group.scales)
    text = f"of {count} {role} {count - len(group.odd)} are drawn with σ {group.usual:.3g}"
    text += f", and {odd}"
    facts = evidence.construction
    if facts is None:
        return text
    known = {built.name: str(built) for built in facts.tensors}
    other = next(s for i, s in enumerate(group.scales) if i not in group.odd)
    mine, usual = known.get(group.strange[0].parameter), known.get(other.parameter)
    return f"{text} ({mine}; the others: {usual})" if mine and usual else text
