"""How a model was built: which calls wrote every parameter and buffer, and from where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pytest_initcheck.evidence.write import Write, story


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What random values are like. ``outlier`` is how many standard deviations the value furthest
    from the mean lies from it; ``distinct`` the number of different values among the first 1,024;
    ``rows`` and ``columns`` after how many all of them come again, 0 where they do not."""

    outlier: float
    distinct: int
    rows: int = 0
    columns: int = 0


@dataclass(frozen=True, kw_only=True)
class Built:
    """A parameter or buffer of a model, and how it came to its values.

    ``writes`` come in order, the first that made the memory included where it gave it values;
    ``unwritten`` is the share of the elements that nothing ever wrote to; ``lost`` are writes to
    tensors that were computed from this one and reached nothing: the tensor is as if they had not
    been; ``replaced`` those to tensors that once stood at its place; ``draw`` what its values are
    like where they were drawn, and ``twins`` the names of those of the same shape that were drawn
    as well and hold the very same values. ``is_known`` is False where
    its memory came from outside of what was recorded, or has no values yet (meta, lazy).
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

    @property
    def effective(self) -> tuple[Write, ...]:
        """The writes that what the tensor holds goes back to: from the last full one on."""
        full = [i for i, w in enumerate(self.writes) if w.replaces and w.share >= 1]
        return self.writes[full[-1] :] if full else self.writes

    @property
    def is_drawn(self) -> bool:
        """Whether random numbers went into what it holds."""
        return any(write.draws for write in self.effective)

    def __str__(self) -> str:
        """ "drawn by kaiming_uniform_(a=√5) at models.py:41, then multiplied by 0.5 at :57"."""
        return story(self.effective)


@dataclass(frozen=True, kw_only=True)
class ConstructionFacts:
    """What was recorded while a model was built, in the order of its parameters and buffers."""

    tensors: tuple[Built, ...] = field(default=())

    def of_layer(self, layer: str) -> tuple[Built, ...]:
        """The tensors that a module holds itself, or that its parametrisations hold for it."""
        inner = f"{layer}.parametrizations." if layer else "parametrizations."
        return tuple(b for b in self.tensors if b.layer == layer or b.layer.startswith(inner))

    def stories(self) -> dict[str, str]:
        """How each parameter and buffer came to its values, by name; the unknown left out."""
        return {b.name: str(b) or "never written" for b in self.tensors if b.is_known}

    def told(self, layer: str) -> str:
        """ "weight: drawn by normal_(std=0.02) at models.py:57; bias: set by zeros_() at …"."""
        own = [b for b in self.of_layer(layer) if b.kind == "parameter" and b.is_known]
        names = [built.name.removeprefix(f"{layer}.") for built in own]
        pairs = zip(names, own, strict=True)
        return "; ".join(f"{name}: {str(built) or 'never written'}" for name, built in pairs)
