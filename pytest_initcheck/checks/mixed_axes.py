"""Axes that a reshape took for others, in the program or before it."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks.prose import number
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence, Reshape
from pytest_initcheck.evidence.interleaving import ERROR_RATE, FEWEST, MOST_CHANNELS
from pytest_initcheck.records import Finding


class MixedAxes:
    """Judges reshapes after which something reads an axis that holds parts of several."""

    name = "axes"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC819",
            title="axes mixed up by a reshape",
            cause="a view or reshape where a transposition was meant: it keeps the values in "
            "their order in memory, so that what belonged to one position, or to one unit, is "
            "scattered over several",
            limit="what is read by its axis is that axis, whole axes joined, or a part of one "
            "(warning: where no order of the axes, nor of their parts, explains the shape, or no "
            "layer made the values)",
            reference="PyTorch documentation: torch.permute moves axes, torch.Tensor.view keeps "
            "the order of the values",
            quantity="axes that are read by a convolution, a product, a softmax, a normalisation, "
            "a reduction or a comparison, and hold parts of several axes that the program had made",
            exempt="axes that are only joined, or only cut up, and what parts are joined to whole "
            "axes in their order (frames stacked, channels unrolled, windows, heads, groups); "
            "reshapes that are taken back, or sliced into place as in relative attention, before "
            "anything reads; axes of equal size, which no shape tells apart; parameters, and what "
            "is made of them alone",
            severities=("error", "warning"),
            remedy="move the axes with permute, transpose or pixel_shuffle, and reshape only to "
            "join neighbours or to cut an axis up",
        ),
        Rule(
            id="IC824",
            title="images with their channels between their pixels",
            cause="the images look as if a reshape had made channels of their last axis: "
            "neighbours of one channel lie as many places apart as there are channels, and what "
            "a convolution takes for one channel holds parts of all",
            limit="no distance at which rows, and columns, are more alike than next to each "
            f"other: t-tests over the samples, each at an error rate of {number(ERROR_RATE)}",
            reference="by the order of values in memory; PyTorch documentation: torch.permute",
            quantity="mean square difference of neighbouring rows, over that of rows as many "
            "apart as there are channels",
            exempt=f"fewer than {FEWEST} samples; a single channel, or more than "
            f"{MOST_CHANNELS}; images whose neighbours are not alike, such as noise",
            severities=("warning",),
            remedy="images.permute(0, 3, 1, 2) of (samples, rows, columns, channels), in place of "
            "the reshape",
        ),
        Rule(
            id="IC825",
            title="attention that sums to one along the wrong axis",
            cause="a softmax over the queries where one over the keys was meant: what a position "
            "takes from the others is no mean of them, some take many times as much as others",
            limit="a product that sums over the axis along which a softmax ran",
            reference="Vaswani et al.: Attention Is All You Need (2017), section 3.2.1: the "
            "weights on the values",
            follows=frozenset({"IC805", "IC806"}),
            quantity="products of what a softmax made, over one of two axes that are the same axis "
            "of the program, while the softmax ran along the other",
            exempt="places and clusters, parts and wholes, or nodes with weights of their own, "
            "which are different axes; weights that are divided by their sum afterwards; a softmax "
            "along both",
            severities=("warning",),
            remedy="softmax(dim=-1) of scores of (…, queries, keys), and the weights on the left "
            "of the values",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        for images in evidence.interleaved:
            quantity = (
                f"mean square difference of neighbouring rows of {images.place} {images.shape}, "
                f"over that of rows {images.shape[1]} apart"
            )
            yield self.rules[1].found(
                self.name, "warning", (), quantity, measured=images.ratio, limit=1.0
            )
        yield from self._turned(evidence)
        for found in evidence.reshapes:
            yield self.rules[0].found(
                self.name,
                "error" if found.is_certain else "warning",
                [found.owner] if found.owner else [],
                "axes read that hold parts of several others",
                measured=float(
                    sum(a != b for a, b in zip(found.after, _padded(found), strict=True))
                ),
                limit=0.0,
                cause=_told(found),
                remedy=_meant(found),
            )

    def _turned(self, evidence: Evidence) -> Iterator[Finding]:
        if turned := evidence.turned:
            yield self.rules[2].found(
                self.name,
                "warning",
                list(dict.fromkeys(found.owner for found in turned if found.owner)),
                "products over another axis than the one along which a softmax ran",
                measured=len(turned),
                limit=0,
            )


def _padded(found: Reshape) -> tuple[int, ...]:
    return (*found.before, *(0,) * len(found.after))[: len(found.after)]


def _told(found: Reshape) -> str:
    return (
        f"{found.operator} in {_place(found.owner)} takes {found.before} for {found.after}, which "
        "keeps the values in their order in memory: what belonged to one position, or to one unit, "
        f"is scattered over several when {found.reader} in {_place(found.read_in)} reads them"
    )


def _place(owner: str | None) -> str:
    return "the loss" if owner is None else owner or "the model itself"


def _meant(found: Reshape) -> str:
    if found.is_shuffle:
        name = "unshuffle" if found.after[-1] < found.before[-1] else "shuffle"
        return f"torch.nn.functional.pixel_{name} in place of the {found.operator}"
    if not found.order:
        return ""
    return f"in place of the {found.operator}, for axes {found.before}: {_call(found)}"


def _call(found: Reshape) -> str:
    """The code that makes the shape by moving axes."""
    moved = tuple(found.parts[place] for place in found.order)
    cut = "" if found.parts == found.before else f".reshape{found.parts}"
    joined = "" if moved == found.after else f".reshape{found.after}"
    return f"x{cut}.permute{found.order}{joined}"
