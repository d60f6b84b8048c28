"""How a model was built: which calls wrote every parameter and buffer, and from where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Write:
    """One call that wrote to a tensor, or that made it.

    ``call`` is the initialiser ("kaiming_uniform_") or operator with its plain ``arguments``;
    ``file``, ``line`` and ``function`` are the innermost code outside of torch; ``share`` is the
    part of the tensor that it wrote. ``replaces``: what was there before does not matter any more,
    as after a draw or a fill; ``draws``: random numbers went in, ``discrete`` of them
    few different ones, as signs are. ``is_default``: a module of torch
    did it on its own account, as in ``reset_parameters`` of a layer that is made. ``order`` counts
    the writes of the whole construction.
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

    @property
    def what(self) -> str:
        """ "normal_(mean=0, std=0.02)"."""
        inside = ", ".join(f"{name}={value}" for name, value in self.arguments)
        return f"{self.call}({inside})" if inside or self.call.isidentifier() else self.call

    @property
    def where(self) -> str:
        """ "models.py:41", without the folders; empty where no such frame is known."""
        return f"{self.file.rsplit('/', 1)[-1]}:{self.line}" if self.file else ""

    def __str__(self) -> str:
        return f"{self.what} at {self.where}" if self.where else self.what


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
        """ "kaiming_uniform_(a=2.236) at models.py:41, then mul_(other=0.5) at models.py:57"."""
        return ", then ".join(str(write) for write in self.effective)


@dataclass(frozen=True, kw_only=True)
class ConstructionFacts:
    """What was recorded while a model was built, in the order of its parameters and buffers."""

    tensors: tuple[Built, ...] = field(default=())

    def of_layer(self, layer: str) -> tuple[Built, ...]:
        """The tensors that a module holds itself."""
        return tuple(built for built in self.tensors if built.layer == layer)

    def lines(self, layer: str) -> str:
        """ "models.py:57 and models.py:58": the lines that decide what a module's matrices hold, or
        all its parameters where it has none."""
        own = [b for b in self.of_layer(layer) if b.kind == "parameter" and b.is_known]
        chosen = [built for built in own if len(built.shape) > 1] or own
        places = (write.where for built in chosen for write in built.effective)
        return " and ".join(dict.fromkeys(place for place in places if place))

    def told(self, layer: str) -> str:
        """ "weight: normal_(std=0.02) at models.py:57; bias: zeros_() at models.py:58"."""
        own = [b for b in self.of_layer(layer) if b.kind == "parameter" and b.is_known]
        names = [built.name.removeprefix(f"{layer}.") for built in own]
        pairs = zip(names, own, strict=True)
        return "; ".join(f"{name}: {str(built) or 'never written'}" for name, built in pairs)
