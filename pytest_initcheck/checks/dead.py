"""Units and layers whose nonlinearity is flat on every sample of every look."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from pytest_initcheck.checks.base import Rule
from pytest_initcheck.checks.traits import all_gone, silent_layers
from pytest_initcheck.evidence import Array, Evidence, SiteKey
from pytest_initcheck.records import Finding

# Five standard errors: a chance of 3e-7 for each layer of a healthy model.
_Z = 5.0
# With so many units, all of them dead by chance (one half each) is as rare as that.
_MANY = math.ceil(-math.log2(3e-7))


class DeadUnits:
    """Tells dead units from the natural sparsity of rectifiers.

    With weights drawn symmetrically about zero, negating a unit's weights is equally likely, and
    swaps "never active on these samples" with "always active". However alike the samples are, as
    many units are always on as never on, up to sampling error. A surplus of dead units shows a
    bias that pushes the layer down, and more than half of the units dead cannot be natural.
    """

    name = "dead"
    rules: tuple[Rule, ...] = (
        Rule(
            "IC301",
            "dead layer",
            "no unit of the layer is active on any sample: nothing passes it, forward or backward",
            "some active unit",
            "Lu, Shin, Su, Karniadakis: Dying ReLU and Initialization (2019), arXiv 1903.06733",
            frozenset({"IC101", "IC501", "IC502", "IC503", "IC701"}),
        ),
        Rule(
            "IC302",
            "dead units",
            "more units are never active than drawing their weights about zero explains: the "
            "layer's bias or the mean of its weights pushes them down",
            "half of the units plus five standard errors, and five standard errors more never "
            "active than always active",
            "Lu, Shin, Su, Karniadakis: Dying ReLU and Initialization (2019), arXiv 1903.06733",
            frozenset({"IC101", "IC301", "IC501", "IC502", "IC503", "IC701"}),
        ),
        Rule(
            "IC304",
            "rectified output",
            "the output itself is rectified: it cannot fall below zero, and where it would it "
            "passes no gradient; the model can die within its first steps",
            "no rectifier on the output (error where all gradients are gone after the steps)",
            "PyTorch documentation: CrossEntropyLoss expects unnormalised logits",
            frozenset({"IC101", "IC301", "IC501", "IC502", "IC503"}),
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        yield from self._output(evidence)
        silent = set(silent_layers(evidence))
        gone: dict[str, Array] = {}
        for key, (dead, on) in self._units(evidence).items():
            name = key.layer or key.owner
            if bool(dead.all()):
                if len(dead) >= _MANY or name in silent:
                    gone[name] = dead
            elif (limit := _limit(dead, on)) is not None and dead.mean() > limit:
                yield self._partly(name, dead, limit)
        if gone:
            first = gone[next(iter(gone))]
            yield self.rules[0].found(
                self.name,
                "error",
                tuple(gone),
                "share of units that no sample activates",
                1.0,
                _bound(len(first)),
                remedy="set the bias to zero and draw the weights with "
                "torch.nn.init.kaiming_normal_(weight, nonlinearity='relu')",
                units=tuple(range(len(first))),
            )

    def _output(self, evidence: Evidence) -> Iterator[Finding]:
        rectified = [
            node
            for node in evidence.nodes
            if node.index in evidence.ends and node.nonlinearity in ("relu", "relu6", "clamp")
        ]
        if rectified:
            gone = all_gone(evidence)
            yield self.rules[2].found(
                self.name,
                "error" if gone else "warning",
                [rectified[0].layer or rectified[0].owner],
                "largest gradient after the steps" if gone else "rectifiers on the output",
                0.0 if gone else 1,
                0,
                remedy="return what enters the rectifier, and let the loss or the caller clamp it",
            )

    def _units(self, evidence: Evidence) -> dict[SiteKey, tuple[Array, Array]]:
        """Per nonlinearity: which units no look activates, and which are on throughout."""
        found: dict[SiteKey, tuple[Array, Array]] = {}
        for look in evidence.looks:
            for key, site in look.sites.items():
                if site.family != "rectifier":
                    continue
                dead, on = site.flat >= site.samples, site.flat == 0
                before = found.get(key, (dead, on))
                found[key] = before[0] & dead, before[1] & on
        return found

    def _partly(self, name: str, dead: Array, limit: float) -> Finding:
        return self.rules[1].found(
            self.name,
            "error" if dead.mean() >= 0.9 else "warning",
            (name,),
            "share of units that no sample activates",
            float(dead.mean()),
            limit,
            remedy="set the bias to zero, or draw the weights about zero; pass more samples to "
            "be surer",
            units=tuple(int(unit) for unit in np.flatnonzero(dead)),
        )


def _bound(count: int) -> float:
    # With too few units to tell chance from fault, one live unit is what is asked for.
    return min(1.0 - 1.0 / count, 0.5 + _Z * 0.5 / math.sqrt(count))


def _limit(dead: Array, on: Array) -> float | None:
    """The largest natural share of dead units; None where the surplus over "on" is chance."""
    count = len(dead)
    surplus = float(dead.sum()) - float(on.sum())
    if surplus <= _Z * math.sqrt(float(dead.sum()) + float(on.sum())):
        return None
    # The half itself is certain only on one sample; a significant surplus needs no more slack.
    return 0.5 if count >= _MANY else _bound(count)
