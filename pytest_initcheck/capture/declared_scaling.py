"""Whether the code that initialises a model scales weights by its depth, read from its source."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path

from torch import nn

from pytest_initcheck.capture.scaling_statements import (
    Function,
    ScalingStatement,
    names_for_sure,
    scaling_statements,
)
from pytest_initcheck.evidence.construction import ConstructionFacts
from pytest_initcheck.evidence.scaling_line import ScalingLine

# What runs while a model is built, or is what others call to initialise it.
_ROOTS = frozenset(
    {"__init__", "__post_init__", "_init_weights", "init_weights", "reset_parameters"}
    | {"_reset_parameters", "initialize_weights", "_initialize_weights", "initialize"}
)
_MOST_TEXT = 100
# What all layers have.
_COMMON = frozenset({"weight", "bias", "data"})
_Wanted = tuple[tuple[str, str], nn.Module | None, type | None]


def declared_scaling(
    model: nn.Module, facts: ConstructionFacts | None = None
) -> tuple[ScalingLine, ...]:
    """The lines that divide by √(number of layers) in what initialises the model.

    Looked at are the initialising methods of the model's classes, what they are sure to name in
    their own file, and, with ``facts``, the functions that wrote its parameters. Lines and calls
    behind a setting that is off, or that cannot be told, do not count; nor does what has no source.
    """
    found: dict[tuple[str, int], ScalingLine] = {}
    for file, name, owner, kind in _functions_of(model, facts):
        for scaling in scaling_statements(_functions(file)[name], owner):
            place = file, scaling.statement.lineno
            found.setdefault(place, _line(model, file, name, kind, scaling))
    return tuple(found.values())


def _line(
    model: nn.Module, file: str, function: str, kind: type | None, scaling: ScalingStatement
) -> ScalingLine:
    reach = _reach(model, kind)
    reach = [name for name in reach if _is_within(model, name, scaling.kinds)] or reach
    named = frozenset(_named(model, reach, scaling))
    return ScalingLine(
        file=file,
        line=scaling.statement.lineno,
        function=function,
        text=" ".join(ast.unparse(scaling.statement).split())[:_MOST_TEXT],
        parameters=named or frozenset(reach),
        is_named=bool(named),
    )


def _reach(model: nn.Module, kind: type | None) -> list[str]:
    """The parameters within modules of a class; all of them for a function of no class."""
    homes = [n for n, m in model.named_modules() if kind is None or isinstance(m, kind)]
    every = [name for name, _ in model.named_parameters()]
    return [name for name in every if any(not h or name.startswith(f"{h}.") for h in homes)]


def _is_within(model: nn.Module, name: str, kinds: tuple[str, ...]) -> bool:
    """Whether a parameter lies within a module of one of these classes; true where none is."""
    path, holders = name.split("."), [model]
    for part in path[:-1]:
        holders.append(getattr(holders[-1], part))
    return not kinds or any(k.__name__ in kinds for h in holders for k in type(h).__mro__)


def _named(model: nn.Module, reach: Iterable[str], scaling: ScalingStatement) -> Iterator[str]:
    """Those that a line names: as an attribute, by the end of their name, by a mark that their
    module carries."""
    modules = dict(model.named_modules())
    for name in reach:
        chains = any(_runs_through(name, chain) for chain in scaling.chains)
        own = vars(modules.get(name.rpartition(".")[0], model))
        if chains or any(name.endswith(text) or text in own for text in scaling.texts):
            yield name


def _runs_through(name: str, chain: tuple[str, ...]) -> bool:
    """Whether attributes in a row, as far as they are modules, are a part of a name."""
    path = ["", *name.split("."), ""]
    for end in range(len(chain), 0, -1):
        part = chain[:end]
        if {*part} <= _COMMON:
            return False
        if f".{'.'.join(part)}." in ".".join(path):
            return True
    return False


def _functions_of(
    model: nn.Module, facts: ConstructionFacts | None
) -> Iterator[tuple[str, str, nn.Module | None, type | None]]:
    seen: set[tuple[str, str]] = set()
    for wanted, owner, kind in _wanted(model, facts):
        waiting = [wanted]
        while waiting:
            file, name = waiting.pop()
            if name not in _functions(file) or (file, name) in seen:
                continue
            seen.add((file, name))
            yield file, name, owner, kind
            waiting += [(file, other) for other in _called(file, name, owner)]


def _wanted(model: nn.Module, facts: ConstructionFacts | None) -> Iterator[_Wanted]:
    for module in {type(m): m for m in reversed(list(model.modules()))}.values():
        for kind in type(module).__mro__:
            if kind.__module__.partition(".")[0] not in ("torch", "builtins"):
                for name in sorted(_ROOTS & set(vars(kind))):
                    file = _file_of(vars(kind)[name])
                    yield (file, f"{kind.__qualname__}.{name}"), module, kind
    writes = [write for built in facts.tensors for write in built.writes] if facts else []
    for file, function in dict.fromkeys((w.file, w.function) for w in writes if not w.is_default):
        for name in _functions(file):
            if name.rpartition(".")[2] == function:
                yield (file, name), None, None


def _file_of(method: object) -> str:
    """Where its code stands: what was compiled from a text, or by another language, has no file."""
    code = getattr(inspect.unwrap(method), "__code__", None) if callable(method) else None
    return code.co_filename if code is not None else ""


@functools.lru_cache(maxsize=64)
def _functions(file: str) -> dict[str, Function]:
    """The functions of a file by their qualified names; none where it cannot be read."""
    try:
        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return {}
    return dict(_defined(tree, ""))


def _defined(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield prefix + child.name, child
            yield from _defined(child, f"{prefix}{child.name}.<locals>.")
        elif isinstance(child, ast.ClassDef):
            yield from _defined(child, f"{prefix}{child.name}.")
        else:
            yield from _defined(child, prefix)


def _called(file: str, name: str, owner: nn.Module | None) -> Iterator[str]:
    """The functions of the file that one is sure to name: those of its class, and plain ones."""
    functions, home = _functions(file), name.rpartition(".")[0]
    names, methods = names_for_sure(functions[name], owner)
    for other in functions:
        place, _, short = other.rpartition(".")
        if (place == home and short in methods) or (not place and short in names):
            yield other
