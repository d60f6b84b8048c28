"""One call that wrote to a tensor, and several in a row, in words."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_initcheck.evidence.law import Law

# What operators that read what they write do, and the argument by which.
_CHANGES = {
    "mul": ("multiplied", "other"), "div": ("divided", "other"), "add": ("added to", "other"),
    "sub": ("subtracted from", "other"), "clamp": ("clamped", ""), "clip": ("clamped", ""),
    "round": ("rounded", ""), "erfinv": ("passed through erfinv", ""),
}  # fmt: skip
# The call of a write that no operator of torch made.
UNSEEN = "something outside of torch"


@dataclass(frozen=True, kw_only=True)
class Write:
    """One call that wrote to a tensor, or that made it.

    ``call`` is the initialiser ("kaiming_uniform_") or operator with its plain ``arguments``;
    ``file``, ``line`` and ``function`` are the innermost code outside of torch; ``share`` is the
    part of the tensor that it wrote. ``replaces``: what was there before does not matter any more,
    as after a draw or a fill; ``draws``: random numbers went in, ``discrete`` of them
    few different ones, as signs are. ``is_default``: a module of torch
    did it on its own account, as in ``reset_parameters`` of a layer that is made. ``order`` counts
    the writes of the whole construction; ``law`` is the initialiser of torch.nn.init with a gain
    and a fan that drew, if one did. Where ``call`` is an initialiser of somebody's own, ``inner``
    is what it had torch do, with ``inner_arguments``, and ``steps`` the operators that it ran on
    the tensor after that. `UNSEEN` as ``call`` stands for all that was written past torch: no line
    is known of it, and nothing of what it wrote.
    """

    call: str
    arguments: tuple[tuple[str, str], ...] = ()
    file: str = ""
    line: int = 0
    function: str = ""
    share: float = 1.0
    replaces: bool = True
    draws: bool = False
    discrete: bool = False
    is_default: bool = False
    order: int = 0
    law: Law | None = None
    inner: str = ""
    inner_arguments: tuple[tuple[str, str], ...] = ()
    steps: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """ "normal_(mean=0, std=0.02)"."""
        return _called(self.call, self.arguments)

    @property
    def where(self) -> str:
        """ "models.py:41", without the folders; empty where no such frame is known."""
        return f"{os.path.basename(self.file)}:{self.line}" if self.file else ""

    @property
    def is_unseen(self) -> bool:
        """Whether it was written past torch, by NumPy, C, or another thread or process."""
        return self.call == UNSEEN

    def number(self, name: str) -> float | None:
        """The number that torch got as an argument; None where it was none, or was not told."""
        text = dict(self.inner_arguments if self.inner else self.arguments).get(name, "")
        try:
            return math.sqrt(float(text[1:])) if text.startswith("√") else float(text)
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.what} at {self.where}" if self.where else self.what


def in_effect(writes: tuple[Write, ...]) -> tuple[Write, ...]:
    """From the last full one on: the writes that what is held goes back to."""
    for place in range(len(writes) - 1, 0, -1):
        if writes[place].replaces and writes[place].share >= 1:
            return writes[place:]
    return writes


def story(writes: Sequence[Write]) -> str:
    """ "drawn by kaiming_uniform_(a=√5) at models.py:41, then multiplied by 0.5 at :57".

    A file is named where it is another than that of the write before.
    """
    return ", then ".join(_clauses(writes))


def _clauses(writes: Sequence[Write]) -> Iterator[str]:
    file = ""
    for write in writes:
        at = f":{write.line}" if write.file == file else write.where
        part = "" if write.share >= 1 else f"{write.share:.0%}".replace("%", " % ")
        yield f"{part}{_deed(write)}{f' at {at}' if write.file else ''}"
        file = write.file


def _called(call: str, arguments: tuple[tuple[str, str], ...]) -> str:
    inside = ", ".join(f"{name}={value}" for name, value in arguments)
    return f"{call}({inside})" if inside or call.isidentifier() else call


def _deed(write: Write) -> str:
    change, argument = _CHANGES.get(write.call.rstrip("_"), ("", ""))
    is_draw = write.draws and write.replaces
    if not change or is_draw:
        verb = "drawn" if is_draw else "set" if write.replaces else "changed"
        inner = _called(write.inner, write.inner_arguments) if write.inner else ""
        return f"{verb} by {write.what}{f' as {inner}' if inner and write.draws else ''}"
    value = dict(write.arguments).get(argument, "")
    return f"{change} by {value}" if value and change in ("multiplied", "divided") else change
