"""What may not depend on what: samples on each other, the past on the future."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.dependencies import (
    ASKED_PER_SAMPLE,
    ENOUGH,
    Causality,
    Exchange,
    Samples,
)
from pytest_initcheck.records import Finding

# Behind a layer that is dead, without values or without a slope, nothing can be seen to be read.
_DEAD = frozenset({
    "IC101", "IC102", "IC104", "IC107", "IC111", "IC201", "IC301", "IC302", "IC303", "IC304",
    "IC305", "IC306", "IC401", "IC402", "IC403", "IC404", "IC501", "IC502", "IC701",
})  # fmt: skip


_PLACED = (
    "what is predicted for a sample depends on its place in the batch: something is counted along "
    "the axis of the samples, such as a positional encoding, a mask or weights that are read by row"
)


class Leaks:
    """Judges the dependencies that were proved by perturbing the batch."""

    name = "dependencies"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC805",
            title="samples leak into each other",
            cause="an operation runs along the axis of the samples: a softmax, a mean, attention, "
            "a recurrence or a reshaping over the wrong axis. What is predicted for a sample then "
            "depends on which others the batch holds",
            limit="no sample's output moves when another sample is replaced, or when it is put "
            "at another place",
            reference="Lightning-AI/pytorch-lightning #1237, which asks for this very test, and "
            "lightning-bolts #568, where batch normalisation set off its false alarm",
            follows=frozenset({"IC104", "IC111", "IC501", "IC819"}),
            quantity="samples whose output moves when one other is replaced, with batch statistics "
            "held, dropout off and parameters near zero filled with noise",
            exempt="statistics of the batch beside the samples' own values (normalisation), "
            "similarities between samples, rows picked by index, one sequence, set or graph whose "
            "parts lie along axis 0, and whatever cannot be told apart from these; batches whose "
            "targets do not tell the axis of the samples",
            remedy="let it run along an axis within the sample: dim=1 or -1, batch_first=True, "
            "transpose or permute in place of view",
        ),
        Rule(
            id="IC806",
            title="a causal model sees the future",
            cause="an output depends on positions that come after it: the mask is missing, "
            "inverted, shifted or along another axis, a convolution is padded on both sides, or a "
            "normalisation or a recurrence runs over all positions",
            limit="no output moves at a position before the one that is replaced (warning: where "
            "the class is that of a causal language model, but its config.is_decoder is false)",
            reference="huggingface/transformers #48745: four causal language models attended to "
            "the future from v5.9.0 on",
            follows=frozenset({"IC104", "IC111", "IC501"}),
            quantity="positions before the one that is replaced whose output moves, with batch "
            "statistics held, dropout off and parameters near zero filled with noise",
            severities=("error", "warning"),
            exempt="models of which neither causal=True nor their own configuration says that they "
            "are causal; outputs without a time axis of the inputs' length",
            remedy="mask what comes later: is_causal=True, or a mask that is true above the "
            "diagonal for nn.MultiheadAttention; pad convolutions on the left only",
        ),
        Rule(
            id="IC807",
            title="an input that nothing reads",
            cause="the model takes this input, or this column of it, but neither its output nor "
            "the loss changes with it: it is passed on to nothing, overwritten, or cancelled",
            limit="some bit of the output or of the loss changes with the input, and with each "
            "column",
            reference="docs/dependencies.md: the same pass, bit for bit, with another input",
            follows=_DEAD | {"IC814"},
            quantity="bits of output and loss that change when the values of the input, or of its "
            f"column in {ENOUGH} samples or more, go to other samples, with parameters near zero "
            "filled with noise",
            exempt="constant inputs and columns; targets, and columns that hold them; tensors of a "
            "batch that forward= is passed whole; what is read behind a dead layer; columns of "
            f"images, of masks beside other inputs, more than {ASKED_PER_SAMPLE} for each sample, "
            "where samples leak into each other, and where the model chooses what it reads "
            "(maxima, sorting, masks, chance, windows of convolution and pooling, values that "
            "Python sees)",
            severities=("warning",),
            remedy="use the input, or do not pass it",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        found = evidence.dependencies
        if found.samples is not None:
            yield from self._samples(found.samples)
        if found.causality is not None:
            yield from self._causality(found.causality)
        # Whoever takes the batch apart picks from it what is needed.
        if not evidence.loss.is_forward:
            for place in found.unread:
                cause = f"{place} changes neither the output nor the loss: nothing reads it"
                yield self._unread(place, cause)
            if found.columns:
                columns = " and ".join(map(str, found.columns))
                told = f"neither the output nor the loss changes with {columns}: nothing reads what"
                yield self._unread(columns, f"{told} is there")

    def _samples(self, found: Samples) -> Iterator[Finding]:
        fault = found.fault
        if fault is None:
            yield from self._swapped(found)
            return
        axis = "" if fault.axis is None else f", along axis {fault.axis} of what it reads"
        yield self.rules[0].found(
            self.name,
            "error",
            [fault.owner] if fault.owner else [],
            "samples whose output depends on another sample",
            measured=float(len(found.leaked)),
            limit=0.0,
            cause=f"samples depend on each other: {fault.fault} ({fault.operator} in "
            f"{_owner(fault)}{axis})",
        )

    def _swapped(self, found: Samples) -> Iterator[Finding]:
        if found.is_placed:
            yield self.rules[0].found(
                self.name,
                "error",
                [],
                "samples with another output at another place",
                measured=1.0,
                limit=0.0,
                cause=_PLACED,
                remedy="give every sample of a batch the same: broadcast along axis 0",
            )
        elif found.swapped:
            yield self.rules[0].found(
                self.name,
                "error",
                [],
                "samples whose output depends on another sample",
                measured=float(len(found.leaked)),
                limit=0.0,
                cause=f"samples depend on each other: {found.swapped}",
            )

    def _causality(self, found: Causality) -> Iterator[Finding]:
        if not found.earlier:
            return
        start = found.exchange
        where = f"; the future comes in with {start.operator} in {_owner(start)}" if start else ""
        yield self.rules[1].found(
            self.name,
            "error" if found.is_certain else "warning",
            [start.owner] if start is not None and start.owner else [],
            "positions whose output depends on a later position",
            measured=float(len(found.earlier)),
            limit=0.0,
            cause=f"the model is causal ({found.declared}), but its output moves from position "
            f"{found.earlier[0]} on when position {found.perturbed} of {found.place} is replaced"
            f"{where}",
            remedy="" if found.is_certain else "set config.is_decoder = True",
        )

    def _unread(self, place: str, cause: str) -> Finding:
        return self.rules[2].found(
            self.name,
            "warning",
            [],
            f"outputs that move with {place}",
            measured=0.0,
            cause=cause,
        )


def _owner(exchange: Exchange) -> str:
    return exchange.owner or "the model itself"
