"""Holds a record against a stored one: what differs by more than chance, worst first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_initcheck.baseline import seeds
from pytest_initcheck.baseline.configured import CONFIGURED, configured
from pytest_initcheck.baseline.consequences import consequences
from pytest_initcheck.baseline.environment import CAPABILITY, DEVICE
from pytest_initcheck.baseline.judge import ATOL, RTOL, Fixed, ValueCheck, names, same, walk
from pytest_initcheck.baseline.models import ModelPair
from pytest_initcheck.baseline.samples import is_determined, marks, rounding
from pytest_initcheck.baseline.stored import Band, Stored, freeze
from pytest_initcheck.baseline.tolerances import Tolerance, by_tolerance
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import (
    Comparison,
    Curve,
    Difference,
    LayerRecord,
    ModelRecord,
    RunRecord,
)
from pytest_initcheck.sequential import Stage

# The chance that one entry is called "changed" where only fresh random numbers differ: one in a
# thousand for a session of 200 tests.
FAMILY = 1e-3 / 200
# Which part of it goes to whom: few metrics are what a run is for; a wrong weight explains most of
# what follows. What a record has none of leaves its part to the others.
BUDGET = {"metrics": 3.0, "weights": 3.0, "signals": 4.0}
# Below this, a change that is no chance is a note: a share of the value.
LEAST = 0.02
# Rounding grows from step to step: another number of threads was seen to move losses by 3e-6 within
# ten steps of Adam and by 1e-4 within twenty, and what is left of a gradient by far more.
MOST_STEPS = 10
Metrics = Mapping[str, Curve]
Bands = Mapping[str, Band]


def compare(
    actual: RunRecord | Stored,
    expected: RunRecord | Stored,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    least: float = LEAST,
    exact: bool = False,
    tolerances: Sequence[Tolerance] = (),
    device: str | None = None,
    file: str = "",
    stage: Stage | None = None,
) -> Comparison:
    """Compare a record with the one that a baseline holds.

    What was configured (optimiser and its settings, rates, loss, steps, epochs, batch size), what
    the forward pass is made of, layers, tensors, metrics and curves that were added, removed or
    renamed, another dtype, shape or nonlinearity, and values that are newly (not) finite are
    differences in any case.

    Where weights, buffers, batch and random streams are equal bit for bit, everything else is
    determined up to rounding: 1e-4 of each tensor's scale is allowed (four units of rounding in
    half precision), for the losses of the steps too where there are at most 10 and the
    configuration is the same. What the steps leave behind is judged as chance.

    Otherwise each value has the tolerance that its sample size and the spread over seeds give it,
    such that two records of the same model from fresh random numbers are called "changed" with a
    probability of at most 5e-6 over all their values together: one in a thousand for a session of
    200 tests. A change that exceeds its tolerance and is smaller than ``least``, as a share of the
    value, is a note. Where nothing varies (single values, no spread over seeds) 1e-4 relative and
    1e-6 absolute are allowed.

    ``exact`` asks for equality in all seven digits that are kept, and of the bits of weights and
    data; the differences then come in the order of the forward pass, the first one first.
    ``rtol`` and ``atol`` replace all tolerances; for the statistics of a tensor ``rtol`` is
    relative to the tensor's root mean square, and the one that is not given has its default.

    ``tolerances`` do so for some values, the first that covers a value.

    Records with equal values always match. Versions, platform, device and seeds are not compared:
    a change becomes a note, and so does a number that the baseline does not hold yet.

    ``stage`` is the look at a run that takes seeds in groups, among whose looks the error rates of
    what is trained are shared.

    Raises:
        InitcheckError: a tolerance that is negative or not finite.
    """
    mine, stored = (one if isinstance(one, Stored) else freeze(one) for one in (actual, expected))
    fixed = Fixed(0.0, 0.0) if exact else _fixed(rtol, atol)
    if not 0 <= least < math.inf:
        raise InitcheckError(f"least={least!r}: pass a number of at least 0")
    checks, pairs = checks_of(mine, stored, fixed)
    if exact:
        checks = [*_bits(mine.record.before, stored.record.before), *checks]
    found, small = differing(checks, 0.0 if exact or fixed else least, tolerances, stage)
    if not exact:
        found.sort(key=lambda difference: -difference.excess)
    return Comparison(
        status="changed" if found else "match",
        differences=tuple(found),
        compared=sum(check.values for check in checks),
        notes=(*_small(small, least), *_notes(mine, stored, device, checks), *pairs.notes(found)),
        file=file,
        expected=stored.expected(),
        provenance=dict(stored.provenance),
        is_identical=_unordered(mine) == _unordered(stored),
    )


def checks_of(
    actual: Stored, expected: Stored, fixed: Fixed | None = None
) -> tuple[list[ValueCheck], Pairs]:
    """Everything that is to be compared, and the models that it is about."""
    chosen = list(configured(actual.record.meta, expected.record.meta))
    is_same_setup = not any(check.judge(FAMILY) for check in chosen)
    pairs = Pairs.of(actual.record, expected.record, fixed, is_same_setup=is_same_setup)
    return [*chosen, *_checks(actual, expected, pairs, fixed)], pairs


def _unordered(stored: Stored) -> tuple[object, ...]:
    """What is equal for two records with equal values."""
    # Files do not keep the order in which layers ran, and what is not a number equals nothing.
    record = stored.record
    models = [m and replace(m, layers=_by_name(m)) for m in (record.before, record.after)]
    rest = replace(record, before=None, after=None, metrics={})
    return rest, *models, repr(sorted(record.metrics.items())), stored.bands


def _by_name(model: ModelRecord) -> tuple[LayerRecord, ...]:
    return tuple(sorted(model.layers, key=lambda layer: layer.name))


def _bits(actual: ModelRecord | None, expected: ModelRecord | None) -> Iterator[ValueCheck]:
    """Whether weights and data are equal in every bit, as far as both records know."""
    mine, theirs = (marks(model) if model else {} for model in (actual, expected))
    for name in names(theirs, mine):
        if name in mine and name in theirs:
            yield same(f"before bits of {name}", mine[name], theirs[name])


def differing(
    checks: Sequence[ValueCheck],
    least: float,
    tolerances: Sequence[Tolerance] = (),
    stage: Stage | None = None,
) -> tuple[list[Difference], list[Difference]]:
    """What differs, and what differs by too little to matter, both in order."""
    rates = error_rates(checks)
    found: list[Difference] = []
    small: list[Difference] = []
    explanations: list[Difference] = []
    for check in checks:
        is_own, difference = by_tolerance(check, tolerances)
        if not is_own:
            rate = rates[check.group]
            difference = check.judge(stage.rejects_at(rate) if stage and check.is_trained else rate)
        if difference is None:
            continue
        is_small = not is_own and check.is_small(least)
        (explanations if check.explains else small if is_small else found).append(difference)
    # A program that was written anew and gives the same numbers has not changed.
    return [*explanations, *found] if found else [], small


def error_rates(checks: Sequence[ValueCheck]) -> dict[str, float]:
    """The error rate of a single value, by group (Bonferroni with weights)."""
    counts: Counter[str] = Counter()
    for check in checks:
        counts[check.group] += check.values
    total = sum(BUDGET[group] for group, count in counts.items() if count) or 1.0
    return {g: FAMILY * BUDGET[g] / total / max(count, 1) for g, count in counts.items()}


def _small(small: Sequence[Difference], least: float) -> Iterator[str]:
    if small:
        worst = max(small, key=lambda difference: difference.excess)
        count = "1 value differs" if len(small) == 1 else f"{len(small)} values differ"
        yield (
            f"{count} by more than chance and by less than {100 * least:g} %: "
            f"{worst.key} is {worst.actual}, was {worst.expected}"
        )


def _fixed(rtol: float | None, atol: float | None) -> Fixed | None:
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None and not 0 <= value < math.inf:
            raise InitcheckError(f"{name}={value!r}: pass a number of at least 0")
    if rtol is None and atol is None:
        return None
    return Fixed(RTOL if rtol is None else rtol, ATOL if atol is None else atol)


def _checks(
    actual: Stored, expected: Stored, pairs: Pairs, fixed: Fixed | None
) -> Iterator[ValueCheck]:
    drawn = actual.record.seeds, expected.record.seeds

    def model(moment: str, mine: object, theirs: object) -> Iterator[ValueCheck]:
        pair = pairs.at(moment)
        if pair is not None:
            for check in pair.checks():
                yield replace(check, is_trained=moment == "after")
        elif mine is not theirs:
            yield same(moment, mine and "recorded", theirs and "recorded")

    def metric(_: str, mine: Metrics, theirs: Metrics) -> Iterator[ValueCheck]:
        for name in names(mine, theirs):
            curves = actual.bands.get(name), expected.bands.get(name)
            values = mine.get(name), theirs.get(name)
            for check in seeds.metric(name, *values, fixed, curves, seeds=drawn):
                subject = "metric", name
                yield replace(check, group="metrics", subject=subject, is_trained=True)

    def curve(_: str, mine: Bands, theirs: Bands) -> Iterator[ValueCheck]:
        for name in names(mine, theirs):
            pair = seeds.BandPair(
                key=f"curve {name}",
                actual=mine.get(name),
                expected=theirs.get(name),
                fixed=replace(pairs.steps, atol=ATOL) if pairs.steps else fixed,
                loss=pairs.before.curve_allowed if pairs.before and name == "loss" else None,
            )
            for check in pair.checks():
                yield replace(check, subject=("curve", name), is_trained=True)

    def record(_: str, mine: RunRecord, theirs: RunRecord) -> Iterator[ValueCheck]:
        return walk((mine, theirs), {"model": model, "metric": metric}, str, fixed)

    return walk((actual, expected), {"record": record, "curve": curve}, str, fixed)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """The models of two records; ``steps`` is what rounding allows the losses of the steps."""

    before: ModelPair | None
    after: ModelPair | None
    steps: Fixed | None

    @classmethod
    def of(cls, a: RunRecord, e: RunRecord, fixed: Fixed | None, *, is_same_setup: bool) -> Pairs:
        """Pair the models of both moments."""
        start = steps = None
        if fixed is None and a.before and e.before and is_determined(a.before, e.before):
            start = rounding(a.before)
            is_short = int(a.meta.get("steps") or MOST_STEPS + 1) <= MOST_STEPS
            steps = start if is_same_setup and is_short else None
        before = _pair("before", a.before, e.before, fixed or start)
        after = _pair("after", *_told_once(a, e), fixed)
        return cls(before=before, after=after, steps=steps)

    def at(self, moment: str) -> ModelPair | None:
        """The pair of one moment, None where not both records have a model there."""
        return self.before if moment == "before" else self.after

    def notes(self, found: Sequence[Difference]) -> Iterator[str]:
        """Why so little is allowed."""
        if found and self.before and self.before.fixed and self.before.fixed.is_rounding:
            yield "weights and data are those of the baseline, so that only rounding is allowed"
        elif found and self.before:
            yield from consequences(self.before.actual, self.before.expected)


def _told_once(a: RunRecord, e: RunRecord) -> tuple[ModelRecord | None, ModelRecord | None]:
    """The looks after training, without the program where it is the one of before."""
    sides = [(one.before, one.after) for one in (a, e)]
    if any(x is None or y is None or _program(x) != _program(y) for x, y in sides):
        return a.after, e.after
    bare = [after and replace(after, operations={}, wiring="") for _, after in sides]
    return bare[0], bare[1]


def _program(model: ModelRecord) -> tuple[dict[str, int], str]:
    return model.operations, model.wiring


def _pair(
    moment: str, a: ModelRecord | None, e: ModelRecord | None, fixed: Fixed | None
) -> ModelPair | None:
    if a is None or e is None:
        return None
    return ModelPair(moment=moment, actual=a, expected=e, fixed=fixed, trained=moment == "after")


def _notes(
    actual: Stored, expected: Stored, device: str | None, checks: Iterable[ValueCheck]
) -> Iterator[str]:
    was = expected.provenance.get("device", "").partition(":")[0]
    now = (device or "").partition(":")[0]
    if was and now and was != now:
        yield f"the baseline was recorded on {was}, this run is on {now}"
    mine, theirs = actual.record, expected.record
    if mine.seeds != theirs.seeds:
        yield f"seeds: {_seeds(mine.seeds)}, in the baseline {_seeds(theirs.seeds)}"
    for key in names(mine.meta, theirs.meta):
        now, was = mine.meta.get(key, "absent"), theirs.meta.get(key, "absent")
        if now != was and key not in (DEVICE, CAPABILITY, *CONFIGURED):
            yield f"{key}: {now[:60]}, in the baseline {was[:60]}"
    unjudged = dict.fromkeys(check.unjudged for check in checks if check.unjudged)
    for why in dict.fromkeys(each.why for each in unjudged):
        yield f"{why}: {', '.join(each.name for each in unjudged if each.why == why)}"


def _seeds(values: tuple[int, ...]) -> str:
    if len(values) > 8:
        return f"{len(values)} of them ({', '.join(map(str, values[:3]))}, …)"
    return ", ".join(map(str, values)) or "none"
