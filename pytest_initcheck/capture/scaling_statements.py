"""The statements of a function that divide by the square root of a depth, and are sure to run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Function = ast.FunctionDef | ast.AsyncFunctionDef
_DEPTH = re.compile(
    r"(^|_)(n_?layers?|num_?(hidden_)?layers?|layers?|blocks?|n_?blocks?|num_?blocks?|depth|"
    r"layer_(id|idx|index|num|number)|block_(id|idx|index))_?$|^L$"
)
# Where settings lie, beside the arguments of a constructor; what else a test names are the modules
# and parameters that are gone through.
_SETTINGS = frozenset({"self", "config", "cfg", "args", "params", "hparams"})
_CONSTRUCTORS = frozenset({"__init__", "__post_init__"})


@dataclass(frozen=True)
class ScalingStatement:
    """A statement that scales by the depth, with what it is about as far as it says so: the
    attributes (in a row) of it and of what uses its result, and the texts and the names of classes
    in the tests around."""

    statement: ast.stmt
    chains: tuple[tuple[str, ...], ...]
    texts: tuple[str, ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class _Sure:
    """A statement that runs in any case, and the tests that it stands behind."""

    statement: ast.stmt
    tests: tuple[ast.expr, ...]


def scaling_statements(function: Function, owner: Any) -> Iterator[ScalingStatement]:
    """The statements of an initialising function that divide by √(number of layers).

    ``owner`` is the object whose method it is, by which settings are read; None for no method.
    What is kept as an attribute, or returned, is for others to use, and no statement of this kind;
    nor is what only runs where some setting says so that cannot be read.
    """
    reader = _Reader(function, owner)
    sure = list(reader.sure(function.body, ()))
    for one in sure:
        if not any(reader.is_root_of_depth(node) for node in reader.evaluated(one.statement)):
            continue
        users = _users(function, one, sure)
        if users is not None:
            about = [one, *users]
            chains = {chain for each in about for chain in _chains(each.statement)}
            tests = [test for each in about for test in each.tests]
            texts = {text for test in tests for text in _texts(test)}
            kinds = {kind for test in tests for kind in _kinds(test)}
            yield ScalingStatement(
                one.statement,
                chains=tuple(sorted(chains)),
                texts=tuple(sorted(texts)),
                kinds=tuple(sorted(kinds)),
            )


def names_for_sure(function: Function, owner: Any) -> tuple[set[str], set[str]]:
    """The names, and the attributes, in what runs in any case: what it may call."""
    reader = _Reader(function, owner)
    sure = reader.sure(function.body, ())
    nodes = [node for one in sure for node in reader.evaluated(one.statement)]
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names, {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def _users(function: Function, one: _Sure, sure: list[_Sure]) -> list[_Sure] | None:
    """The statements that use what one assigns; none where it is dropped, None if it is kept for
    others, or if all that uses it may not run."""
    statement = one.statement
    if isinstance(statement, ast.Expr):
        return []
    if not isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        return None
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    names = {target.id for target in targets if isinstance(target, ast.Name)}
    if not names:
        return [] if isinstance(statement.value, ast.Call) else None
    users = [each for each in sure if each is not one and names & _loaded(each.statement)]
    all_ = sum(_reads(node, names) for node in ast.walk(function))
    own = sum(_reads(node, names) for node in ast.walk(statement))
    return users if users or all_ == own else None


def _loaded(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _reads(node: ast.AST, names: set[str]) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names


def _chains(node: ast.AST) -> Iterator[tuple[str, ...]]:
    """Attributes in a row, without the name that they begin at."""
    for child in ast.walk(node):
        if isinstance(child, ast.Attribute):
            chain, base = [child.attr], child.value
            while isinstance(base, ast.Attribute):
                chain.insert(0, base.attr)
                base = base.value
            yield tuple(chain)


@dataclass(frozen=True)
class _Reader:
    function: Function
    owner: Any

    def sure(self, body: list[ast.stmt], tests: tuple[ast.expr, ...]) -> Iterator[_Sure]:
        """The simple statements that run in any case; loops are taken to run."""
        for statement in body:
            if isinstance(statement, ast.If):
                yield from self._branches(statement, tests)
                if self._may_leave(statement):
                    return
            elif not isinstance(statement, (Function, ast.ClassDef)):
                inner = [getattr(statement, part, []) for part in ("body", "orelse", "finalbody")]
                for part in inner:
                    yield from self.sure(part, tests)
                if not any(inner):
                    yield _Sure(statement, tests)

    def _branches(self, statement: ast.If, tests: tuple[ast.expr, ...]) -> Iterator[_Sure]:
        is_choice = self._is_choice(statement.test)
        value = None if is_choice else self._value(statement.test)
        if is_choice or value is True:
            yield from self.sure(statement.body, (*tests, statement.test))
        if is_choice or value is False:
            yield from self.sure(statement.orelse, tests)

    def _may_leave(self, statement: ast.If) -> bool:
        """Whether a setting may end the function here."""
        is_exit = isinstance(statement.body[-1], (ast.Return, ast.Raise))
        is_setting = is_exit and not self._is_choice(statement.test)
        return is_setting and self._value(statement.test) is not False

    def evaluated(self, node: ast.AST) -> Iterator[ast.AST]:
        """What of a statement is evaluated in any case."""
        yield node
        parts: list[ast.AST] = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.IfExp) and not self._is_choice(node.test):
            value = self._value(node.test)
            parts = [] if value is None else [node.body if value else node.orelse]
        for part in parts:
            yield from self.evaluated(part)

    def _is_choice(self, test: ast.expr) -> bool:
        """Whether a test chooses among modules or parameters by kind or name, not a setting."""
        if isinstance(test, ast.BoolOp):
            return all(self._is_choice(part) for part in test.values)
        if isinstance(test, ast.UnaryOp):
            return self._is_choice(test.operand)
        if self._settings & _loaded(test):
            return False
        if isinstance(test, ast.Compare):
            sides = [test.left, *test.comparators]
            return any(True for side in sides for _ in _texts(side)) or any(map(_is_none, sides))
        return isinstance(test, ast.Call)

    @cached_property
    def _settings(self) -> frozenset[str]:
        """The names that are settings wherever the function tests them."""
        if self.function.name not in _CONSTRUCTORS:
            return _SETTINGS
        given = self.function.args
        return _SETTINGS | {one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)}

    def _value(self, test: ast.expr) -> bool | None:
        """What a setting is, as far as it can be read from the object; None where it cannot."""
        if self.owner is None or any(isinstance(node, ast.Call) for node in ast.walk(test)):
            return None
        names: dict[str, Any] = {"self": self.owner, "__builtins__": {}}
        held = {key: getattr(self.owner, key, None) for key in _SETTINGS}
        names |= {key: value for key, value in held.items() if value is not None}
        try:
            code = compile(ast.fix_missing_locations(ast.Expression(test)), "<setting>", "eval")
            return bool(eval(code, names))
        except Exception:
            # Names of the function itself are not known here.
            return None

    def is_root_of_depth(self, node: ast.AST) -> bool:
        """Whether it is √ of a number of layers."""
        if isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
            name = called if isinstance(called, str) else ast.unparse(called)
            return name in ("sqrt", "rsqrt") and self._is_depth(node.args[0])
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            is_root = ast.unparse(node.right).strip("-() ") in ("0.5", "1 / 2")
            return is_root and self._is_depth(node.left)
        return False

    def _is_depth(self, node: ast.expr) -> bool:
        words = {*_words(node)}
        # Of attention, a bare depth is the width of a head.
        if words == {"depth"} and isinstance(node, (ast.Name, ast.Attribute)):
            return not any("head" in word for word in _words(self.function))
        return any(_DEPTH.search(word) for word in words)


def _texts(node: ast.expr) -> Iterator[str]:
    return (
        n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    )


def _kinds(test: ast.expr) -> Iterator[str]:
    """The names of the classes that a test asks for."""
    for node in ast.walk(test):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            for part in ast.walk(node.args[1]) if len(node.args) > 1 else ():
                if isinstance(part, (ast.Name, ast.Attribute)):
                    yield part.attr if isinstance(part, ast.Attribute) else part.id


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _words(node: ast.AST) -> Iterator[str]:
    """The last names in an expression: of ``config.n_layer`` the second."""
    if isinstance(node, ast.Attribute):
        yield node.attr
        return
    if isinstance(node, ast.Name):
        yield node.id
    if isinstance(node, ast.arg):
        yield node.arg
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        yield str(node.slice.value)
    for child in ast.iter_child_nodes(node):
        yield from _words(child)
