"""What each of several ranks diagnoses of a model that they hold: all of it, or its part."""

from __future__ import annotations

from dataclasses import replace

from pytest_initcheck.diagnosis.subject import Subject
from pytest_initcheck.distributed.in_parts import fits_whole, in_parts
from pytest_initcheck.distributed.spread import Spread
from pytest_initcheck.distributed.together import as_one
from pytest_initcheck.errors import InitcheckError


def of_all(subject: Subject, spread: Spread, unshard: bool | None) -> Subject:
    """The subject put together from all ranks, or in parts that are merged; every rank has to
    call this.

    Args:
        subject: what this rank was given.
        spread: how the model is spread over the ranks.
        unshard: whether it is put together; None: where there is room for it.

    Raises:
        InitcheckError: it cannot be, or another rank failed.
    """
    if unshard is None:
        unshard = fits_whole(spread, subject.batch, subject.loss_fn, subject.forward)
    return _put_together(subject, spread) if unshard else _parted(subject, spread)


def _parted(subject: Subject, spread: Spread) -> Subject:
    if subject.thorough:
        raise InitcheckError(
            "whether a model can fit its batch is asked of all of it; pass unshard=True"
        )
    parts = in_parts(spread, subject.batch)
    told = (*subject.told, f"model: {parts.told}")
    return replace(
        subject, model=parts.model, across=parts.across, agreement=parts.agreement, told=told
    )


def _put_together(subject: Subject, spread: Spread) -> Subject:
    whole = as_one(subject.model, spread, subject.batch, subject.optimizer)
    told = (*subject.told, f"model: {whole.told}")
    return replace(
        subject,
        model=whole.model,
        batch=whole.batch,
        optimizer=whole.optimizer,
        agreement=whole.agreement,
        told=told,
    )
