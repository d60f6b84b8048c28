"""Texts of the page: each held once, none with what a page must not show."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from pytest_initcheck.report import summary

# Two folders or more from a root: where somebody works is nobody else's business.
_PATH = re.compile(
    r"file:/{2,}[^\s'\"<>]+"
    r"|(?<![\w./~\-])(?:~|/[^\s:'\"<>()|,;/]+)(?:/[^\s:'\"<>()|,;/]+)+"
    r"|\b[A-Za-z]:\\[^\s:'\"<>|,;]+"
)
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|(?:API|ACCESS|PRIVATE)_?KEY", re.IGNORECASE)
LEAST_SECRET = 8
_BEFORE = re.compile(r"^before\b")
_WEIGHTS = re.compile(r"\bweights\.(?=\S)")
_GRADIENTS = re.compile(r"\bgradients\.(?=\S)")


@functools.cache
def _secrets() -> re.Pattern[str] | None:
    """What the environment holds under a name that speaks of a secret."""
    found = [v for k, v in os.environ.items() if _SECRET.search(k) and len(v) >= LEAST_SECRET]
    return re.compile("|".join(map(re.escape, sorted(found, key=len)[::-1]))) if found else None


def safe_text(text: str) -> str:
    """The text as the page shows it: no control characters, of absolute paths the last part.

    Values of environment variables that are secrets by their names are starred out.
    """
    text = summary.printable(summary.clean(str(text)))
    secrets = _secrets()
    if secrets is not None:
        text = secrets.sub("***", text)
    if "/" in text or "\\" in text:
        text = _PATH.sub(_last_part, text)
    return text


def _last_part(match: re.Match[str]) -> str:
    last = re.split(r"[/\\]", match[0].rstrip("/\\"))[-1]
    return f"…/{last}"


def difference_words(key: str) -> str:
    """What left its tolerance, in the page's terms: "start", "weight", "gradient of weight"."""
    key = _BEFORE.sub("start", key)
    return _GRADIENTS.sub("gradient of ", _WEIGHTS.sub("", key))


@dataclass
class Texts:
    """The texts that a page holds; all else refers to them by their place."""

    all: list[str] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)

    def add(self, text: str) -> int:
        """The place of the text, which is added where it is new."""
        place = self._places.get(text)
        if place is None:
            place = self._places[text] = len(self.all)
            self.all.append(safe_text(text))
        return place

    def add_all(self, texts: Iterable[str]) -> list[int]:
        """The places of several texts."""
        return [self.add(text) for text in texts]
