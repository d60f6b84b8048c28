"""The path of a decision over seeds, in words and as charts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from pytest_initcheck.records import Bounds, Decision, Look, SessionRecord
from pytest_initcheck.report.curves import CurveView, Line, Point
from pytest_initcheck.report.summary import NONE, in_words

TITLES = {
    "baseline": "against the baseline: {about}, in standard deviations",
    "share": "seeds that succeed",
}
_ORDINALS = {1: "1st", 2: "2nd", 3: "3rd"}


def path_text(looks: Sequence[Look]) -> str:
    """ "4 of at most 16 seeds: within chance after the 1st look"; "" where none was taken."""
    if not looks:
        return ""
    last, count = looks[-1], len({look.seeds for look in looks})
    place = _ORDINALS.get(count, f"{count}th")
    answers = " and ".join(_answers(looks))
    return f"{last.seeds} of at most {last.most} seeds: {answers} after the {place} look"


def seeds_text(session: SessionRecord) -> str:
    """The path of one run, or how many seeds several took in all; "" for none."""
    paths = [entry.looks for test in session.tests for entry in test.entries if entry.looks]
    if len(paths) < 2:
        return path_text(paths[0]) if paths else ""
    taken, most = (sum(getattr(looks[-1], of) for looks in paths) for of in ("seeds", "most"))
    answers: Counter[str] = Counter(answer for looks in paths for answer in _answers(looks))
    return f"{taken} of at most {most} in {len(paths)} runs: {in_words(answers, NONE)}"


def _answers(looks: Sequence[Look]) -> list[Decision]:
    """What the last look said to each question."""
    return [look.decision for look in looks if look.seeds == looks[-1].seeds]


def look_views(looks: Sequence[Look]) -> tuple[CurveView, ...]:
    """One chart per question: the statistic against its bounds, by the number of seeds."""
    questions = dict.fromkeys(look.question for look in looks)
    return tuple(_view([look for look in looks if look.question == one]) for one in questions)


def _view(looks: Sequence[Look]) -> CurveView:
    last = looks[-1]
    lines = (
        Line("statistic", tuple((float(look.seeds), _height(look)) for look in looks)),
        Line("accepts", _line(last.bounds, lambda bounds: bounds.accepts)),
        Line("rejects", _line(last.bounds, lambda bounds: bounds.rejects)),
    )
    told = (f"{look.seeds} seeds: {look.statistic:.3g}, {look.decision}" for look in looks)
    return CurveView(
        title=_title(last),
        x_label="seeds",
        lines=tuple(line for line in lines if line.points),
        note="; ".join(told),
    )


def _line(bounds: Sequence[Bounds], of: Callable[[Bounds], float | None]) -> tuple[Point, ...]:
    found = ((float(one.seeds), of(one)) for one in bounds)
    return tuple((seeds, math.nan if value is None else value) for seeds, value in found)


def _height(look: Look) -> float:
    """The statistic; where that is beyond all chance, a place above every bound."""
    if math.isfinite(look.statistic):
        return look.statistic
    return 1.5 * max((one.rejects or 0.0 for one in look.bounds), default=1.0)


def _title(look: Look) -> str:
    # A question of a run.json that somebody else wrote is no template.
    known = TITLES.get(look.question)
    return look.question if known is None else known.format(about=look.about)
