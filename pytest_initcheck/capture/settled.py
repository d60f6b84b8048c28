"""What the first look settles, so that the looks between the steps need not measure it again."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_initcheck.evidence import Node, NonlinearityKey, Snapshot

# A share of the mean square that differs between samples, far above any that counts as lost.
_VARIED = 0.01


@dataclass(frozen=True)
class Settled:
    """Of which nonlinearities, by owner, name and layer, all units passed something at the start.

    Who passes something once is not dead. ``is_varied``: what differs between samples came as far
    as the last layer, where it is no longer a question whether it does, or
    into the output (``is_output_varied``). ``open_layers`` ran, and
    hold no unit that may be dead, so that no gradient of a row need prove that it is not.
    """

    nonlinearities: frozenset[tuple[str, str, str]]
    is_varied: bool
    is_output_varied: bool = False
    open_layers: frozenset[str] = frozenset()

    def holds(self, node: Node) -> bool:
        """Whether the nonlinearity that a node is need not be measured."""
        return (node.owner, node.nonlinearity, node.layer) in self.nonlinearities


def settled_by(first: Snapshot, order: tuple[str, ...]) -> Settled:
    """What a look settles; ``order`` is that in which the layers ran."""
    passing: dict[tuple[str, str, str], bool] = {}
    for key, site in first.sites.items():
        is_open = not (site.flat >= site.samples).any()
        passing[_place(key)] = passing.get(_place(key), True) and is_open
    shut = {layer for (*_, layer), is_open in passing.items() if not is_open}
    outputs = (first.outputs.get(layer) for layer in order)
    shares = [o.variation for o in outputs if o is not None and o.variation is not None]
    return Settled(
        nonlinearities=frozenset(place for place, is_open in passing.items() if is_open),
        is_varied=bool(shares) and shares[-1] >= _VARIED,
        is_output_varied=first.variation is not None and first.variation >= _VARIED,
        open_layers=frozenset(first.outputs) - shut,
    )


def _place(key: NonlinearityKey) -> tuple[str, str, str]:
    return key.owner, key.nonlinearity, key.layer
