"""Looks as records: one ``LayerRecord`` per layer, in the order in which they ran."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_initcheck.capture.choice_records import experts_records, heads_records
from pytest_initcheck.capture.written import operations, wiring
from pytest_initcheck.evidence import (
    Node,
    NonlinearityKey,
    NonlinearitySnapshot,
    Parameter,
    Snapshot,
)
from pytest_initcheck.evidence.layer_names import layer_of
from pytest_initcheck.records import LayerRecord, ModelRecord, UnitStats

# A record names at most so many units; the count and the share stand for the rest.
_NAMED = 64
# A unit counts as saturated when nine samples in ten are.
_MOST = 0.9


def model_record(
    look: Snapshot,
    parameters: Mapping[str, Parameter],
    nodes: Iterable[Node],
    *,
    moment: str,
    meta: Mapping[str, str],
    not_observed: Iterable[str] = (),
    movement: Mapping[str, float] | None = None,
) -> ModelRecord:
    """The record of one look; ``movement`` is the update ratio per parameter.

    ``nodes`` are those of the first look, which also say in which order the layers ran.
    """
    nodes = tuple(nodes)
    ran = dict.fromkeys(layer_of(name) for node in nodes for name in node.params)
    order = [*ran, *(p.layer for p in parameters.values() if p.layer not in ran)]
    used: set[NonlinearityKey] = set()
    layers = [_layer(name, look, parameters, movement or {}, used) for name in dict.fromkeys(order)]
    layers += [_site_record(key, site) for key, site in look.sites.items() if key not in used]
    return ModelRecord(
        layers=tuple(layers),
        loss=look.loss,
        inputs=look.inputs,
        outputs=look.result,
        targets=look.targets,
        moment=moment,
        meta=dict(meta),
        not_observed=tuple(not_observed),
        digests=dict(look.digests),
        effective_samples=look.effective_samples,
        operations=operations(nodes) if look.step == 0 else {},
        wiring=wiring(nodes) if look.step == 0 else "",
        heads=heads_records(look, nodes),
        experts=experts_records(look),
    )


def _layer(
    name: str,
    look: Snapshot,
    parameters: Mapping[str, Parameter],
    movement: Mapping[str, float],
    used: set[NonlinearityKey],
) -> LayerRecord:
    own = {p.name.removeprefix(name + "."): p for p in parameters.values() if p.layer == name}
    looks = {short: look.parameters[p.name] for short, p in own.items()}
    key = _following(name, look)
    site = look.sites[key] if key else None
    if key:
        used.add(key)
    output = look.outputs.get(name)
    return LayerRecord(
        name=name,
        kind=next((p.kind for p in own.values()), ""),
        nonlinearity=key.nonlinearity if key else None,
        weights={short: p.stats for short, p in looks.items() if p.stats},
        gradients={short: p.gradient for short, p in looks.items() if p.gradient},
        activations=site.output if site else output.stats if output else None,
        activation_gradients=site.gradient if site else output.gradient if output else None,
        units=unit_stats(site) if site else None,
        update_ratio={short: movement[p.name] for short, p in own.items() if p.name in movement},
    )


def _following(layer: str, look: Snapshot) -> NonlinearityKey | None:
    """The nonlinearity that stands for a layer's activation: the first that is no softmax."""
    sites = (k for k, site in look.sites.items() if k.layer == layer and site.family != "softmax")
    return next(sites, None)


def _site_record(key: NonlinearityKey, site: NonlinearitySnapshot) -> LayerRecord:
    return LayerRecord(
        name=f"{key.owner or key.layer or 'model'}:{key.nonlinearity}",
        kind="activation",
        nonlinearity=key.nonlinearity,
        activations=site.output,
        activation_gradients=site.gradient,
        units=unit_stats(site) if site.family != "softmax" else None,
    )


def unit_stats(site: NonlinearitySnapshot) -> UnitStats:
    """Dead and saturated units of a nonlinearity on the samples of one look."""
    dead = (site.flat >= site.samples) if site.family == "rectifier" else site.samples < 0
    saturated = (
        (site.saturated >= _MOST * site.samples) if site.family == "squashing" else site.samples < 0
    )
    return UnitStats(
        count=len(site.samples),
        dead_share=float(dead.mean()),
        saturated_share=float(saturated.mean()),
        dead=tuple(int(i) for i in dead.nonzero()[0][:_NAMED]),
        saturated=tuple(int(i) for i in saturated.nonzero()[0][:_NAMED]),
    )
