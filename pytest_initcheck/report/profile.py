"""The profile of a finding: a quantity from layer to layer, on a log scale."""

from __future__ import annotations

import math
from collections.abc import Mapping

from markupsafe import Markup, escape

from pytest_initcheck.report.axes import Scale, number, ticks
from pytest_initcheck.report.summary import shorten

WIDTH, HEIGHT, LEFT, TOP, BASE = 520, 132, 56, 8, 106
MOST_LAYERS = 120
MOST_WORDS = 8


def profile_svg(profile: Mapping[str, float], limit: float | None) -> Markup:
    """The quantity at each layer in the order in which they run, with the limit as a line.

    Empty where fewer than two layers have a positive finite value. Of more than 120 layers some
    are left out, evenly.
    """
    points = _thinned({n: v for n, v in profile.items() if 0 < v < math.inf})
    if len(points) < 2:
        return Markup("")
    limit = limit if limit and 0 < limit < math.inf else None
    bounds = [*points.values(), *([limit] if limit else [])]
    scale = Scale.around(bounds, log=True)
    places = [(_x(i, len(points)), _y(scale, v)) for i, v in enumerate(points.values())]
    line = "L".join(f"{x:.0f} {y:.1f}" for x, y in places)
    marks = "".join(
        f'<circle cx="{x:.0f}" cy="{y:.1f}" r="3"><title>{escape(name)}: {value:.3g}</title>'
        "</circle>"
        for (x, y), (name, value) in zip(places, points.items(), strict=True)
    )
    names = list(points)
    return Markup(
        f'<svg class="p" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>{escape(profile_text(profile))}</title>{_grid(scale)}{_limit(scale, limit)}"
        f'<path class="mean" d="M{line}"/>{marks}'
        f'<text x="{LEFT}" y="{HEIGHT - 6}">{escape(shorten(names[0], 30))}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 6}" text-anchor="end">{escape(shorten(names[-1], 30))}'
        "</text></svg>"
    )


def profile_text(profile: Mapping[str, float]) -> str:
    """The profile in words, of at most eight layers spread evenly: "0: 1, 2: 0.01, …"."""
    chosen = _thinned(dict(profile), MOST_WORDS)
    return ", ".join(f"{name or 'model'}: {value:.2g}" for name, value in chosen.items())


def _thinned(points: dict[str, float], most: int = MOST_LAYERS) -> dict[str, float]:
    names = list(points)
    if len(names) <= most:
        return points
    step = (len(names) - 1) / (most - 1)
    return {names[round(i * step)]: points[names[round(i * step)]] for i in range(most)}


def _x(index: int, count: int) -> float:
    return LEFT + 4 + index * (WIDTH - LEFT - 8) / (count - 1)


def _y(scale: Scale, value: float) -> float:
    return BASE - (BASE - TOP) * scale.place(value)


def _grid(scale: Scale) -> str:
    return "".join(_line(_y(scale, tick), number(tick)) for tick in ticks(scale, 4))


def _line(y: float, text: str) -> str:
    label = f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    return f'<path class="g" d="M{LEFT} {y:.1f}H{WIDTH}"/>{label}'


def _limit(scale: Scale, limit: float | None) -> str:
    if not limit or not scale.low <= limit <= scale.high:
        return ""
    return f'<path class="limit" d="M{LEFT} {_y(scale, limit):.1f}H{WIDTH}"/>'
