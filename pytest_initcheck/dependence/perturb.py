"""``dependencies``: perturbs the batch a few times and sees which outputs move."""

from __future__ import annotations

import functools
from dataclasses import replace

from pytest_initcheck.capture.program import Program
from pytest_initcheck.capture.restore import Saved
from pytest_initcheck.dependence.at_once import stand_both
from pytest_initcheck.dependence.batch_position import is_placed
from pytest_initcheck.dependence.causal import ask_causality, claimed
from pytest_initcheck.dependence.change import inputs_of
from pytest_initcheck.dependence.columns import ask_columns
from pytest_initcheck.dependence.first_samples import first_samples, stand_alone
from pytest_initcheck.dependence.inputs import ask_inputs
from pytest_initcheck.dependence.layout import BatchLayout, layout_of
from pytest_initcheck.dependence.passes import Awake, NotAsked, Passes, PassResult
from pytest_initcheck.dependence.samples import ask_samples
from pytest_initcheck.evidence import Observed
from pytest_initcheck.evidence.dependencies import Causality, Columns, Dependencies, Samples


def dependencies(
    program: Program,
    start: Saved,
    *,
    causal: bool | None = None,
    observed: Observed | None = None,
) -> Dependencies:
    """What moves when one sample, one position or one input is perturbed.

    Two to six passes, more where something leaks or is not read; the model, whose state is
    saved as ``start``, is put back after each. Where the first few samples of a larger batch stand
    alone, they are what is asked, but for columns; all samples are asked where these do not. What
    the model or the loss raises on a perturbed batch ends the question, never the diagnosis.
    What was ``observed`` before tells what need not be held from pass to pass.
    """
    awake = Awake(program.model, start)
    try:
        found = _of_few(_passes(program, awake, observed), causal)
        return found or _asked(_passes(program, awake, observed), causal)
    finally:
        awake.end()


def _passes(program: Program, awake: Awake, observed: Observed | None) -> Passes:
    passes = Passes(program, awake)
    if observed is not None:
        passes.know(observed)
    return passes


def _of_few(whole: Passes, causal: bool | None) -> Dependencies | None:
    """What the first few samples tell; None where all have to be asked."""
    layout = layout_of(whole.program.batch)
    if not isinstance(layout, BatchLayout):
        return None
    batch = first_samples(whole.program.batch, layout)
    if batch is None:
        return None
    passes = whole.on(batch)
    try:
        reference = passes.reference()
    except Exception:
        return None
    found = _Questions(passes, reference, causal).asked()
    if not stand_alone(found, reference) or found.samples is None:
        return None
    samples = replace(found.samples, count=layout.count)
    whole = passes.on(whole.program.batch)
    return _Questions(whole, None, causal).with_columns(replace(found, samples=samples))


def _asked(passes: Passes, causal: bool | None) -> Dependencies:
    try:
        reference = passes.reference()
    except Exception as error:
        return Dependencies(not_asked=(_reason("nothing could be perturbed", error),))
    questions = _Questions(passes, reference, causal)
    return questions.with_columns(questions.asked())


class _Questions:
    """Asks one after the other; each reason why one could not be asked is kept."""

    def __init__(self, passes: Passes, reference: PassResult | None, causal: bool | None) -> None:
        self._passes, self._known_reference, self._causal = passes, reference, causal
        self._not_asked: list[str] = []
        self._known: dict[str, PassResult] = {}
        layout = layout_of(passes.program.batch)
        self._layout = layout if isinstance(layout, BatchLayout) else None
        if not isinstance(layout, BatchLayout):
            self._not_asked.append(f"samples: {layout}")

    @functools.cached_property
    def _reference(self) -> PassResult:
        return self._known_reference or self._passes.reference()

    def asked(self) -> Dependencies:
        """What was found of samples, positions and inputs."""
        samples, causality = self._stood() or self._placed(self._samples()), self._causality()
        count = self._layout.count if self._layout else 0
        inputs = ask_inputs(self._passes, self._reference, count, self._known)
        return Dependencies(
            samples=samples,
            causality=causality,
            read=tuple(inputs.read),
            unread=tuple(inputs.unread),
            not_asked=(*self._not_asked, *inputs.not_asked),
        )

    def with_columns(self, found: Dependencies) -> Dependencies:
        """The same with what was found of columns."""
        before = len(self._not_asked)
        columns = self._columns(found.samples, list(found.read))
        reasons = tuple(self._not_asked[before:])
        return replace(found, columns=columns, not_asked=(*found.not_asked, *reasons))

    def _stood(self) -> Samples | None:
        """What one pass tells of samples and their places, where they are sound."""
        if self._layout is None:
            return None
        found = stand_both(self._passes, self._reference, self._layout)
        if found is None:
            return None
        self._know(found[1])
        return found[0]

    def _know(self, seen: PassResult) -> None:
        """A pass in which data were changed tells of the only input that there is."""
        inputs = inputs_of(self._passes.program.batch)
        if len(inputs) == 1:
            self._known = {next(iter(inputs)): seen}

    def _samples(self) -> Samples | None:
        if self._layout is None:
            return None
        try:
            found, seen = ask_samples(self._passes, self._reference, self._layout)
        except NotAsked as reason:
            self._not_asked.append(str(reason))
            return None
        except Exception as error:
            self._not_asked.append(_reason("samples", error))
            return None
        self._know(seen)
        return found

    def _placed(self, samples: Samples | None) -> Samples | None:
        """What was found of samples, with whether their place in the batch matters."""
        if samples is None or samples.leaked or samples.axis:
            return samples
        try:
            return replace(
                samples, is_placed=is_placed(self._passes, self._reference, samples.count)
            )
        except NotAsked as reason:
            self._not_asked.append(str(reason))
        except Exception as error:
            self._not_asked.append(_reason("place in the batch", error))
        return samples

    def _causality(self) -> Causality | None:
        claim = claimed(self._passes.program.model, self._causal)
        if claim is None:
            return None
        try:
            return ask_causality(self._passes, self._reference, self._layout, claim)
        except NotAsked as reason:
            self._not_asked.append(str(reason))
        except Exception as error:
            self._not_asked.append(_reason("positions", error))
        return None

    def _columns(self, samples: Samples | None, read: list[str]) -> tuple[Columns, ...]:
        # Where samples meet, what moves a sample may be a column of another.
        if samples is None or samples.leaked or samples.axis or self._passes.program.forward:
            return ()
        try:
            return ask_columns(self._passes, lambda: self._reference, samples.count, read)
        except NotAsked as reason:
            self._not_asked.append(str(reason))
        except Exception as error:
            self._not_asked.append(_reason("columns", error))
        return ()


def _reason(question: str, error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{question}: {type(error).__name__}" + (f": {text}" if text else "")
