"""Holds a record against a stored one: what differs by more than chance, worst first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from pytest_initcheck.baseline import seeds
from pytest_initcheck.baseline.judge import Check, Fixed, same
from pytest_initcheck.baseline.models import Pair
from pytest_initcheck.baseline.stored import Stored, freeze
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Comparison, RunRecord

FAMILY = 1e-4


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
    a change becomes a note.

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
        notes=tuple(_notes(mine, stored, device)),
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
    return Fixed(seeds.RTOL if rtol is None else rtol, seeds.ATOL if atol is None else atol)


def _checks(actual: Stored, expected: Stored, fixed: Fixed | None) -> Iterator[Check]:
    a, e = actual.record, expected.record
    pairs: dict[str, Pair] = {}
    for moment in ("before", "after"):
        mine, theirs = getattr(a, moment), getattr(e, moment)
        if mine is not None and theirs is not None:
            pairs[moment] = Pair(
                moment=moment, actual=mine, expected=theirs, fixed=fixed, trained=moment == "after"
            )
        elif mine is not theirs:
            yield same(moment, mine and "recorded", theirs and "recorded")
    for name in _names(a.metrics, e.metrics):
        curves = actual.bands.get(name), expected.bands.get(name)
        values = a.metrics.get(name), e.metrics.get(name)
        yield from seeds.metric(name, *values, fixed, curves)
    for name in _names(actual.bands, expected.bands):
        loss = pairs["before"].curve_allowed if name == "loss" and "before" in pairs else None
        yield from seeds.BandPair(
            key=f"curve {name}",
            actual=actual.bands.get(name),
            expected=expected.bands.get(name),
            fixed=fixed,
            loss=loss,
        ).checks()
    for pair in pairs.values():
        yield from pair.checks()


def _names(actual: Mapping[str, object], expected: Mapping[str, object]) -> list[str]:
    return list(dict.fromkeys([*expected, *actual]))


def _notes(actual: Stored, expected: Stored, device: str | None) -> Iterator[str]:
    was = expected.provenance.get("device", "").partition(":")[0]
    now = (device or "").partition(":")[0]
    if was and now and was != now:
        yield f"the baseline was recorded on {was}, this run is on {now}"
    mine, theirs = actual.record, expected.record
    if mine.seeds != theirs.seeds:
        yield f"seeds: {_seeds(mine.seeds)}, in the baseline {_seeds(theirs.seeds)}"
    for key in _names(mine.meta, theirs.meta):
        now, was = mine.meta.get(key, "absent"), theirs.meta.get(key, "absent")
        if now != was and key != "device":
            yield f"{key}: {now[:60]}, in the baseline {was[:60]}"


def _seeds(values: tuple[int, ...]) -> str:
    if len(values) > 8:
        return f"{len(values)} of them ({', '.join(map(str, values[:3]))}, …)"
    return ", ".join(map(str, values)) or "none"
