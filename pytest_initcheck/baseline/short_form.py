"""An entry's data in few bytes, and back: what is usual, equal or follows is not said again.

What `Layout` makes of records says everything of every tensor. Here defaults are left out; the
model after the steps says what is not as before them, and of its tensors only the numbers; a
gradient has the form of its parameter; settings are those of the run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pytest_initcheck.baseline import keys, schema, tensor_line
from pytest_initcheck.baseline.code import Damaged
from pytest_initcheck.baseline.layout import Branch, Layout, OwnLine, tensors, usual
from pytest_initcheck.baseline.patch import Data, equal, less, more
from pytest_initcheck.baseline.stored import Band, Stored
from pytest_initcheck.baseline.tensor_line import Beside
from pytest_initcheck.records import LayerRecord, ModelRecord, RunRecord, TensorStats
from pytest_initcheck.serialization import FormError, Path, undeclared, without_none

_MOMENTS = ("before", "after")
_HEAD = ("layer", None)
# Whose form a tensor has as a rule.
_FORM_OF = {"gradients": "weights", "activation_gradients": "activations"}
_LAYERS, _SAME_AS = "layers", "@"
Role = tuple[str, str | None]
Layers = dict[str, dict[Role, Any]]
_ACTIVATIONS: Role = ("activations", None)


class Model(NamedTuple):
    """A model's data by what a line is about."""

    head: Data
    sides: Data
    layers: Layers


_NOTHING = Model({}, {}, {})


def write(entry: Data, made: Data) -> Branch:
    """The short form of an entry's data; ``made`` is a provenance that may be its own."""
    run = less({k: v for k, v in entry.items() if k not in _MOMENTS}, _run_usual(made))
    found = Branch(run)
    if "curves" in run:
        found["curves"] = Branch(_each(run["curves"], lambda band: _short_band(band, entry)))
    if "metrics" in run:
        found["metrics"] = Branch(_each(run["metrics"], lambda values: values))
    before = _NOTHING
    for moment in (moment for moment in _MOMENTS if moment in entry):
        model = _parted(entry[moment])
        found[moment] = _write_model(model, before, entry["meta"])
        before = model
    return found


def read(data: Any, made: Data, path: Path) -> Data:
    """The entry's data of which ``write`` made a short form.

    Raises:
        FormError: it did not.
    """
    short = _object(data, path)
    run = more({k: v for k, v in short.items() if k not in _MOMENTS}, _run_usual(made))
    for key in usual(RunRecord).keys() - run.keys():
        raise FormError(path, f"{_called(path)}: the field {key!r} is missing")
    curves = _object(run.get("curves"), (*path, "curves"))
    entry = {**run, "curves": {name: _long_band(band, run) for name, band in curves.items()}}
    before = _NOTHING
    for moment in (moment for moment in _MOMENTS if moment in short):
        here = (*path, moment)
        before = _read_model(short[moment], before, run["meta"], here)
        entry[moment] = _joined(before)
    return entry


def place(path: Path, depth: int) -> Path:
    """Where the short form has what stands at a path in the data of an entry at that depth."""
    model, inner = path[: depth + 1], path[depth + 1 :]
    if inner[:1] == (_LAYERS,) and len(inner) > 1:
        name, role, parameter = keys.split(str(inner[1])) or ("", "", None)
        own = inner[2:3] if role == _HEAD[0] else (_key((role, parameter)),)
        return (*model, _LAYERS, name, *own)
    return (*model, *inner[1:]) if inner[:1] == ("model",) else path


def _run_usual(made: Data) -> Data:
    known = usual(Stored) | usual(RunRecord)
    return known | {"provenance": made} if made else known


def _each(items: Mapping[str, Any], short: Callable[[Any], Any]) -> Iterable[tuple[str, OwnLine]]:
    return ((name, OwnLine(short(item))) for name, item in items.items())


def _short_band(band: Data, run: Data) -> Any:
    part = less(band, _band_usual(band["mean"], run))
    return part["mean"] if set(part) == {"mean"} else part


def _long_band(band: Any, run: Data) -> Any:
    part = {"mean": band} if isinstance(band, list) else band
    if not isinstance(part, dict) or not isinstance(part.get("mean"), list):
        return part
    return more(part, _band_usual(part["mean"], run))


def _band_usual(mean: list[Any], run: Data) -> Data:
    seeds = run.get("seeds")
    count = len(seeds) if isinstance(seeds, list) else 0
    return {**usual(Band), "length": len(mean), "seeds": count or 1}


def _parted(model: Data) -> Model:
    layers: Layers = {}
    for key, item in model[_LAYERS].items():
        name, role, parameter = keys.split(key) or ("", "", None)
        layers.setdefault(name, {})[role, parameter] = item
    sides = {role: model[role] for role in tensors(ModelRecord) if role in model}
    return Model(model["model"], sides, layers)


def _joined(model: Model) -> Data:
    layers = {
        keys.join(name, *role): item
        for name, lines in model.layers.items()
        for role, item in lines.items()
    }
    return {"model": model.head, **model.sides, _LAYERS: layers}


def _write_model(model: Model, before: Model, meta: Data) -> Branch:
    head = _write_head(ModelRecord, model.head, before.head, meta)
    layers = Branch()
    for name in dict.fromkeys([*model.layers, *before.layers]):
        own, was = model.layers.get(name), before.layers.get(name, {})
        part = _write_layer(own, was) if own else None
        if part != {}:
            layers[name] = part
    sides: Data = {}
    for role in tensors(ModelRecord):
        own_side, its_twin = model.sides.get(role), before.sides.get(role)
        if not equal(own_side, its_twin):
            sides[role] = own_side and OwnLine(_side(own_side, its_twin, model.layers))
    return Branch({**head, **sides, **({_LAYERS: layers} if layers else {})})


def _side(data: Data, twin: Data | None, layers: Layers) -> Any:
    for name, lines in layers.items():
        if equal(lines.get(_ACTIVATIONS), data):
            return _SAME_AS + name
    return tensor_line.write(data, Beside(twin, twin))


def _write_layer(lines: Mapping[Role, Any], before: Mapping[Role, Any]) -> Branch:
    found = Branch(_write_head(LayerRecord, lines[_HEAD], before.get(_HEAD, {})))
    for role in dict.fromkeys([*lines, *before]):
        own, twin = lines.get(role), before.get(role)
        if role != _HEAD and not equal(own, twin):
            beside = Beside(twin or lines.get(_form_of(role)), twin)
            found[_key(role)] = own and OwnLine(tensor_line.write(own, beside))
    return found


def _read_model(data: Any, before: Model, meta: Data, path: Path) -> Model:
    short = _object(data, path)
    part = {k: v for k, v in short.items() if k != _LAYERS and k not in tensors(ModelRecord)}
    head = _read_head(ModelRecord, part, path, before.head, meta)
    own_layers = _object(short.get(_LAYERS, {}), (*path, _LAYERS))
    layers: Layers = {}
    for name in dict.fromkeys([*before.layers, *own_layers]):
        own, was = own_layers.get(name, {}), before.layers.get(name, {})
        if own is not None:
            layers[name] = _read_layer(own, was, (*path, _LAYERS, name))
    sides: Data = {}
    for role in tensors(ModelRecord):
        item, its_twin = short.get(role), before.sides.get(role)
        if item is not None:
            sides[role] = _read_side(item, its_twin, layers, (*path, role))
        elif role not in short and its_twin is not None:
            sides[role] = its_twin
    return Model(head, sides, layers)


def _read_side(item: Any, twin: Data | None, layers: Layers, path: Path) -> Data:
    if not isinstance(item, str) or not item.startswith(_SAME_AS):
        return _tensor(item, Beside(twin, twin), path)
    found = layers.get(item.removeprefix(_SAME_AS), {}).get(_ACTIVATIONS)
    if found is None:
        raise FormError(path, f"{_called(path)}: there are no activations of {item[1:41]!r}")
    return dict(found)


def _read_layer(data: Any, before: Mapping[Role, Any], path: Path) -> dict[Role, Any]:
    short = _object(data, path)
    roles = {key: role for key in short if (role := _role(key)) is not None}
    part = {key: value for key, value in short.items() if key not in roles}
    lines: dict[Role, Any] = {_HEAD: _read_head(LayerRecord, part, path, before.get(_HEAD, {}))}
    said = {role: (key, short[key]) for key, role in roles.items()}
    for role in sorted({*before, *said} - {_HEAD}, key=_order):
        key, item = said.get(role, ("", None))
        twin = before.get(role)
        if item is not None:
            beside = Beside(twin or lines.get(_form_of(role)), twin)
            lines[role] = _tensor(item, beside, (*path, key))
        elif role not in said and twin is not None:
            lines[role] = twin
    return lines


def _tensor(item: Any, beside: Beside, path: Path) -> Data:
    try:
        return tensor_line.read(item, beside)
    except Damaged as error:
        raise FormError(path, f"{_called(path)}: {error}") from None


def _head_usual(kind: type, head: Data, before: Data, meta: Data | None) -> Data:
    """What a head need not say: what is a default, or always there and as before."""
    kept = {key: value for key, value in before.items() if key not in _sparse(kind)}
    settings = {"meta": meta} if meta else {}
    return {**usual(kind), **_inline_usual(kind, head), **kept, **settings}


def _write_head(kind: type, head: Data, before: Data, meta: Data | None = None) -> Data:
    part = less(head, _head_usual(kind, head, before, meta))
    return {schema.brief(kind, key): value for key, value in part.items()}


def _read_head(kind: type, short: Data, path: Path, before: Data, meta: Data | None = None) -> Data:
    briefs = schema.unbriefed(kind)
    for key in short:
        if key not in _briefs(kind):
            raise FormError((*path, key), f"{_called(path)}: there is no field {key!r}")
    part = {briefs.get(key, key): value for key, value in short.items()}
    head = more(part, _head_usual(kind, {}, before, meta))
    return {**_inline_usual(kind, head), **head}


@functools.cache
def _briefs(kind: type) -> frozenset[str]:
    """All keys of a head."""
    keys_of, own = Layout().keys, Layout().members(kind)
    return frozenset(schema.brief(kind, key) for member in own for key in keys_of(member))


def _inline_usual(kind: type, head: Data) -> Data:
    found: Data = {}
    for member in schema.members(kind):
        inner: Any = without_none(undeclared(member.kind))
        if member.is_inline and any(own.key in head for own in schema.members(inner)):
            found |= usual(inner)
    return found


@functools.cache
def _sparse(kind: type) -> frozenset[str]:
    kept = schema.members(kind)
    return frozenset(m.key for m in kept if not m.is_required and m.omits is schema.is_empty)


def _form_of(role: Role) -> Role:
    return _FORM_OF.get(role[0], ""), role[1]


def _order(role: Role) -> tuple[int, str]:
    return list(tensors(LayerRecord)).index(role[0]), role[1] or ""


def _key(role: Role) -> str:
    short = schema.brief(LayerRecord, role[0])
    return short if role[1] is None else f"{short}.{role[1]}"


def _role(key: str) -> Role | None:
    short, dot, parameter = key.partition(".")
    role = schema.unbriefed(LayerRecord).get(short, "")
    member = tensors(LayerRecord).get(role)
    has_parameters = member is not None and member.kind is not TensorStats
    fits = member is not None and has_parameters == bool(dot)
    return (role, parameter if dot else None) if fits else None


def _object(data: Any, path: Path) -> Data:
    return Layout().typed(data, dict, "an object", path)


def _called(path: Path) -> str:
    return Layout().place(path)
