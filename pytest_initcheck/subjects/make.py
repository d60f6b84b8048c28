"""From what was typed to a model and a batch, with a word on all that was guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.default_loss import own_loss
from pytest_initcheck.capture.device import resolve_device
from pytest_initcheck.capture.hints import for_forward, seen
from pytest_initcheck.capture.randomness import seed_all
from pytest_initcheck.capture.tree import main_tensor, moved
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence.construction import ConstructionFacts
from pytest_initcheck.inputs.losses import loss_of
from pytest_initcheck.inputs.signature import forward_of
from pytest_initcheck.ledger import Recorded, build
from pytest_initcheck.subjects.data import Source, guessed_classes
from pytest_initcheck.subjects.find import call, find
from pytest_initcheck.subjects.guess import Guess, fitting, guesses, output_of, vocabulary
from pytest_initcheck.subjects.known_kinds import batch_of_kind
from pytest_initcheck.subjects.libraries import imported, model_of
from pytest_initcheck.subjects.raised import place_of, said
from pytest_initcheck.subjects.spec import Asked, InputSpec

_SQUARED = ("mse", "mse_loss", "MSELoss")


@dataclass(frozen=True, kw_only=True)
class Made:
    """A model with a batch and what its loss is; ``guessed`` says what nobody typed, ``facts``
    how the model was built, unless it had been built before."""

    model: nn.Module
    batch: Any
    loss_fn: Any = None
    forward: Callable[[Any, Any], Any] | None = None
    guessed: tuple[str, ...] = ()
    facts: ConstructionFacts = field(default_factory=ConstructionFacts)

    @property
    def recorded(self) -> nn.Module | Recorded:
        """The model, with how it was built where that is known."""
        is_known = any(built.is_known for built in self.facts.tensors)
        return Recorded(model=self.model, facts=self.facts) if is_known else self.model


def made(asked: Asked) -> Made:
    """The model that was asked for, its batch, loss and forward.

    Raises:
        InitcheckError: one of them cannot be made; the message says what to type.
    """
    device = resolve_device(asked.device, "pass --device cpu")
    loss_fn = _loss(asked)
    forward = find(asked.forward) if asked.forward else None
    imported(asked.target)
    # Importing may have drawn numbers, the first time only.
    seed_all(asked.seed)
    model, facts = build(lambda: model_of(asked.target, asked.args))
    _check_values(model, asked.target)
    model = model.to(device=device, dtype=getattr(torch, asked.dtype))
    batch, guessed = _batch(asked, model)
    return Made(
        model=model,
        batch=moved(batch, device),
        loss_fn=loss_fn,
        forward=forward,
        guessed=guessed,
        facts=facts,
    )


def _check_values(model: nn.Module, target: str) -> None:
    if any(parameter.is_meta for parameter in model.parameters()):
        raise InitcheckError(
            f"{target} gives a model on the meta device, which holds no values; initialise it there"
        )


def _loss(asked: Asked) -> Any:
    if not asked.loss:
        return None
    if ":" in asked.loss:
        return find(asked.loss)
    if asked.regression is not None and "cross_entropy" in asked.loss:
        raise InitcheckError(
            f"--loss {asked.loss} needs labels; pass --classes N in place of --regression"
        )
    try:
        return loss_of(asked.loss)[0]
    except InitcheckError as error:
        raise InitcheckError(f"--loss: {error} or MODULE:NAME") from None


def _batch(asked: Asked, model: nn.Module) -> tuple[Any, tuple[str, ...]]:
    if asked.batch:
        return call(find(asked.batch), asked.batch), ()
    source = Source.of(asked, asked.vocab)
    known = batch_of_kind(model, source) if not asked.inputs else None
    if known is not None:
        batch, why = known
        if isinstance(batch, tuple) or "labels" in batch:
            return batch, (f"the batch ({why})",)
        inputs, told = batch, [f"inputs {_text(batch)} ({why})"]
    else:
        inputs, told = _inputs(asked, model, source)
    on_device = moved(inputs, next(model.parameters()).device)
    output = _output(asked, model, on_device)
    targets, said_of = _targets(asked, output, None if known else inputs, source)
    told += [said_of] if said_of else []
    if targets is None:
        return inputs, tuple(told)
    return (inputs, targets), tuple(told)


def _inputs(asked: Asked, model: nn.Module, source: Source) -> tuple[Any, list[str]]:
    if asked.inputs:
        return _typed(asked, model, source)
    example = getattr(model, "example_input_array", None)
    if example is not None:
        return example, [f"inputs {_text(example)} (the model's example_input_array)"]
    candidates = list(guesses(model))
    # Without a vocabulary of its own, the first table of the model is it.
    source = replace(source, vocab=asked.vocab or vocabulary(model))
    drawn = [(guess, _joined(guess.inputs, model, _quiet(source, guess))) for guess in candidates]
    found = fitting(model, drawn)
    if found is None:
        raise InitcheckError(
            f"what {asked.target} takes cannot be told from its layers{_tried(candidates)}; pass "
            f"{_wanted(model)}, or --batch module:make_batch"
        )
    guess, inputs = found
    return inputs, [f"inputs {_text(inputs)} ({guess.why})"]


def _quiet(source: Source, guess: Guess) -> Source:
    is_of_ids = any(spec.kind == "int64" for spec in guess.inputs)
    return source if is_of_ids else replace(source, vocab=None)


def _typed(asked: Asked, model: nn.Module, source: Source) -> tuple[Any, list[str]]:
    inputs = _joined(asked.inputs, model, source)
    vocab = vocabulary(model)
    if asked.vocab is not None or vocab is None:
        return inputs, []
    ids = tuple(replace(s, kind=s.kind or "int64") for s in asked.inputs)
    among = replace(source, vocab=vocab)
    has_whole = any(spec.kind.startswith("int") for spec in asked.inputs)
    as_ids = _joined(ids, model, among)
    if has_whole:
        return _joined(asked.inputs, model, among), [f"token ids below {vocab}"]
    plain = Guess(asked.inputs, ""), inputs
    found = fitting(model, [plain, (Guess(ids, "ids"), as_ids)])
    if found is None or not found[0].why:
        return inputs, []
    return as_ids, [f"token ids below {vocab}"]


def _joined(specs: tuple[InputSpec, ...], model: nn.Module, source: Source) -> Any:
    """The data of inputs: one tensor, a tuple, or a mapping where one of them has a name."""
    drawn = [source.drawn(spec) for spec in specs]
    if not any(spec.name for spec in specs):
        return drawn[0] if len(drawn) == 1 else tuple(drawn)
    asked = forward_of(model)
    free = iter(n for n in (asked.names if asked else ()) if n not in [s.name for s in specs])
    names = [spec.name or next(free, f"input {place}") for place, spec in enumerate(specs)]
    return dict(zip(names, drawn, strict=True))


def _output(asked: Asked, model: nn.Module, inputs: Any) -> Any:
    try:
        return output_of(model, inputs)
    except Exception as error:
        if asked.forward:
            # It may call the model in another way.
            return None
        place = place_of(error)
        hint = for_forward(error, model, inputs, None)
        is_theirs = place and "…" in hint
        advice = f" (in {place})" if is_theirs else f"; pass {_as_option(hint)}"
        raise InitcheckError(
            f"the model's forward raised {said(error)}; it was given {_text(inputs)}{advice}"
        ) from error


def _as_option(hint: str) -> str:
    return "an --input that the model accepts" if "…" in hint else f"--input with {hint}"


def _targets(asked: Asked, output: Any, inputs: Any, source: Source) -> tuple[Any, str]:
    if output is None:
        return None, ""
    main = main_tensor(output)
    has_own = own_loss(output, is_inside=True) is not None
    if not isinstance(main, Tensor):
        raise InitcheckError("the model's output holds no tensor; pass --forward module:function")
    shape = tuple(main.shape)
    if asked.regression is not None:
        return source.values(shape, asked.regression), ""
    if asked.classes is not None:
        is_squared = asked.loss in _SQUARED
        make = source.one_hot if is_squared else source.labels
        return make(shape, asked.classes), ""
    if has_own:
        return None, "the loss is what the model returns"
    is_of_values = inputs is None or asked.loss in _SQUARED
    classes = None if is_of_values else guessed_classes(shape, inputs)
    if classes is None:
        return source.values(shape, None), f"targets are normal values of the output's {shape}"
    return source.labels(shape, classes), f"{classes} classes (the output's {shape})"


def _text(inputs: Any) -> str:
    if isinstance(inputs, Mapping):
        return ", ".join(f"{name}={seen(value)}" for name, value in inputs.items())
    return seen(inputs)


def _tried(candidates: list[Guess]) -> str:
    shapes = ["; ".join(map(str, guess.inputs)) for guess in candidates[:3]]
    return f" (tried {' | '.join(shapes)})" if shapes else ""


def _wanted(model: nn.Module) -> str:
    asked = forward_of(model)
    names = asked.names[: asked.required] if asked is not None else ()
    return " ".join(f"--input {name}=SHAPE" for name in names) or "--input SHAPE"
