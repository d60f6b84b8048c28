"""What the loss asks for: whether the targets can be told apart, met, and were not given away."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_initcheck.checks.cuts import is_solved
from pytest_initcheck.checks.prose import percent
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.gradient_flow import last_calls
from pytest_initcheck.evidence.objective import ObjectiveFacts
from pytest_initcheck.evidence.signals import is_class_loss, is_varied
from pytest_initcheck.records import Finding

# In a batch of fewer samples chance may give all of them one class.
_MANY = 8
# Outputs that know nothing cost what a constant does, or more; half of it takes knowledge.
_KNOWN = 0.5
_SOLVED = (
    "the loss is at its lowest before the first step, and no parameter gets any gradient: what it "
    "asks for, such as a margin, is met by any weights"
)
_CROSSED = (
    "two results that have a value for each sample, of different shapes, are made into one with a "
    "value for each pair of samples: what belongs to one is combined with what belongs to all"
)
_POOLED = (
    "a number that was made of all samples' outputs is multiplied with a value of each sample: "
    "which output belongs to which value is lost"
)
_EQUAL = "the inputs are the same for every sample, and the targets are not: nothing tells which"
_BIASES = (
    "all that the optimiser holds are biases of what makes the output: it adds the same to the "
    "outputs of all samples, and the rest is frozen, or not held"
)
_UNFREEZE = (
    "let what is to be trained require gradients, adapters and the head among it, and pass it to "
    "the optimiser"
)
# The square of what single precision rounds away.
_ROUNDING = 1e-13
_DATA = frozenset({"IC104", "IC111", "IC501", "IC502", "IC503", "IC504", "IC803", "IC804"})


class Targets:
    """Asks the loss what a constant output costs, and what stands in the batch twice."""

    name = "targets"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC811",
            title="shapes that broadcast in the loss",
            cause="outputs and targets of different shapes are made into one larger than both: "
            "each output is compared with the targets of all samples, and their mean is the best "
            "answer",
            limit="no pair of output and targets whose broadcast is larger than both, where a "
            "constant has the lowest loss, or where the targets may change places at no cost",
            reference="PyTorch documentation: broadcasting semantics; MSELoss warns of it",
            follows=_DATA,
            quantity="values of the broadcast of outputs and targets, over those of the larger",
            exempt="comparisons of all pairs for which a constant is not the best answer; of two "
            "results (warning), what an axis was put in for, and a tensor against itself",
            severities=("error", "warning"),
            remedy="give both one shape: output.squeeze(-1), or targets.unsqueeze(-1)",
        ),
        Rule(
            id="IC812",
            title="targets ask for nothing",
            cause="one and the same output for every sample already has the lowest loss that "
            "there is: the targets are the same for all, or the loss cannot use what tells them "
            "apart",
            limit="a loss of the best constant output above the lowest loss, and some gradient in "
            "the first steps",
            reference="by definition",
            follows=_DATA | {"IC101", "IC811", "IC306", "IC401"},
            quantity="loss of the best constant output, beside the lowest of any output",
            exempt="losses that read no targets from the batch; equal targets in a batch of fewer "
            f"than {_MANY} samples",
            severities=("error", "warning"),
            remedy="look at the targets as the loss gets them: their encoding (0 and 1, −1 and 1, "
            "class indices), their scaling, and the order of the batch",
        ),
        Rule(
            id="IC813",
            title="the answer is in the input",
            cause="the model is given what it is asked for: it need not learn anything else",
            limit=f"first loss at least {percent(_KNOWN)} of what the best constant output costs "
            "above the lowest; targets that are no copy of an input of their own",
            reference="Kaufman, Rosset, Perlich: Leakage in Data Mining (2012)",
            follows=_DATA,
            quantity="first loss of untrained weights for classes, or the input that equals the "
            "targets",
            exempt="losses for numbers, whose models may start from a good guess; "
            "autoencoders, of tokens where a code of all of them lies between",
            severities=("error", "warning"),
            remedy="shift the targets of a language model by one position, and take the column of "
            "the targets out of the inputs",
        ),
        Rule(
            id="IC814",
            title="same output for every sample",
            cause="the outputs do not depend on the samples, neither at the start nor after the "
            "steps: only a constant can be learnt",
            limit="some difference between the outputs of different samples (warning: between "
            "inputs, or in what the steps add to the outputs)",
            reference="Karpathy: A Recipe for Training Neural Networks (2019): the "
            "input-independent baseline",
            follows=_DATA
            | {"IC101", "IC102", "IC107", "IC201", "IC301", "IC302", "IC303", "IC304", "IC306"}
            | {"IC401", "IC402", "IC403", "IC701", "IC601", "IC809"},
            quantity="share of the outputs' mean square that differs between samples, the largest "
            "over the looks; weights that are held beside the biases of the last layers",
            exempt="outputs that have not one row for each sample; targets that are equal, too; "
            "biases alone under the default optimiser",
            severities=("error", "warning"),
            remedy="follow the input through the model: a cast to whole numbers, a detour that "
            "drops it, a mean over the batch, weights of zero",
        ),
        Rule(
            id="IC816",
            title="outputs are compared with the targets of others",
            cause="changing one target moves the gradient of other outputs than its own: between "
            "model and loss the order of values is not the same, as after a view where a permute "
            "was meant",
            limit="the gradient of a target's own output moves with it",
            reference="by the chain rule",
            follows=_DATA | {"IC811", "IC819"},
            quantity="outputs whose gradient moves as one target changes",
            exempt="losses that compare samples with each other; forward=, but for sequences whose "
            "targets go to other samples' outputs",
            remedy="bring outputs and targets into one order of axes before flattening: "
            "output.permute(0, 2, 3, 1).reshape(-1, classes)",
        ),
        Rule(
            id="IC817",
            title="targets that nothing reads",
            cause="the loss does not depend on some of the targets: a part of the task is not "
            "trained",
            limit="every tensor of the targets read by the loss",
            reference="by definition",
            follows=_DATA,
            quantity="tensors of the targets that the loss does not read",
            exempt="batches that are no pair of inputs and targets; whole targets left aside by "
            "a loss that needs none; losses of a single output, read as a whole",
            severities=("warning",),
            remedy="look for a term of the loss that was copied and not changed",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        facts = evidence.objective
        if facts is None or not facts.has_equal_inputs:
            yield from self._constant_output(evidence)
        yield from self._biases(evidence)
        if facts is None or not (facts.broadcast or facts.unpaired):
            yield from self._crossed(evidence)
        if facts is None:
            return
        if facts.has_equal_inputs and facts.sides and not facts.has_equal_targets:
            yield self.rules[3].found(
                self.name, "warning", (), "samples whose inputs differ from the first",
                measured=0, limit=1, cause=_EQUAL,
            )  # fmt: skip
        yield from self._nothing(facts)
        if not facts.asks_nothing:
            yield from self._unpaired(evidence, facts)
        yield from self._given_away(evidence, facts)
        yield from self._misread(facts)

    def _biases(self, evidence: Evidence) -> Iterator[Finding]:
        """Where all that is trained adds to the output, and nothing that knows of the data is."""
        known = evidence.parameters.values()
        held = [p for p in known if p.trainable and evidence.rates.get(p.name)]
        last = last_calls(evidence)
        is_added = bool(held) and all(
            p.name.endswith("bias") and len(p.shape) == 1 and p.layer in last for p in held
        )
        if is_added and not evidence.is_default_optimizer:
            yield self.rules[3].found(
                self.name, "warning", [p.layer for p in held],
                "weights that are held beside biases of the output", measured=0, limit=1,
                cause=_BIASES, remedy=_UNFREEZE,
            )  # fmt: skip

    def _unpaired(self, evidence: Evidence, facts: ObjectiveFacts) -> Iterator[Finding]:
        """Where the loss asks for something: pairs that do not matter, and nothing to learn."""
        if facts.unpaired is not None:
            first, second = facts.unpaired
            quantity = f"move of the loss as samples change places (shapes {first} and {second})"
            is_of_all = () in facts.unpaired
            yield self.rules[0].found(
                self.name, "warning" if is_of_all else "error", (), quantity,
                measured=0.0, limit=0.0, cause=_POOLED if is_of_all else "",
            )  # fmt: skip
        if is_solved(evidence) and facts.samples > 1:
            yield self.rules[1].found(
                self.name,
                "warning",
                (),
                "largest gradient over all steps",
                measured=0.0,
                limit=0.0,
                cause=_SOLVED,
            )

    def _misread(self, facts: ObjectiveFacts) -> Iterator[Finding]:
        if facts.mispaired:
            yield self.rules[4].found(
                self.name,
                "error",
                (),
                "outputs that move with the target of another",
                measured=1,
                limit=0,
            )
        if facts.unread:
            yield self.rules[5].found(
                self.name,
                "warning",
                (),
                f"targets that the loss does not read ({', '.join(facts.unread)})",
                measured=len(facts.unread),
                limit=0,
            )

    def _crossed(self, evidence: Evidence) -> Iterator[Finding]:
        for found in evidence.crossings[:1]:
            first, second = found.shapes
            yield self.rules[0].found(
                self.name,
                "warning",
                [found.owner] if found.owner else [],
                f"values of what {found.operator} made of shapes {first} and {second}, over those "
                "of the larger",
                measured=math.prod(found.shape) / max(math.prod(first), math.prod(second)),
                limit=1.0,
                cause=_CROSSED,
            )

    def _nothing(self, facts: ObjectiveFacts) -> Iterator[Finding]:
        if not facts.asks_nothing or facts.samples < 2:
            return
        if facts.broadcast is not None and not facts.has_equal_targets:
            first, second = facts.broadcast
            yield self.rules[0].found(
                self.name,
                "error",
                (),
                f"loss of the best constant output (shapes {first} and {second})",
                measured=facts.constant,
                limit=_least(facts),
            )
        elif not facts.has_equal_targets or facts.samples >= _MANY:
            yield self.rules[1].found(
                self.name,
                "warning" if facts.has_equal_targets else "error",
                (),
                f"loss of the best constant output (of the best one {facts.least:.4g})",
                measured=facts.constant,
                limit=_least(facts),
            )

    def _given_away(self, evidence: Evidence, facts: ObjectiveFacts) -> Iterator[Finding]:
        is_low = self._is_low(facts)
        causality = evidence.dependencies.causality
        # A model that never reads a position for its own output may be asked for it.
        is_strict = causality is not None and causality.perturbed not in causality.moved
        if facts.copied and not is_strict:
            is_causal = causality is not None
            yield self.rules[2].found(
                self.name,
                "error" if is_causal else "warning",
                (),
                f"inputs that equal the targets ({facts.copied})",
                measured=1,
                limit=0,
            )
            return
        # A model that compares samples, or adds to its input, starts from a good guess.
        is_guess = not is_class_loss(evidence) or facts.compares or not facts.squashes_again
        if is_low and (facts.is_whole_copy or not is_guess):
            yield self.rules[2].found(
                self.name,
                "warning",
                (),
                f"first loss (best constant {facts.constant:.4g})",
                measured=facts.loss,
                limit=_limit(facts),
            )

    def _is_low(self, facts: ObjectiveFacts) -> bool:
        known = facts.constant is not None and facts.least is not None and not facts.is_bottomless
        return known and facts.sides > 0 and facts.samples >= _MANY and facts.loss < _limit(facts)

    def _constant_output(self, evidence: Evidence) -> Iterator[Finding]:
        shares = [look.variation for look in evidence.snapshots]
        known = [share for share in shares if share is not None and share == share]
        is_known = evidence.objective is not None or is_varied(evidence)
        if len(known) < len(shares) or not is_known:
            return
        if known and max(known) < _ROUNDING:
            yield self.rules[3].found(
                self.name,
                "error",
                (),
                "share of the outputs' mean square that differs between samples",
                measured=max(known),
                limit=_ROUNDING,
            )


def _least(facts: ObjectiveFacts) -> float | None:
    """What the loss of a constant has to be above; the search tells them apart no further."""
    known = [loss for loss in (facts.constant, facts.least) if loss is not None]
    return max(known, default=None)


def _limit(facts: ObjectiveFacts) -> float:
    low, high = facts.least or 0.0, facts.constant or 0.0
    return low + _KNOWN * (high - low)
