"""How a model was built: which calls wrote every parameter and buffer, and from where."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from pytest_initcheck.evidence.buffers import OddBuffer, Role
from pytest_initcheck.evidence.law import Fans, Law
from pytest_initcheck.evidence.layer_names import ROOT, layer_of
from pytest_initcheck.evidence.write import Write, in_effect, story

# Beyond as many no sound draw lies, of some thousand weights.
STANDARD_ERRORS = 4.0


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What random values are like. ``mean``, ``std`` and ``kurtosis`` (3 for a normal law,
    1.8 for a uniform one) are of ``n`` of them;
    ``outlier`` is how many standard deviations the value furthest
    from the mean lies from it; ``distinct`` the number of different values among the first 64;
    ``tail``
    its distance over that which ``tail_share`` of the values exceed, where it is worth asking;
    ``rows`` and ``columns`` after how many all of them come again, 0 where they do not."""

    mean: float
    std: float
    kurtosis: float
    n: int
    outlier: float
    distinct: int
    tail: float = 0.0
    tail_share: float = 0.0
    rows: int = 0
    columns: int = 0

    def is_like(self, std: float) -> bool:
        """Whether a law of that standard deviation may have drawn these values.

        The standard error of a measured one is 1/√(2 n), relative, for a normal law, and smaller
        for a uniform one.
        """
        return abs(self.std / std - 1) < STANDARD_ERRORS / math.sqrt(2 * self.n)


@dataclass(frozen=True, kw_only=True)
class Built:
    """A parameter or buffer of a model, and how it came to its values.

    ``writes`` come in order, the first that made the memory included where it gave it values;
    ``unwritten`` is the share of the elements that nothing ever wrote to; ``lost`` are writes to
    tensors that were computed from this one and reached nothing: the tensor is as if they had not
    been; ``replaced`` those to tensors that once stood at its place; ``draw`` what its values are
    like where they were drawn, and ``twins`` the names of those of the same shape that were drawn
    as well and hold the very same values. ``is_known`` is False where
    its memory came from outside of what was recorded, or has no values yet (meta, lazy). ``fans``
    are those of a weight of torch's linear and convolutional layers, as they use it; ``role`` is
    what a buffer is for, by its name; ``had_values`` says that a tensor with values once stood at
    its place, as one does on the meta device.
    """

    name: str
    layer: str
    kind: Literal["parameter", "buffer"]
    shape: tuple[int, ...]
    dtype: str
    trainable: bool = False
    persistent: bool = True
    writes: tuple[Write, ...] = ()
    unwritten: float = 0.0
    lost: tuple[Write, ...] = ()
    replaced: tuple[Write, ...] = ()
    is_known: bool = True
    draw: Draw | None = None
    twins: tuple[str, ...] = ()
    fans: Fans | None = None
    role: Role = ""
    had_values: bool = False

    @cached_property
    def effective(self) -> tuple[Write, ...]:
        """The writes that what the tensor holds goes back to: from the last full one on."""
        return in_effect(self.writes)

    @property
    def law(self) -> Law | None:
        """The initialiser with a gain and a fan whose draw the whole tensor still holds.

        None where there was none, where it was torch's own module that called it, and where the
        values have another standard deviation by now.
        """
        first, draw = next(iter(self.effective), None), self.draw
        if first is None or first.law is None or first.is_default or draw is None:
            return None
        return first.law if draw.is_like(first.law.std) else None

    @cached_property
    def is_whole(self) -> bool:
        """Whether no write to a part of it is in effect: a patchwork of draws has no one law."""
        return all(write.share >= 1 for write in self.effective)

    @property
    def is_asked(self) -> bool:
        """Whether code outside of torch chose what the tensor holds."""
        return any(not write.is_default for write in self.effective)

    @cached_property
    def is_unseen(self) -> bool:
        """Whether something of it was written past torch, so that its values alone tell of it."""
        return any(write.is_unseen for write in self.effective)

    @property
    def is_drawn(self) -> bool:
        """Whether random numbers went into what it holds."""
        return any(write.draws for write in self.effective)

    @property
    def keeps_draw(self) -> bool:
        """Whether it holds random numbers that no further writes to parts can have replaced."""
        left = 0.0
        for write in self.effective:
            if write.draws:
                left = max(left, write.share)
            elif write.replaces:
                left -= write.share
        # Shares of elements written one by one add up with rounding.
        return left > 1e-6

    @property
    def is_read(self) -> bool:
        """Whether its values are read as they are: it is trained, or has a known part in every
        pass, or had values before. Other buffers may be room to write to."""
        return bool(self.trainable or self.role or self.had_values)

    @property
    def is_room(self) -> bool:
        """Whether it is memory to write to: nothing of it is read or saved, and some was never
        written."""
        is_state = self.kind == "parameter" or self.persistent or self.is_read
        return self.unwritten > 0 and not is_state

    def __str__(self) -> str:
        """ "drawn by kaiming_uniform_(a=√5) at models.py:41, then multiplied by 0.5 at :57"."""
        return story(self.effective)


@dataclass(frozen=True, kw_only=True)
class ConstructionFacts:
    """What was recorded while a model was built, in the order of its parameters and buffers.

    ``odd_buffers`` are those whose values cannot be meant so.
    """

    tensors: tuple[Built, ...] = field(default=())
    odd_buffers: tuple[OddBuffer, ...] = ()

    def without(self, names: Collection[str]) -> ConstructionFacts:
        """What still holds once the tensors of these names, or of these layers, were changed."""
        kept = (b for b in self.tensors if b.name not in names and b.layer not in names)
        return ConstructionFacts(tensors=tuple(kept), odd_buffers=self.odd_buffers)

    def of(self, name: str) -> Built | None:
        """The tensor of a name, where all its writes were recorded."""
        known = (b for b in self.tensors if b.is_known and not b.is_unseen)
        return next((b for b in known if b.name == name), None)

    def of_layer(self, layer: str) -> tuple[Built, ...]:
        """The tensors that a module holds itself, or that its parametrisations hold for it.

        Of the model as a whole a parameter is a layer of its own, unless the model is one layer.
        """
        if layer == ROOT:
            return tuple(b for b in self.tensors if layer_of(b.name) == ROOT)
        inner = f"{layer}.parametrizations." if layer else "parametrizations."
        return tuple(
            b for b in self.tensors if layer in (b.layer, b.name) or b.layer.startswith(inner)
        )

    def stories(self) -> dict[str, str]:
        """How each parameter and buffer came to its values, by name; the unknown left out."""
        return {b.name: str(b) or "never written" for b in self.tensors if b.is_known}

    def lines(self, layer: str) -> str:
        """ "models.py:57 and models.py:58": the lines that decide what a module's matrices hold, or
        all its parameters where it has none."""
        own = [b for b in self.of_layer(layer) if b.kind == "parameter" and b.is_known]
        chosen = [built for built in own if len(built.shape) > 1] or own
        places = (write.where for built in chosen for write in built.effective)
        return " and ".join(dict.fromkeys(place for place in places if place))

    def told(self, layer: str) -> str:
        """ "weight: drawn by normal_(std=0.02) at models.py:57; bias: set by zeros_() at …"."""
        own = [b for b in self.of_layer(layer) if b.kind == "parameter" and b.is_known]
        names = [built.name.removeprefix(f"{layer}.") for built in own]
        pairs = zip(names, own, strict=True)
        return "; ".join(f"{name}: {str(built) or 'never written'}" for name, built in pairs)
