"""Histograms and line charts as plain inline SVG paths, a kilobyte each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from pytest_initcheck.records import Histogram
from pytest_initcheck.report.axes import Scale, number, ticks
from pytest_initcheck.report.curves import Band, CurveView, Point
from pytest_initcheck.report.layers import HistogramView
from pytest_initcheck.report.summary import shorten

WIDTH, HEIGHT, TOP, BASE = 320, 118, 14, 96  # of a histogram, in units of its viewBox
BINS = 40
SAME, TINY = 1e-5, 1e-12
WIDEST = 1e300  # beyond it the width of a range overflows
LOG_CONTRAST = 8.0  # between the peaks of two histograms
SPIKE = 5.0  # of a bin over the third highest: one or two spikes, as of relu or sigmoid
WORDS = {
    "before": "start",
    "after": "after",
    "base-before": "baseline, start",
    "base-after": "baseline, after",
    "seed": "one seed",
    "mean": "mean",
    "band": "± 1 standard deviation",
    "baseline": "baseline mean",
    "base-band": "baseline ± 1 standard deviation",
    "statistic": "what the seeds say",
    "accepts": "enough to accept",
    "rejects": "enough to reject",
}
_CLASS = {"before": "b", "after": "a", "base-before": "e", "base-after": "f"}


def histogram_svg(view: HistogramView) -> Markup:
    """The tensor's histograms on one range, as shares of its values per bin.

    Each path carries its counts in ``data-c``, from which the page redraws it on a log scale.
    """
    drawable = [(name, h) for name, h in view.series if _is_drawable(h)]
    if not drawable:
        return Markup('<p class="empty">nothing to draw</p>')
    low, high = _domain([h for _, h in drawable])
    counted = [(name, _on_range(h, low, high, drawable)) for name, h in drawable]
    shares = [(name, [c / sum(counts) for c in counts], counts) for name, counts in counted]
    top = max(max(share) for _, share, _ in shares)
    log = _helps_log([share for _, share, _ in shares])
    floor = min(value for _, share, _ in shares for value in share if value > 0) / 2
    scale = Scale(floor if log else 0.0, top, log)
    paths = "".join(_step_path(name, share, counts, scale) for name, share, counts in shares)
    mark = ' data-log=""' if log else ""
    return Markup(
        f'<svg class="h" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" data-lo="{low:.6g}" '
        f'data-hi="{high:.6g}"{mark}><title>{_describe(view)}</title>'
        f'{paths}<path class="x" d="M0 {BASE}H{WIDTH}"/>{_x_labels(low, high)}'
        f'<text class="y" x="2" y="10">{_peak(top, log)}</text></svg>'
    )


def _is_drawable(histogram: Histogram) -> bool:
    ends = max(abs(histogram.low), abs(histogram.high)) < WIDEST
    return ends and histogram.high >= histogram.low and sum(histogram.counts) > 0


def _domain(histograms: Sequence[Histogram]) -> tuple[float, float]:
    low = min(h.low for h in histograms)
    high = max(h.high for h in histograms)
    if high > low and math.isfinite(high - low):
        return low, high
    room = abs(low) / 2 or 1.0
    return low - room, high + room


def _on_range(
    histogram: Histogram, low: float, high: float, drawn: Sequence[tuple[str, Histogram]]
) -> list[float]:
    sizes = {(h.low, h.high, len(h.counts)) for _, h in drawn}
    if len(sizes) == 1 and (histogram.low, histogram.high) == (low, high):
        return [float(count) for count in histogram.counts]
    return resample(histogram, low, high, BINS)


def resample(histogram: Histogram, low: float, high: float, bins: int) -> list[float]:
    """The counts in ``bins`` equal bins over ``[low, high]``, each old bin spread out."""
    counts = [0.0] * bins
    width = (high - low) / bins
    own = (histogram.high - histogram.low) / len(histogram.counts)
    for i, count in enumerate(histogram.counts):
        if count > 0:
            start = (histogram.low - low + i * own) / width
            _spread(counts, start, start + own / width, count)
    return counts


def _spread(counts: list[float], start: float, end: float, count: float) -> None:
    last = len(counts) - 1
    first, final = (min(max(int(edge), 0), last) for edge in (start, end))
    if first == final or end <= start:
        counts[first] += count
        return
    for place in range(first, final + 1):
        overlap = min(end, place + 1) - max(start, place)
        counts[place] += count * max(overlap, 0.0) / (end - start)


def _helps_log(shares: Sequence[Sequence[float]]) -> bool:
    # A narrow peak hides a wide histogram beside it, and a spike hides its own tails.
    peaks = [max(share) for share in shares]
    if max(peaks) > LOG_CONTRAST * min(peaks):
        return True
    ranked = [sorted((value for value in share if value > 0), reverse=True) for share in shares]
    return any(len(values) > 4 and values[0] > SPIKE * values[2] for values in ranked)


def _step_path(name: str, share: Sequence[float], counts: Sequence[float], scale: Scale) -> str:
    heights = [round((BASE - TOP) * scale.place(value)) for value in share]
    places = [round(i * WIDTH / len(share)) for i in range(len(share) + 1)]
    steps, level = [f"M0 {BASE}"], 0
    for i, height in enumerate(heights):
        if height != level:
            steps.append(f"v{level - height}")
            level = height
        steps.append(f"h{places[i + 1] - places[i]}")
    steps.append(f"V{BASE}")
    data = " ".join(f"{count:.4g}" for count in counts)
    return f'<path class="{_CLASS[name]}" d="{"".join(_joined(steps))}" data-c="{data}"/>'


def _joined(steps: Iterable[str]) -> list[str]:
    joined: list[str] = []
    for step in steps:
        if joined and step[0] == "h" == joined[-1][0]:
            joined[-1] = f"h{int(joined[-1][1:]) + int(step[1:])}"
        else:
            joined.append(step)
    return joined


def _x_labels(low: float, high: float) -> str:
    left, right = number(low, high - low), number(high, high - low)
    text = f'<text x="2" y="{HEIGHT - 6}">{left}</text>'
    zero = -low / (high - low) * WIDTH
    if 0.22 * WIDTH < zero < 0.78 * WIDTH:
        text += f'<path class="z" d="M{zero:.0f} {BASE}v4"/>'
        text += f'<text class="m" x="{zero:.0f}" y="{HEIGHT - 6}">0</text>'
    return text + f'<text class="r" x="{WIDTH - 2}" y="{HEIGHT - 6}">{right}</text>'


def _peak(top: float, log: bool) -> str:
    return f"peak {100 * top:.3g} % a bin" + (", log" if log else "")


def _describe(view: HistogramView) -> Markup:
    parts = [
        f"{WORDS[name]} mean {stats.mean:.3g} std {stats.std:.3g}"
        for name, stats in view.stats
        if stats.mean is not None and stats.std is not None
    ]
    return escape(f"{shorten(view.layer, 60)} {view.tensor} {view.role}: {'; '.join(parts)}")


W, H, LEFT, RIGHT, UP, DOWN = 520, 230, 58, 512, 10, 196  # of a line chart


def line_svg(view: CurveView) -> Markup:
    """The chart's bands and lines with numbered axes; NaN and inf leave a gap."""
    points = [p for line in view.lines for p in line.points]
    if not view.log:  # There the lower edge of a band can lie decades below every seed.
        points += [p for band in view.bands for p in (*band.low, *band.high)]
    ys = [y for _, y in points if math.isfinite(y) and (y > 0 or not view.log)]
    if not ys:
        return Markup('<p class="empty">nothing to draw</p>')
    y_scale = Scale.around(ys, view.log)
    x_scale = Scale.exactly([x for x, _ in points])
    frame = _Frame(x_scale, y_scale)
    bands = "".join(frame.band(band) for band in view.bands)
    lines = "".join(f'<path class="{n}" d="{frame.path(p)}"/>' for n, p in _by_series(view))
    return Markup(
        f'<svg class="l" viewBox="0 0 {W} {H}" role="img"><title>{_curve_title(view)}</title>'
        f"{frame.grid(view)}{bands}{lines}</svg>"
    )


def _by_series(view: CurveView) -> list[tuple[str, list[tuple[Point, ...]]]]:
    grouped: dict[str, list[tuple[Point, ...]]] = {}
    for line in view.lines:
        grouped.setdefault(line.series, []).append(line.points)
    return list(grouped.items())


def _curve_title(view: CurveView) -> Markup:
    text = f"{shorten(view.title, 60)} by {view.x_label}"
    for line in view.lines:
        finite = [y for _, y in line.points if math.isfinite(y)]
        if line.series != "seed" and finite:
            text += f"; {WORDS[line.series]} from {finite[0]:.3g} to {finite[-1]:.3g}"
    return escape(text)


class _Frame:
    """The plot area: places points, draws the grid."""

    def __init__(self, x_scale: Scale, y_scale: Scale) -> None:
        self.x_scale, self.y_scale = x_scale, y_scale

    def _x(self, x: float) -> str:
        return f"{LEFT + (RIGHT - LEFT) * self.x_scale.place(x):.1f}".removesuffix(".0")

    def _y(self, y: float) -> str:
        return f"{DOWN - (DOWN - UP) * self.y_scale.place(y):.1f}".removesuffix(".0")

    def path(self, lines: Sequence[tuple[Point, ...]]) -> str:
        """One path for many lines; a value that is not finite lifts the pen."""
        steps = []
        for points in lines:
            pen = "M"
            for i, (x, y) in enumerate(points):
                if not math.isfinite(y):
                    pen = "M"
                    continue
                steps.append(f"{pen}{self._x(x)} {self._y(y)}")
                if pen == "M" and (i + 1 == len(points) or not math.isfinite(points[i + 1][1])):
                    steps.append("h0")  # A round cap makes a lone point visible.
                pen = " "  # After a move, further pairs are lines.
        return "".join(steps)

    def band(self, band: Band) -> str:
        """The area between the band's lines, split where a value is not finite."""
        steps, run = [], []
        pairs = [*zip(band.low, band.high, strict=True), ((0.0, math.nan), (0.0, math.nan))]
        for low, high in pairs:
            if math.isfinite(low[1]) and math.isfinite(high[1]):
                run.append((low, high))
            elif run:
                edge = [high for _, high in run] + [low for low, _ in reversed(run)]
                steps.append("M" + "L".join(f"{self._x(x)} {self._y(y)}" for x, y in edge) + "Z")
                run = []
        return f'<path class="{band.series}" d="{"".join(steps)}"/>'

    def grid(self, view: CurveView) -> str:
        """Grid lines and numbers; layers have names, of which the first and last are shown."""
        scale = self.y_scale
        parts = []
        for y in ticks(scale):
            place = self._y(y)
            parts.append(f'<path class="g" d="M{LEFT} {place}H{RIGHT}"/>')
            label = number(y, scale.high - scale.low)
            parts.append(f'<text class="r" x="{LEFT - 6}" y="{float(place) + 4:g}">{label}</text>')
        parts.append(f'<path class="x" d="M{LEFT} {DOWN}H{RIGHT}"/>')
        parts += self._names(view.names) if view.names else self._numbers()
        kind = ", log scale" if scale.log else ""
        middle = (LEFT + RIGHT) // 2
        parts.append(
            f'<text class="m" x="{middle}" y="{H - 4}">{escape(view.x_label)}{kind}</text>'
        )
        return "".join(parts)

    def _numbers(self) -> list[str]:
        marks = [x for x in ticks(self.x_scale, 6) if x == int(x)]
        return [f'<text class="m" x="{self._x(x)}" y="{DOWN + 15}">{x:g}</text>' for x in marks]

    def _names(self, names: Sequence[str]) -> list[str]:
        first, last = escape(shorten(names[0], 24)), escape(shorten(names[-1], 24))
        return [
            f'<text x="{LEFT}" y="{DOWN + 15}">{first}</text>',
            f'<text class="r" x="{RIGHT}" y="{DOWN + 15}">{last}</text>',
        ]


def _calm_scale(values: Sequence[float]) -> Scale:
    # Values that differ by rounding alone sit on one place.
    low, high = min(values), max(values)
    size = max(abs(low), abs(high))
    if high - low <= SAME * size:
        return Scale(low - size / 10 - TINY, high + size / 10 + TINY)
    return Scale.around(values, False)


def strip_svg(values: Sequence[float], expected: Sequence[float]) -> Markup:
    """The values of one metric as a strip of dots, the baseline's as ticks below them."""
    there = [v for v in values if math.isfinite(v)]
    known = [v for v in expected if math.isfinite(v)]
    if len(there) < 2:
        return Markup("")
    scale = _calm_scale([*there, *known])
    dots = "".join(f'<path class="dot" d="M{4 + 132 * scale.place(v):.1f} 9h0"/>' for v in there)
    marks = "".join(f'<path class="tick" d="M{4 + 132 * scale.place(v):.1f} 15v6"/>' for v in known)
    title = escape(f"{len(there)} values from {min(there):.4g} to {max(there):.4g}")
    return Markup(
        f'<svg class="s" viewBox="0 0 140 22" role="img"><title>{title}</title>'
        f'<path class="g" d="M4 9H136"/>{dots}{marks}</svg>'
    )
