"""What is known of an objective: what it can reach, and what stands between output and loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Of the best constant prediction's loss, the part that counts as nothing.
_NOTHING = 0.01
# A loss with a margin is linear up to it: factors of the outputs within and beyond it.
FACTORS = (0.5, 2.0, -1e3, 1e3)
# Shifts and factors beyond any output that a start makes.
FAR = (1e3, 1e4)
# Logits of a certainty that single precision still resolves: probabilities of 1 − 1e-5.
SURE = 12.0
# The larger part of an excess; what is rarer than one in ten.
LARGER, RARE = 0.5, 0.1


@dataclass(frozen=True, kw_only=True)
class Clipped:
    """A call between output and loss that hides values: ``share`` of them, as ``by`` names it."""

    by: str
    share: float
    before: str


@dataclass(frozen=True, kw_only=True)
class ObjectiveFacts:
    """The loss as a function of what the model hands over, asked about other values of it.

    ``loss`` is the first loss. ``floor`` is the lowest that any output could have, ``reachable``
    the lowest that the model's own last operations allow (``bound`` names the one before the
    output, ``is_bounded`` says that it keeps its results in a range), ``constant`` the lowest of an
    output that is the same for every sample; None where the question cannot be asked. ``calmest``
    is the lowest loss of the last layers' outputs times some number up to 1, ``calm_output`` of the
    outputs, where the layers did not make them; ``is_prior`` that the first loss is high for what
    the samples' outputs have in common, and that this holds of nearly all targets.

    ``least`` is ``floor``, or ``reachable`` where ``constant`` is of what the last layers make.

    ``is_bottomless``: no floor was found, whatever the model's last operations allow; ``is_open``:
    none was found for outputs without them. ``sinks``: adding one number to all that a last
    layer made (for classes, multiplying it) lowers the loss without end. ``is_linear``: the loss
    is linear in the outputs, and they are no logarithms of probabilities; ``is_unnormalised``: so
    are those that a likelihood of classes (NLL, CTC) gets.

    ``squashes_again``: behind the output comes a softmax or a sigmoid, as in cross-entropies;
    ``is_logarithmic``: or a logarithm. ``compares``: what the last layers made is compared with
    each other, by products or distances. ``is_over_one``: the loss takes a softmax over a single
    value; ``inverted`` is the loss of the right and of the wrong classes, where these cost less.
    ``lost_in_loss`` is what a squashing between output and loss, ``bound_in_loss``, puts out of
    reach where another follows; ``within_loss`` the lowest and the best constant of a likelihood
    within the loss, where that is what it is of.

    ``broadcast`` are the shapes of an output and of targets that the loss made into one larger than
    both, ``unpaired`` those of an output and of values of each sample that may change places at no
    cost; ``clipped`` is what hides values from a logarithm; ``blanks`` the share of labels that are
    the blank of CTC. ``sides`` is how many tensors of the batch the loss reads, but for masks and
    for what the model reads; of these ``targets`` says whether they are "classes" (whole numbers),
    "shares" (which sum to one) or "numbers", ``target_rms`` the root mean square of the floating
    ones, ``target_range`` the range of those of a binary cross-entropy, ``has_equal_targets`` that
    they are the same for every sample. ``samples`` is the length of the batch.

    ``outputs`` are the places of the tensors of the output that the loss follows back by its
    gradient. ``has_equal_inputs``: the inputs are the same for every sample.

    ``code_cost`` is what a nat in a code costs where the loss holds its divergence from N(0, 1),
    and ``main_share`` the share of the largest principal component of what is reconstructed.

    ``dead_term``: the share of the loss in terms of a sum that were made of the model's outputs
    and carry no gradient; ``lost_slope``: the size of a derivative that carries none, as a share
    of the sum that it is part of beside what was differentiated; ``has_data_term``: a term is made
    of the batch alone; ``has_empty_term``: one is zero whatever the model does; ``has_score``: one
    raises or lowers a score without comparing it. ``meets_taught``: outputs are multiplied with
    what a network without gradient made of the batch. ``mispaired``: a target is compared with
    outputs of others. ``unread`` are targets that the loss does not read, ``copied`` is the input,
    or its column, that equals the targets, and ``is_whole_copy`` that the only input does.
    ``terms`` are the facts of the terms of a sum that read the batch and an output that something
    bounds, each as of a loss of its own.
    """

    loss: float
    samples: int = 0
    floor: float | None = None
    reachable: float | None = None
    constant: float | None = None
    least: float | None = None
    calmest: float | None = None
    calm_output: float | None = None
    is_prior: bool = False
    is_bottomless: bool = False
    is_open: bool = False
    sinks: bool = False
    is_linear: bool = False
    is_unnormalised: bool = False
    squashes_again: bool = False
    bound: str = ""
    is_bounded: bool = True
    broadcast: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    unpaired: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    clipped: Clipped | None = None
    blanks: float = 0.0
    is_logarithmic: bool = False
    compares: bool = False
    is_over_one: bool = False
    inverted: tuple[float, float] | None = None
    code_cost: float | None = None
    main_share: float | None = None
    lost_in_loss: float = 0.0
    bound_in_loss: str = ""
    within_loss: tuple[float, float] | None = None
    sides: int = 0
    targets: Literal["", "classes", "shares", "numbers"] = ""
    target_rms: float | None = None
    target_range: tuple[float, float] | None = None
    has_equal_targets: bool = False
    mispaired: bool = False
    dead_term: float = 0.0
    lost_slope: float = 0.0
    has_data_term: bool = False
    has_empty_term: bool = False
    has_score: bool = False
    meets_taught: bool = False
    has_equal_inputs: bool = False
    outputs: tuple[int, ...] = ()
    unread: tuple[str, ...] = ()
    copied: str = ""
    is_whole_copy: bool = False
    terms: tuple[ObjectiveFacts, ...] = ()

    @property
    def lost(self) -> float | None:
        """Share of what could be learnt that the range of the output puts out of reach."""
        if self.floor is None or self.reachable is None or self.constant is None or self.is_open:
            return None
        worth = self.constant - self.floor
        if worth <= 1e-6 * max(abs(self.loss), abs(self.constant)):
            # What rounding leaves is nothing to be learnt.
            return None
        if abs(self.reachable) <= _NOTHING * abs(self.constant):
            # Zero is as low as a loss is meant to be, whatever outputs beyond the model's reach do.
            return 0.0
        return max(self.reachable - self.floor, 0.0) / worth

    @property
    def asks_nothing(self) -> bool:
        """Whether the best constant output already has the lowest loss that there is."""
        if self.least is None or self.constant is None or self.is_bottomless or not self.sides:
            return False
        gap, size = self.constant - self.least, max(abs(self.constant), abs(self.least))
        worth = 1e-2 * (self.loss - self.least) if self.has_equal_targets else 0.0
        return gap <= max(1e-3 * size, worth)
