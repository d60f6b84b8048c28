"""One check on one model, and what every check owes its users."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Finding, Severity

if TYPE_CHECKING:
    from torch import nn

    from pytest_initcheck.checks import Check, Rule

# What the report, the ini file and the terminal show of a rule; none of it may be empty.
_TEXTS = ("title", "cause", "limit", "reference", "quantity", "remedy")
_ID = re.compile(r"[A-Z][A-Z0-9_-]*\d")
_RESERVED = re.compile(r"IC\d")


def judged(
    check: Any, model: nn.Module, batch: Any, *, builtin: bool = False, **options: Any
) -> list[Finding]:
    """What the check finds on the model, worst first; nothing is recorded or compared.

    Args:
        check: an object as the hook ``pytest_initcheck_checks`` returns them.
        model: as `pytest_initcheck.diagnose` takes it.
        batch: as `pytest_initcheck.diagnose` takes it.
        builtin: run the built-in checks as well, so that causes and consequences find each other.
        options: those of `diagnose` (``loss_fn``, ``optimizer``, ``steps``, ``ignore`` …).

    Raises:
        InitcheckError: this is no check, it yields no findings but something else, or what
            `diagnose` raises.
    """
    from pytest_initcheck.checks import registered
    from pytest_initcheck.checks.team_check import team_check
    from pytest_initcheck.diagnosis import diagnose

    mine: list[Check] = [*(registered() if builtin else ()), team_check(check)]
    return diagnose(model, batch, checks=mine, **options).findings


@dataclass(frozen=True, kw_only=True)
class Start:
    """A start: how to build it, always the same. ``options`` go to `diagnose`."""

    name: str
    build: Callable[[], tuple[nn.Module, Any]]
    options: Mapping[str, Any] = field(default_factory=dict)

    def made(self) -> tuple[nn.Module, Any]:
        """Model and batch; the random stream of the caller stays as it is."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.build()


def sound_starts() -> list[Start]:
    """Small models that start as they should, on batches that they can learn from.

    No check of this package says anything about them, and no other check should: among them are
    the oddities that look like faults (a residual branch that starts at zero, a bias before a
    normalisation, sparse activations).
    """
    from pytest_initcheck.testing.sound import BUILDERS

    return [Start(name=name, build=build) for name, build in BUILDERS.items()]


def assert_silent(check: Any, starts: Iterable[Start] | None = None, **options: Any) -> None:
    """The check finds nothing on the starts, by default on the `sound_starts`.

    Raises:
        AssertionError: it does; the message lists what it said of which start.
    """
    told = []
    for start in sound_starts() if starts is None else starts:
        model, batch = start.made()
        for finding in judged(check, model, batch, **{**start.options, **options}):
            told.append(f"{start.name}: {finding}")
    if told:
        raise AssertionError("\n".join(["a sound start is not silent:", *told]))


def assert_complete(check: Any) -> None:
    """The check can be listed, explained, ignored and put into the order of causes.

    Raises:
        AssertionError: it cannot; the message lists all that is missing.
    """
    faults = list(_faults(check))
    if faults:
        raise AssertionError("\n".join(["the check is not complete:", *faults]))


def _faults(check: Any) -> Iterable[str]:
    from pytest_initcheck.checks import PROTOCOL
    from pytest_initcheck.checks.team_check import team_check

    try:
        rules = team_check(check).rules
    except InitcheckError as error:
        yield str(error)
        return
    protocol = getattr(check, "protocol", 1)
    if type(protocol) is not int or not 1 <= protocol <= PROTOCOL:
        yield f"protocol is {protocol!r}, and this version speaks 1 to {PROTOCOL}"
    if not rules:
        yield "it lists no rules"
    ids = [getattr(rule, "id", None) for rule in rules]
    yield from (f"two rules have the id {id}" for id in {i for i in ids if ids.count(i) > 1})
    for rule in rules:
        yield from (f"{getattr(rule, 'id', rule)!r}: {fault}" for fault in _rule_faults(rule, ids))


def _rule_faults(rule: Rule, mine: Sequence[object]) -> Iterable[str]:
    from pytest_initcheck.checks import Rule, registered

    if not isinstance(rule, Rule):
        yield "is no pytest_initcheck.checks.Rule"
        return
    if not _ID.match(rule.id) or _RESERVED.match(rule.id):
        yield "an id is capitals and a number, such as ACME1; IC and a number are the package's"
    yield from (f"{name} is empty" for name in _TEXTS if not str(getattr(rule, name)).strip())
    if not rule.severities or not {*rule.severities} <= {*typing.get_args(Severity)}:
        yield f"severities are {rule.severities!r}; they are some of info, warning and error"
    known = {*mine, *(one.id for check in registered() for one in check.rules)}
    for name in ("follows", "bows"):
        unknown = sorted(set(getattr(rule, name)) - known)
        if unknown:
            yield f"{name} names {', '.join(unknown)}, which no rule has as its id"
