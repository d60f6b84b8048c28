"""Tells a comparison in words: headline, worst case, a capped table, and what accepts it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence

from pytest_initcheck.records import Comparison, Difference

MOST_ROWS = 10
MOST_NAMES = 8
_HEADER = ("what", "actual", "baseline", "allowed", "excess")


def format_comparison(
    comparison: Comparison, name: str, nodeid: str = "", blocked: str = ""
) -> str:
    """The comparison of entry ``name`` as text without a final line break.

    The first line says how it stands. Differences follow worst first, at most 10 in a table, then
    the notes and the command that accepts or creates the baseline, for ``nodeid`` where given; or
    why no command would, where something is ``blocked``.
    """
    if comparison.status == "missing":
        return "\n".join(missing([name], comparison, nodeid, blocked))
    if comparison.status == "unreadable":
        return "\n".join([f"unreadable: the baseline of {name!r}", *comparison.notes])
    if comparison.status != "changed":
        return f"{comparison.status}: {name!r}, {_counted(comparison.compared, 'value')} compared"
    way_out = f"not accepted: {blocked}" if blocked else f"accept: {command(nodeid)}"
    return "\n".join([*changed_lines(comparison, name), way_out])


def changed_lines(comparison: Comparison, name: str) -> list[str]:
    """What differs from what, without a way out."""
    return [
        _headline(comparison, name),
        _worst(comparison.differences[0]),
        *table(comparison.differences),
        *(f"note: {note}" for note in comparison.notes),
        *_origin(comparison),
    ]


def missing(
    names: Sequence[str], comparison: Comparison, nodeid: str, blocked: str = ""
) -> list[str]:
    """The lines that tell of entries without a baseline; ``comparison`` is that of one of them."""
    place = f" in {comparison.file}" if comparison.file else ""
    told = ", ".join(map(repr, names[:MOST_NAMES]))
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return [
        f"missing: no baseline for {told}{more}{place}; nothing was written",
        *(f"note: {note}" for note in comparison.notes),
        f"not created: {blocked}" if blocked else f"create: {command(nodeid)}",
    ]


def _origin(comparison: Comparison) -> list[str]:
    if not comparison.file:
        return []
    known = comparison.provenance
    told = [
        f"{key} {known[key]}" for key in ("torch", "python", "platform", "device") if key in known
    ]
    made = f" (recorded with {', '.join(told)})" if told else ""
    return [f"baseline: {comparison.file}{made}"]


def _headline(comparison: Comparison, name: str) -> str:
    found, compared = len(comparison.differences), max(comparison.compared, 1)
    share = min(found / compared, 1.0)
    return (
        f"changed: {name!r} is not as in its baseline: {_counted(found, 'difference')} in"
        f" {_counted(compared, 'compared value')} ({100 * share:.3g} %)"
    )


def _worst(difference: Difference) -> str:
    d = difference
    times = f", {d.excess:.3g} times the allowed" if math.isfinite(d.excess) else ""
    return f"worst: {d.key}: {d.actual}, baseline {d.expected}, allowed {d.allowed}{times}"


def table(differences: Sequence[Difference], most: int = MOST_ROWS) -> list[str]:
    """The differences as aligned rows below a header, the last line telling how many are left."""
    rows = [_HEADER, *(_row(difference) for difference in differences[:most])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADER))]
    lines = ["  " + "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in rows]
    lines = [line.rstrip() for line in lines]
    if len(differences) > most:
        lines.append(f"  and {len(differences) - most} more, see the report")
    return lines


def _row(difference: Difference) -> tuple[str, ...]:
    excess = f"{difference.excess:.3g}×" if math.isfinite(difference.excess) else "-"
    texts = (difference.key, difference.actual, difference.expected, difference.allowed, excess)
    return tuple(text if len(text) <= 72 else text[:71] + "…" for text in texts)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def command(nodeid: str) -> str:
    """The command that writes the baselines of a test, a file, or all."""
    target = f" {shlex.quote(nodeid)}" if nodeid else ""
    # Alone, a test outside of the rootdir would have another one, and other baselines.
    root = " --rootdir=." if nodeid.startswith("..") else ""
    return f"pytest{target}{root} --initcheck-update"
