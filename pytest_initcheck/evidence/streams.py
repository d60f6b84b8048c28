"""Residual streams: chains of additions in which one operand is the stream itself."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from pytest_initcheck.evidence.graph import Node, is_norm, normalises

# What adds one tensor to another, in place or not.
ADDING = frozenset({"add", "sub", "rsub", "addcmul", "addcdiv", "lerp"})
# What adds a tensor to the product of a layer.
_ADDING_LAYERS = frozenset({"addmm", "baddbmm", "addbmm", "addmv"})
_SCALING = frozenset({"mul", "div", "addcmul", "lerp", "sub", "add"})
_GATES = frozenset({"sigmoid", "hardsigmoid", "softmax"})
# Of longer traces, such as those of loops over thousands of positions, no ancestors are kept.
_LONGEST = 20_000
# Nodes between two additions of a stream.
_FAR = 64


@dataclass(frozen=True, kw_only=True)
class Writer:
    """The layer that writes a branch last: its node and the matrix that it writes with.

    ``gains`` are parameters by which the branch is multiplied behind it, ``factor`` is the product
    of the constants; ``is_normalised`` says that a normalisation takes its scale back, ``is_plain``
    that the matrix is used as it is stored.
    """

    node: int
    parameter: str
    gains: tuple[str, ...] = ()
    factor: float = 1.0
    is_normalised: bool = False
    is_plain: bool = True


@dataclass(frozen=True, kw_only=True)
class Addition:
    """One addition to a stream: which operand (a node) is the stream, and which the branch.

    ``readers`` are the matrices of the branch that do not write it last.
    """

    node: int
    owner: str
    skip: int
    branch: int
    writers: tuple[Writer, ...]
    readers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The additions of one stream, in the order in which they ran."""

    additions: tuple[Addition, ...]

    @property
    def name(self) -> str:
        """The innermost module that holds all its additions, "" for the model."""
        paths = [addition.owner.split(".") if addition.owner else [] for addition in self.additions]
        shared = []
        for parts in zip(*paths, strict=False):
            if len(set(parts)) > 1:
                break
            shared.append(parts[0])
        return ".".join(shared)

    @property
    def writers(self) -> tuple[Writer, ...]:
        """All its writers, each matrix once."""
        found = {w.parameter: w for addition in self.additions for w in addition.writers}
        return tuple(found.values())

    @property
    def readers(self) -> tuple[str, ...]:
        """The matrices of its branches that write nothing."""
        mine = {writer.parameter for writer in self.writers}
        found = dict.fromkeys(name for one in self.additions for name in one.readers)
        return tuple(name for name in found if name not in mine)


def residual_streams(nodes: Sequence[Node], matrices: Collection[str]) -> tuple[Stream, ...]:
    """The streams of a traced graph, in the order in which they begin.

    An addition belongs to one where an operand, or what that is a normalised, scaled or otherwise
    reshaped form of, leads through a layer to the other operand. ``matrices`` are the parameters of
    two dimensions and more.
    """
    if len(nodes) > _LONGEST or not any(is_sum(node) for node in nodes):
        return ()
    finder = _Finder(nodes, frozenset(matrices))
    return tuple(Stream(additions=tuple(found)) for found in finder.streams())


def is_sum(node: Node) -> bool:
    """Whether a traced operation adds data to data."""
    return len(node.inputs) > 1 and adds(node.operator) and not node.selects


def adds(operator: str) -> bool:
    """Whether an operator may add one tensor to another, or to a product."""
    name = operator.rstrip("_")
    return name in ADDING or name in _ADDING_LAYERS


@dataclass
class _Finder:
    """Goes through the nodes once; ``behind`` holds, as bits, all that each was made from."""

    nodes: Sequence[Node]
    matrices: frozenset[str]
    behind: list[int] = field(default_factory=list)
    skips: dict[int, int] = field(default_factory=dict)
    trunk: set[int] = field(default_factory=set)

    def streams(self) -> list[list[Addition]]:
        found: list[list[Addition]] = []
        ends: dict[int, list[Addition]] = {}
        for node in self.nodes:
            self.behind.append(self._behind(node))
            addition = self._addition(node) if is_sum(node) else None
            if addition is None:
                continue
            self.skips[node.index] = addition.skip
            passed = list(self._carried(addition.skip))
            self.trunk.update([node.index, *passed])
            before = next((index for index in passed if index in self.skips), None)
            stream = ends.pop(before, None) if before is not None else None
            if stream is None:
                found.append(stream := [])
            stream.append(addition)
            ends[node.index] = stream
        return found

    def _behind(self, node: Node) -> int:
        bits = 0
        for index in node.inputs:
            bits |= 1 << index + 1
            if index >= 0:
                bits |= self.behind[index]
        return bits

    def _leads(self, start: int, end: int) -> bool:
        return bool(end >= 0 and self.behind[end] >> start + 1 & 1)

    def _carried(self, index: int) -> Iterator[int]:
        """The node, and back from it what it is another form of, up to the last addition's skip."""
        for _ in range(_FAR):
            yield index
            node = self.nodes[index] if index >= 0 else None
            if node is None or (index not in self.skips and (node.is_layer or node.selects)):
                return
            if index in self.skips:
                index = self.skips[index]
            elif len(node.inputs) == 1:
                index = node.inputs[0]
            elif (other := normalised_input(self.nodes, node)) is not None:
                index = other
            else:
                return

    def _addition(self, node: Node) -> Addition | None:
        first, second = node.inputs[0], node.inputs[-1]
        for skip, branch in ((first, second), (second, first)):
            end = node.index if node.is_layer else branch
            for source in self._carried(skip):
                if not self._leads(source, end if end != node.index else branch):
                    continue
                writers, readers = self._branch(source, end, node)
                if writers:
                    return Addition(
                        node=node.index,
                        owner=node.owner,
                        skip=skip,
                        branch=branch,
                        writers=writers,
                        readers=readers,
                    )
                break
            if node.is_layer:
                return None
        return None

    def _branch(
        self, source: int, end: int, node: Node
    ) -> tuple[tuple[Writer, ...], tuple[str, ...]]:
        """The writers of a branch that begins at one node and ends at another, and its readers."""
        passed = Writer(node=-1, parameter="", gains=() if node.is_layer else node.params)
        waiting: dict[int, Writer] = {end: replace(passed, factor=_factor(node))}
        found: list[Writer] = []
        while waiting:
            index = max(waiting)
            seen, here = waiting.pop(index), self.nodes[index] if index >= 0 else None
            if here is None or not self._leads(source, index):
                continue
            if here.is_layer:
                found.append(self._writer(here, seen))
                continue
            for other in _followed(self.nodes, here):
                waiting[other] = _through(seen, here, self.nodes)
        return tuple(found), tuple(self._readers(source, [writer.node for writer in found]))

    def _writer(self, node: Node, seen: Writer) -> Writer:
        own = [name for name in node.params if name in self.matrices]
        return replace(
            seen,
            node=node.index,
            parameter=own[-1] if own else node.params[-1],
            is_plain=len(own) == 1 and len(node.params) <= 2,
        )

    def _readers(self, source: int, ends: Sequence[int]) -> Iterator[str]:
        waiting, seen = {index for end in ends for index in self.nodes[end].inputs}, set[int]()
        while waiting:
            index = waiting.pop()
            seen.add(index)
            if index <= source or index in self.trunk or not self._leads(source, index):
                continue
            node = self.nodes[index]
            if node.is_layer:
                yield from (name for name in node.params if name in self.matrices)
            waiting.update(other for other in node.inputs if other not in seen)


def _followed(nodes: Sequence[Node], node: Node) -> list[int]:
    """The inputs that a node passes on; what only weighs others by a share is none of them."""
    if len(node.inputs) < 2:
        return list(node.inputs)
    carried = normalised_input(nodes, node)
    if carried is not None:
        return [carried]
    open_ = [index for index in node.inputs if not _is_gate(nodes, index)]
    is_product = node.operator.rstrip("_") in ("mul", "bmm", "matmul", "div", "einsum", "mm")
    return open_ if is_product and open_ else list(node.inputs)


def _is_gate(nodes: Sequence[Node], index: int) -> bool:
    for _ in range(3):
        if index < 0:
            return False
        node = nodes[index]
        if node.nonlinearity in _GATES or "softmax" in node.operator:
            return True
        if len(node.inputs) != 1 or node.is_layer:
            return False
        index = node.inputs[0]
    return False


def normalised_input(nodes: Sequence[Node], node: Node) -> int | None:
    """Of a product with a root of the data's own squares, as hand-written norms are, the data."""
    if node.operator.rstrip("_") not in ("mul", "div") or len(node.inputs) != 2:
        return None
    for data, scale in (node.inputs, node.inputs[::-1]):
        if scale >= 0 and any(normalises(one) for one in _few(nodes, scale)):
            return data
    return None


def _few(nodes: Sequence[Node], index: int) -> Iterator[Node]:
    for _ in range(3):
        if index < 0 or nodes[index].is_layer or len(nodes[index].inputs) != 1:
            return
        yield nodes[index]
        index = nodes[index].inputs[0]


def _through(seen: Writer, node: Node, nodes: Sequence[Node]) -> Writer:
    """What is known of a branch, one node further back."""
    name = node.operator.rstrip("_")
    is_normal = is_norm(node) or normalised_input(nodes, node) is not None
    is_gain = name in _SCALING and not is_normal
    return replace(
        seen,
        # What stands behind a normalisation decides, what stands before it is taken back.
        gains=seen.gains + (node.params if is_gain or is_norm(node) else ()),
        factor=seen.factor * (1.0 if seen.is_normalised else _factor(node)),
        is_normalised=seen.is_normalised or is_normal,
    )


def _factor(node: Node) -> float:
    """The constant by which an operation multiplies; 1 where it has none."""
    name, texts = node.operator.rstrip("_"), node.constants
    numbers = [float(text.removeprefix("alpha=")) for text in texts if _is_number(text)]
    if name in ("add", "sub", "rsub", "mul", "div", "addcmul") and len(numbers) == 1:
        value = abs(numbers[0])
        is_sum = name not in ("mul", "div")
        if (is_sum and len(node.inputs) < 2) or not value or not math.isfinite(value):
            return 1.0
        return 1 / value if name == "div" else value
    return 1.0


def _is_number(text: str) -> bool:
    try:
        float(text.removeprefix("alpha="))
    except ValueError:
        return False
    return True
