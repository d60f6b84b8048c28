"""A line of a model's own code that scales weights by its depth."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ScalingLine:
    """Where an initialisation divides by the square root of a number of layers: the statement
    ``text`` in ``function``, at ``line`` of ``file``.

    ``parameters`` are those that it may be about; where it ``is_named``, because it names them.
    """

    file: str
    line: int
    function: str
    text: str
    parameters: frozenset[str] = frozenset()
    is_named: bool = False

    def __str__(self) -> str:
        return f"{self.file.rsplit('/', 1)[-1]}:{self.line} ({self.text})"
