"""Which axes of a program the values of a tensor lie along, however it is viewed at the moment."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pytest_initcheck.evidence import Reshape

Kind = Literal["crossed", "stacked", "torn"]
_keys = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Atom:
    """An axis that the program has made, or a part of one.

    A part keeps the ``key`` of the whole and lies at ``stride`` in it, so that parts that come
    together again are the whole. ``is_unit``: a layer made it, one value per unit. ``mixed`` is
    the reshape that left it in an axis beside parts of others, ``parts`` how many it left so.
    ``is_summed_to_one``: a softmax ran along it.
    """

    size: int
    key: int
    stride: int = 1
    is_unit: bool = False
    mixed: Reshape | None = None
    parts: int = 0
    is_summed_to_one: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Region:
    """Axes ``first`` to ``last`` of a shape, and the atoms that they share between them alone."""

    first: int
    last: int
    atoms: tuple[Atom, ...]
    sizes: tuple[int, ...]

    @property
    def mixed(self) -> set[int]:
        """The axes that hold parts of several atoms."""
        axes = _cut(self) if self.is_nested else [self.atoms] * len(self.sizes)
        pairs = zip(axes, self.sizes, strict=True)
        return {self.first + i for i, (held, size) in enumerate(pairs) if size > 1 < len(held)}

    @property
    def is_nested(self) -> bool:
        """Whether each boundary of an axis divides, or is divided by, each boundary of an atom."""
        before = itertools.accumulate((atom.size for atom in self.atoms), _times)
        marks = sorted({*before, *itertools.accumulate(self.sizes, _times)})
        return all(b % a == 0 for a, b in itertools.pairwise(marks))

    @property
    def kind(self) -> Kind | None:
        """How atoms and axes lie across each other; None where one of them is all of the other.

        They are "torn" where some axis has no whole number of steps along another, "stacked" where
        one axis joins what is whole to a part of the outermost or of the innermost atom, as frames
        are stacked or channels unrolled on purpose, and "crossed" otherwise.
        """
        if len(self.atoms) < 2 or sum(size > 1 for size in self.sizes) == 1:
            return None
        if not self.is_nested:
            return "torn"
        sizes = [size for size in self.sizes if size > 1]
        outer, inner = self.atoms[0].size, self.atoms[-1].size
        is_joined = outer % math.prod(sizes[:-1]) == 0 or inner % math.prod(sizes[1:]) == 0
        return "stacked" if is_joined else "crossed"


def _times(a: int, b: int) -> int:
    return a * b


@dataclass(frozen=True)
class AxisLayout:
    """The atoms of a tensor, the outermost first, and the shape in which it is seen.

    ``seen`` is the reshape by which axes came to lie across atoms, if they do; ``is_opened`` says
    that the program put an axis of one value in, as for a comparison of all pairs.
    """

    atoms: tuple[Atom, ...]
    shape: tuple[int, ...]
    seen: Reshape | None = None
    is_opened: bool = False

    @property
    def made(self) -> tuple[int, ...]:
        """The sizes of the axes that the program has made, parts that are seen as one as one."""
        return tuple(atom.size for region in self.regions() for atom in region.atoms)

    def regions(self) -> tuple[Region, ...]:
        """The shape in the smallest parts that share no atom.

        Parts of an atom that lie side by side are the whole again where the shape needs it.
        """
        return self._cut_up

    @functools.cached_property
    def _cut_up(self) -> tuple[Region, ...]:
        # Each reader of a tensor asks, and its layout stays what it is.
        return tuple(self._parts())

    def _parts(self) -> Iterator[Region]:
        for region in _regions(self.atoms, self.shape, 0):
            whole = joined(region.atoms) if region.kind else region.atoms
            if len(whole) < len(region.atoms):
                yield from _regions(whole, region.sizes, region.first)
            else:
                yield region

    def axes(self) -> list[tuple[Atom, ...]]:
        """The atoms along each axis; those of axes that lie across atoms are new, and marked."""
        return [atoms for region in self.regions() for atoms in self._split(region)]

    def _split(self, region: Region) -> list[tuple[Atom, ...]]:
        kind = region.kind
        axes = _cut(region) if region.is_nested else named_axes(region.sizes)
        if kind is None or kind == "stacked" or self.seen is None:
            return axes
        places = [axis - region.first for axis in region.mixed]
        count = sum(len(axes[place]) for place in places)
        for place in places:
            axes[place] = tuple(replace(a, mixed=self.seen, parts=count) for a in axes[place])
        return axes


def _regions(atoms: Sequence[Atom], shape: Sequence[int], first: int) -> Iterator[Region]:
    rest, held, known, count, start = iter(atoms), list[Atom](), 1, 1, 0
    for axis, size in enumerate(shape):
        count *= size
        while known < count:
            held.append(next(rest))
            known *= held[-1].size
        if known == count:
            yield Region(first + start, first + axis, tuple(held), tuple(shape[start : axis + 1]))
            held, known, count, start = [], 1, 1, axis + 1


def joined(atoms: Sequence[Atom]) -> tuple[Atom, ...]:
    """The atoms, parts that lie side by side as one; what is whole again is mixed up no more."""
    found: list[Atom] = []
    for atom in atoms:
        if found and _are_one(found[-1], atom):
            found[-1] = replace(atom, size=found[-1].size * atom.size, mixed=None)
        else:
            found.append(atom)
    return tuple(found)


def _are_one(outer: Atom, inner: Atom) -> bool:
    return outer.key == inner.key and outer.stride == inner.stride * inner.size


def _cut(region: Region) -> list[tuple[Atom, ...]]:
    """The axes of a region, each with the parts of atoms that it holds."""
    rest, found = list(region.atoms), []
    for size in region.sizes:
        axis: list[Atom] = []
        while size > 1:
            outer = rest.pop(0)
            taken = min(size, outer.size)
            left = outer.size // taken
            axis.append(replace(outer, size=taken, stride=outer.stride * left))
            if left > 1:
                rest.insert(0, replace(outer, size=left))
            size //= taken
        found.append(tuple(axis))
    return found


def named_axes(shape: Sequence[int], *, unit: int | None = None) -> list[tuple[Atom, ...]]:
    """Axes that are new; ``unit`` is the one that counts a layer's outputs."""
    return [
        (Atom(size=size, key=next(_keys), is_unit=axis == unit),) if size > 1 else ()
        for axis, size in enumerate(shape)
    ]


def laid_out(axes: Sequence[tuple[Atom, ...]]) -> AxisLayout:
    """The layout of a tensor with these axes."""
    shape = tuple(math.prod(atom.size for atom in axis) for axis in axes)
    return AxisLayout(tuple(itertools.chain.from_iterable(axes)), shape)


def summed_to_one(layout: AxisLayout, along: int) -> AxisLayout:
    """The layout with the atoms of an axis marked, where these are all that lies along it."""
    atoms, start = list(layout.atoms), 0
    for region in _regions(layout.atoms, layout.shape, 0):
        end = start + len(region.atoms)
        if region.first == along == region.last:
            atoms[start:end] = [replace(a, is_summed_to_one=True) for a in region.atoms]
        start = end
    return replace(layout, atoms=tuple(atoms))


@dataclass(frozen=True)
class Meant:
    """What makes a shape by moving axes: cut into ``parts``, permute to ``order``, then join."""

    parts: tuple[int, ...]
    order: tuple[int, ...]


def intended(before: Sequence[int], after: Sequence[int]) -> Meant | None:
    """How axes had to be moved to make a shape, where some had to; None where nothing makes it.

    Either axes are cut up and then moved, or moved and then joined.
    """
    cut = next(_assigned(list(before), list(after)), None)
    if cut is not None:
        places = sorted(range(len(after)), key=lambda place: (cut[place], place))
        order = tuple(places.index(place) for place in range(len(places)))
        return Meant(tuple(after[place] for place in places), order)
    joined = next(_assigned(list(after), list(before)), None)
    if joined is not None:
        return Meant(tuple(before), tuple(sorted(range(len(before)), key=joined.__getitem__)))
    return None


def _assigned(rest: list[int], parts: list[int]) -> Iterator[tuple[int, ...]]:
    """For each part, the place of what it may be a part of, so that nothing is left."""
    if not parts:
        if all(size == 1 for size in rest):
            yield ()
        return
    # An axis as a whole before a part of another.
    for place in sorted(range(len(rest)), key=lambda place: rest[place] != parts[0]):
        if rest[place] > 1 and rest[place] % parts[0] == 0:
            left = [size // parts[0] if i == place else size for i, size in enumerate(rest)]
            for others in _assigned(left, parts[1:]):
                yield (place, *others)


def is_shuffle(before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether blocks of r × r channels were meant to become pixels, or pixels channels."""
    small, large = (before, after) if before[-1] < after[-1] else (after, before)
    if len(small) < 3 or len(large) < 2 or large[-1] % small[-1]:
        return False
    factor = large[-1] // small[-1]
    channels = math.prod(large[:-2]) * factor * factor
    return factor > 1 and large[-2] == small[-2] * factor and math.prod(small[:-2]) == channels


def is_suspect(region: Region) -> bool:
    """Whether a shape takes axes for others: moving them explains it, or it tears a layer's units.

    Shapes that tear nothing but positions, such as chunks of the rows of a grid, may be meant.
    """
    if region.kind is None:
        return False
    is_torn = region.kind == "torn" and any(atom.is_unit for atom in region.atoms)
    return is_torn or _explained(region)


def is_certain(region: Region) -> bool:
    """Whether only a mistake makes this shape."""
    has_units = any(atom.is_unit for atom in region.atoms)
    return _explained(region) and (region.kind != "stacked" or has_units)


def _explained(region: Region) -> bool:
    before = [atom.size for atom in region.atoms]
    after = [size for size in region.sizes if size > 1]
    return intended(before, after) is not None or is_shuffle(before, after)
