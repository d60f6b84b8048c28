"""Holds a record against a stored one: what differs by more than chance, worst first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from pytest_initcheck.baseline import seeds
from pytest_initcheck.baseline.judge import ATOL, RTOL, Check, Fixed, names, same, walk
from pytest_initcheck.baseline.models import ModelPair
from pytest_initcheck.baseline.stored import Band, Stored, freeze
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Comparison, Curve, RunRecord

FAMILY = 1e-4
Metrics = Mapping[str, Curve]
Bands = Mapping[str, Band]


def compare(
    actual: RunRecord,
    expected: RunRecord | Stored,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    device: str | None = None,
    file: str = "",
) -> Comparison:
    """Compare a record with the one that a baseline holds.

    Without ``rtol`` and ``atol`` each value has the tolerance that its sample size and the spread
    over seeds give it, such that two records of the same model from fresh random numbers are
    called "changed" with a probability of at most 1e-4 over all their values together. Where
    nothing varies (single values, no spread over seeds) 1e-4 relative and 1e-6 absolute are
    allowed. ``rtol`` and ``atol`` replace all of that; for the statistics of a tensor ``rtol`` is
    relative to the tensor's root mean square, and the one that is not given has its default.

    Layers, tensors, metrics and curves that were added, removed or renamed, another dtype, shape
    or nonlinearity, and values that are newly (not) finite are differences in any case. Records
    with equal values always match. Versions, platform, device, seeds and ``meta`` are not compared:
    a change becomes a note, and so does a number that the baseline does not hold yet.

    Raises:
        InitcheckError: a tolerance that is negative or not finite.
    """
    stored = expected if isinstance(expected, Stored) else freeze(expected)
    mine = freeze(actual)
    checks = list(_checks(mine, stored, _fixed(rtol, atol)))
    values = sum(check.values for check in checks)
    alpha = FAMILY / max(values, 1)
    found = [difference for check in checks if (difference := check.judge(alpha)) is not None]
    found.sort(key=lambda difference: -difference.excess)
    return Comparison(
        status="changed" if found else "match",
        differences=tuple(found),
        compared=values,
        notes=tuple(_notes(mine, stored, device, checks)),
        file=file,
        expected=stored.expected(),
        provenance=dict(stored.provenance),
    )


def _fixed(rtol: float | None, atol: float | None) -> Fixed | None:
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None and not 0 <= value < math.inf:
            raise InitcheckError(f"{name}={value!r}: pass a number of at least 0")
    if rtol is None and atol is None:
        return None
    return Fixed(RTOL if rtol is None else rtol, ATOL if atol is None else atol)


def _checks(actual: Stored, expected: Stored, fixed: Fixed | None) -> Iterator[Check]:
    a, e = actual.record, expected.record
    pairs = {moment: _pair(moment, a, e, fixed) for moment in ("before", "after")}

    def model(moment: str, mine: object, theirs: object) -> Iterator[Check]:
        pair = pairs[moment]
        if pair is not None:
            yield from pair.checks()
        elif mine is not theirs:
            yield same(moment, mine and "recorded", theirs and "recorded")

    def metric(_: str, mine: Metrics, theirs: Metrics) -> Iterator[Check]:
        for name in names(mine, theirs):
            curves = actual.bands.get(name), expected.bands.get(name)
            yield from seeds.metric(name, mine.get(name), theirs.get(name), fixed, curves)

    def curve(_: str, mine: Bands, theirs: Bands) -> Iterator[Check]:
        start = pairs["before"]
        for name in names(mine, theirs):
            yield from seeds.BandPair(
                key=f"curve {name}",
                actual=mine.get(name),
                expected=theirs.get(name),
                fixed=fixed,
                loss=start.curve_allowed if start and name == "loss" else None,
            ).checks()

    def record(_: str, mine: RunRecord, theirs: RunRecord) -> Iterator[Check]:
        return walk((mine, theirs), {"model": model, "metric": metric}, str, fixed)

    return walk((actual, expected), {"record": record, "curve": curve}, str, fixed)


def _pair(moment: str, a: RunRecord, e: RunRecord, fixed: Fixed | None) -> ModelPair | None:
    mine, theirs = getattr(a, moment), getattr(e, moment)
    if mine is None or theirs is None:
        return None
    return ModelPair(
        moment=moment, actual=mine, expected=theirs, fixed=fixed, trained=moment == "after"
    )


def _notes(
    actual: Stored, expected: Stored, device: str | None, checks: Iterable[Check]
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
        if now != was and key != "device":
            yield f"{key}: {now[:60]}, in the baseline {was[:60]}"
    lacking = dict.fromkeys(check.lacking for check in checks if check.lacking)
    if lacking:
        yield f"not in the baseline, and so not compared: {', '.join(lacking)}"


def _seeds(values: tuple[int, ...]) -> str:
    if len(values) > 8:
        return f"{len(values)} of them ({', '.join(map(str, values[:3]))}, …)"
    return ", ".join(map(str, values)) or "none"
