"""What a user has decided to live with: which finding, in which layers, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from pytest_initcheck.errors import InitcheckError

NEVER = {
    "IC001": "it tells of ignores that match nothing: remove those",
    "IC901": "it is what assert_escapes asserts: change its probability, or mark the test xfail",
    "IC902": "it is what assert_reaches asserts: change its probability, or mark the test xfail",
    "IC904": "it is what assert_width_stable asserts: change its parametrization, or mark the test "
    "xfail",
    "IC905": "it is what assert_depth_stable asserts: mark the test xfail",
    "IC903": "it is what assert_not_stuck asserts: pass its loss=, or mark the test xfail",
}
EXAMPLE = "'IC201 encoder.*: the reason'"
_ID = re.compile(r"[^\s:,*]+\*?")
_OWN = re.compile(r"IC(\d{1,3})?\*|IC\d{1,3}\*?", re.IGNORECASE)

IgnoreSpec: TypeAlias = "Ignore | str | Mapping[str, str] | Sequence[Any] | None"


@dataclass(frozen=True, kw_only=True)
class Ignore:
    """A finding that shall not count, in the layers whose name matches, for a reason.

    Args:
        id: the rule's id ("IC201", or one of a team's check), or how ids begin and a star
            ("IC2*").
        layer: a glob for the layer's name as findings show it; only "*" (the default) matches what
            is found in the model as a whole.
        reason: why the finding is no fault here; shown wherever the finding is.
        origin: where it stands: "" for a call, else the marker's node or the ini name.
        shared: whether it speaks for more than one test.

    Raises:
        InitcheckError: an id of no rule's form, an empty pattern, no reason, or no text.
    """

    id: str = field(kw_only=False)
    layer: str = field(default="*", kw_only=False)
    reason: str = field(default="", kw_only=False)
    origin: str = field(default="", compare=False, repr=False)
    shared: bool = field(default=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("id", "layer", "reason"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise InitcheckError(
                    f"the {name} of an ignore is {value!r}; pass a text, as in {EXAMPLE}"
                )
            # One line each, so that every ignore can be written as one text.
            text = " ".join(value.split()) if name == "reason" else value.strip()
            object.__setattr__(self, name, text)
        _check_id(self.id)
        _check_layer(self.id, self.layer)
        if not self.reason:
            raise InitcheckError(
                f"the ignore of {self.subject} gives no reason; write '{self.subject}: the reason'"
            )

    def __str__(self) -> str:
        return f"{self.subject}: {self.reason}"

    @property
    def subject(self) -> str:
        """What it is about: the id, and the layers where they are not all."""
        return self.id if self.layer == "*" else f"{self.id} {self.layer}"

    @property
    def is_own(self) -> bool:
        """Whether the id has the form of the ids of this package's rules."""
        return _OWN.fullmatch(self.id) is not None

    def names(self, id: str) -> bool:
        """Whether it is about the rule of this id."""
        return covers(self.id, id)

    def takes(self, layer: str) -> bool:
        """Whether it is about the layer of this name; "" is the model as a whole."""
        return self.layer == "*" or (layer != "" and fnmatchcase(layer, self.layer))


def covers(pattern: str, id: str) -> bool:
    """Whether an id is the one given, or begins as ``pattern`` before its star."""
    return id.startswith(pattern[:-1]) if pattern.endswith("*") else id == pattern


def _check_id(id: str) -> None:
    if not _ID.fullmatch(id):
        raise InitcheckError(
            f"{id!r} is no id of a finding: write one id (IC201), or how ids begin and a star "
            f"(IC2*), as in {EXAMPLE}"
        )
    if id in NEVER:
        raise InitcheckError(f"{id} cannot be ignored: {NEVER[id]}")


def closest(id: str, known: Iterable[str]) -> str:
    """ " (did you mean IC201 or IC203?)" with the known ids that are most alike, or nothing."""
    from difflib import get_close_matches

    *first, last = sorted(get_close_matches(id.upper(), sorted(known))) or [""]
    text = f"{', '.join(first)} or {last}" if first else last
    return f" (did you mean {text}?)" if text else ""


def _check_layer(id: str, layer: str) -> None:
    if not layer:
        raise InitcheckError(f"the ignore of {id} has an empty layer pattern; '*' takes all layers")
    if ":" in layer or len(layer.splitlines()) > 1:
        raise InitcheckError(
            f"the layer pattern {layer!r} holds a colon or a line break; write ? in its place"
        )


def parse(given: IgnoreSpec) -> tuple[Ignore, ...]:
    """The ignores in what a user passes: one of them or a list of them.

    One is a text ("IC201 encoder.*: reason", "IC201: reason"), a tuple (("IC201", "encoder.*",
    "reason"), ("IC201", "reason")), a mapping with id, reason and perhaps layer, or an `Ignore`.

    Raises:
        InitcheckError: it is something else, or one of them is wrong; the message says what to
            pass.
    """
    if given is None:
        return ()
    if isinstance(given, (list, tuple)) and not _is_one(given):
        return tuple(_one(item) for item in given)
    return (_one(given),)


def _is_one(given: Sequence[Any]) -> bool:
    # ("IC201", "reason") is one ignore, ("IC201: reason", "IC301: reason") are two.
    return isinstance(given, tuple) and _are_parts(given) and ":" not in given[0]


def _are_parts(given: Sequence[Any]) -> bool:
    return len(given) in (2, 3) and all(isinstance(part, str) for part in given)


def _one(given: Any) -> Ignore:
    if isinstance(given, Ignore):
        return given
    if isinstance(given, str):
        return _from_text(given)
    if isinstance(given, Mapping):
        return _from_mapping(given)
    if isinstance(given, (list, tuple)) and _are_parts(given):
        id, *layer, reason = given
        return Ignore(id=id, layer=layer[0] if layer else "*", reason=reason)
    raise InitcheckError(
        f"an ignore cannot be {given!r}; pass a text such as {EXAMPLE}, a tuple (id, layer, "
        "reason), a mapping with these keys, or a list of such"
    )


def _from_text(text: str) -> Ignore:
    head, colon, reason = text.partition(":")
    id, *layer = head.split(None, 1) or [""]
    if not id or len(text.strip().splitlines()) > 1:
        raise InitcheckError(f"{text!r} is not one ignore; write {EXAMPLE}, a text for each")
    if not colon and layer:
        raise InitcheckError(
            f"the ignore {text.strip()!r} gives no reason; write {EXAMPLE}, with a colon"
        )
    return Ignore(id=id, layer=layer[0] if layer else "*", reason=reason)


def _from_mapping(given: Mapping[Any, Any]) -> Ignore:
    unknown = [key for key in given if key not in ("id", "layer", "reason")]
    if unknown or "id" not in given:
        fault = f"has no key {unknown[0]!r}" if unknown else "needs the key 'id'"
        raise InitcheckError(
            f"an ignore {fault}; pass {{'id': 'IC201', 'layer': 'encoder.*', 'reason': '…'}}"
        )
    return Ignore(**given)
