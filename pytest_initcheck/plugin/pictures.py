"""A matplotlib figure as text that fits into the report."""

from __future__ import annotations

import base64
import io
from typing import Any

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Picture

# A scatter of many points is larger as SVG than as PNG, and a report must stay light.
LARGEST_SVG = 60_000
COLOURS = 64


def drawn(title: str, figure: Any) -> Picture:
    """The figure as SVG, or as PNG where the SVG exceeds ``LARGEST_SVG`` characters.

    Equal figures give equal text. The figure is neither changed nor closed.

    Raises:
        InitcheckError: it is not a matplotlib figure or an Axes of one.
    """
    figure = getattr(figure, "figure", figure)
    if not hasattr(figure, "savefig"):
        raise InitcheckError(
            f"picture({title!r}): {type(figure).__name__} is no matplotlib figure; pass a Figure"
        )
    svg = _saved(figure, "svg", {"Date": None}).decode("utf-8")
    if len(svg) <= LARGEST_SVG:
        return Picture(str(title), "image/svg+xml", svg)
    png = _few_colours(_saved(figure, "png", {"Software": None}))
    return Picture(str(title), "image/png", base64.b64encode(png).decode("ascii"))


def _few_colours(png: bytes) -> bytes:
    """The picture with a palette, a third as large: matplotlib brings what does it."""
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(stream, format="png", optimize=True)
    return stream.getvalue()


def _saved(figure: Any, form: str, metadata: dict[str, None]) -> bytes:
    import matplotlib

    stream = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "initcheck", "svg.fonttype": "none"}):
        figure.savefig(stream, format=form, metadata=metadata, bbox_inches="tight", dpi=100)
    return stream.getvalue()
