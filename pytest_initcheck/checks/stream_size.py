"""Residual streams that grow beyond what normalisation takes back."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_initcheck.checks.prose import number
from pytest_initcheck.checks.remedy_code import scaled_by
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.checks.writer_scales import writers_of
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.gradient_flow import has_normalisation
from pytest_initcheck.evidence.graph import normalises
from pytest_initcheck.evidence.signals import SPACING
from pytest_initcheck.evidence.stream_growth import law_of, variances
from pytest_initcheck.evidence.streams import Stream, normalised_input
from pytest_initcheck.records import Finding

# As for a signal without normalisation: a hundredfold one costs a learning rate of 1e-4.
_GROWTH = 100.0


class StreamSize:
    """Follows the variance of each stream from addition to addition."""

    name = "stream"
    aspects = frozenset({"gradients"})
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC408",
            title="a stream that outgrows normalisation",
            cause="each block adds to the residual stream more than normalisation takes back",
            limit=f"root mean square at most {number(_GROWTH)} times what it was at first, or 1 "
            "where that is more, if a layer or the output reads the stream without a "
            "normalisation between; if it grows by a factor in each block, at most 1/ε of its "
            "dtype: a normalisation does not bring back what rounding took",
            reference="Hanin, Rolnick: How to Start Training (2018), theorem 6; Zhang, Dauphin, "
            "Ma: Fixup Initialization (2019), section 2",
            follows=frozenset(
                {"IC104", "IC111", "IC407", "IC501", "IC502", "IC503", "IC701", "IC703"}
            ),
            quantity="root mean square of a residual stream behind its last addition over that "
            "before its first",
            exempt="models without normalisation (IC404, IC405); streams whose end is normalised "
            "and that grow linearly, as those of pre-norm transformers do",
            severities=("warning",),
            remedy="divide what writes to the stream by the square root of the number of "
            "additions, start the branches at zero, or normalise behind the last addition",
            surrogate=True,
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        for stream in evidence.streams:
            values = variances(stream, evidence.start.sums)
            if len(values) > 1 and values[0] > 0:
                yield from self._judged(evidence, stream, values)

    def _judged(
        self, evidence: Evidence, stream: Stream, values: tuple[float, ...]
    ) -> Iterator[Finding]:
        growth = math.sqrt(values[-1] / max(values[0], 1.0))
        reader = _raw_reader(evidence, stream)
        if growth > _GROWTH and reader is not None and has_normalisation(evidence):
            text = f"'{reader or 'the output'}' reads it without a normalisation between"
            yield self._found(evidence, stream, values, growth, _GROWTH, text)
            return
        last = evidence.start.sums[stream.additions[-1].node].total
        limit = 1 / SPACING.get(last.dtype, SPACING["float32"])
        growth = math.sqrt(values[-1] / values[0])
        if law_of(values) == "exponential" and growth > limit:
            text = f"in {last.dtype} what it held at first is lost to rounding"
            yield self._found(evidence, stream, values, growth, limit, text)

    def _found(
        self,
        evidence: Evidence,
        stream: Stream,
        values: tuple[float, ...],
        growth: float,
        limit: float,
        text: str,
    ) -> Finding:
        writers = [s for scales in writers_of(evidence, stream).values() for s in scales]
        factor = 1 / math.sqrt(len(stream.additions))
        named = stream.name or "model"
        return self.rules[0].found(
            self.name,
            "warning",
            [stream.additions[-1].owner, *dict.fromkeys(s.layer for s in writers)],
            "root mean square of the stream at its end over that at its start",
            measured=growth,
            limit=limit,
            cause=f"the stream through '{named}' grows as {_words(values)}, and {text}",
            profile=dict(_profile(stream, values)),
            code=scaled_by({scale.parameter: factor for scale in writers}),
        )


def _words(values: tuple[float, ...]) -> str:
    steps = len(values) - 1
    if law_of(values) == "exponential":
        rate = (values[-1] / values[0]) ** (1 / steps)
        return f"{rate:.3g}^L with its L = {steps} additions (variance)"
    rise = (values[-1] / values[0] - 1) / steps
    return f"1 + {rise:.3g} L with its L = {steps} additions (variance)"


def _profile(stream: Stream, values: tuple[float, ...]) -> Iterator[tuple[str, float]]:
    for addition, value in zip(stream.additions, values[1:], strict=True):
        writer = addition.writers[0].parameter if addition.writers else addition.owner
        yield writer, math.sqrt(value / values[0])


def _raw_reader(evidence: Evidence, stream: Stream) -> str | None:
    """A layer, or "" for the output, that the stream's end reaches without a normalisation."""
    reached = {stream.additions[-1].node}
    if reached & evidence.output_nodes:
        return ""
    for node in evidence.nodes[stream.additions[-1].node + 1 :]:
        if not reached & set(node.inputs) or normalises(node) or node.selects:
            continue
        if normalised_input(evidence.nodes, node) is not None:
            continue
        if node.is_layer:
            return node.layer
        reached.add(node.index)
        if node.index in evidence.output_nodes:
            return ""
    return None
