"""``assert_width_stable`` and ``assert_depth_stable``: what a start must not do as it grows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pytest_initcheck.errors import InitcheckFailure
from pytest_initcheck.records import Finding
from pytest_initcheck.sizes.expected import Parametrization, expected_of
from pytest_initcheck.sizes.judge_depth import judge_depth
from pytest_initcheck.sizes.judge_width import judge_width
from pytest_initcheck.sizes.measure import Factory, scaling
from pytest_initcheck.sizes.result import Scaling

Judged = tuple[Scaling, list[Finding]]


def assert_width_stable(
    factory: Factory,
    widths: Iterable[int] = (64, 128, 256, 512),
    batch: Any = None,
    *args: Any,
    parametrization: Parametrization | None = "standard",
    **options: Any,
) -> Scaling:
    """Fail where what a layer makes, or what a step changes, scales wrongly with the width.

    At the start no activation grows or vanishes with the width, under any ``parametrization``; that
    of a muP readout falls like width^-½ or faster. Of the change by the steps "mup" asks that it
    neither grows nor vanishes, "ntk" that of the output, "standard" (default) no more than that it
    grows no faster than the width. None asks that nothing grows with the width, at the start or by
    the steps. An exponent fails where its interval over the seeds is wholly outside of a quarter on
    either side of that of the theory; docs/scaling.md derives them.

    Args:
        factory: ``factory(width) -> model``.
        widths: default (64, 128, 256, 512).
        batch: one for all widths, or ``batch(width)``.
        parametrization: "standard", "mup", "ntk" or None.
        *args: further arguments of `scaling`, and so are ``options``: ``loss_fn``, ``optimizer``,
            ``steps``, ``seeds``, ``forward``, ``device``.

    Returns:
        The `Scaling` that was judged.

    Raises:
        InitcheckFailure: names the layer, the quantity, the exponent with its interval, what is
            allowed, and what to change.
        InitcheckError: wrong use, or a model that raises.
    """
    found, findings = width_judged(
        factory, widths, batch, *args, parametrization=parametrization, **options
    )
    _raise(findings)
    return found


def assert_depth_stable(
    factory: Factory,
    depths: Iterable[int] = (2, 4, 8, 16),
    batch: Any = None,
    *args: Any,
    transfers: bool = False,
    **options: Any,
) -> Scaling:
    """Fail where output, gradient at the first layer or change by a step multiply with the depth.

    By default the spread of the output and the gradient may grow like √depth, as the streams of
    normalised residual blocks do, and the change by the steps like the depth, as so many layers
    with one rate each give. With ``transfers`` none of them may grow, as DeepNet, Fixup and
    parametrisations of the depth claim. Neither spread nor gradient may vanish.

    Args:
        factory: ``factory(depth) -> model``.
        depths: default (2, 4, 8, 16).
        batch: one for all depths, or ``batch(depth)``.
        transfers: whether one rate is claimed to serve all depths.
        *args: further arguments of `scaling`, and so are ``options``.

    Returns:
        The `Scaling` that was judged.

    Raises:
        InitcheckFailure: names the quantity, its exponent with the interval, and what is allowed.
        InitcheckError: wrong use, or a model that raises.
    """
    found, findings = depth_judged(factory, depths, batch, *args, transfers=transfers, **options)
    _raise(findings)
    return found


def width_judged(
    factory: Factory,
    widths: Iterable[int] = (64, 128, 256, 512),
    batch: Any = None,
    *args: Any,
    parametrization: Parametrization | None = "standard",
    **options: Any,
) -> Judged:
    """What `assert_width_stable` measures, and what it finds wrong."""
    expected_of(parametrization)
    found = scaling(factory, widths, batch, *args, **options)
    return found, judge_width(found, parametrization)


def depth_judged(
    factory: Factory,
    depths: Iterable[int] = (2, 4, 8, 16),
    batch: Any = None,
    *args: Any,
    transfers: bool = False,
    **options: Any,
) -> Judged:
    """What `assert_depth_stable` measures, and what it finds wrong."""
    found = scaling(factory, depths, batch, *args, **options)
    return found, judge_depth(found, transfers=transfers)


def _raise(findings: Sequence[Finding]) -> None:
    __tracebackhide__ = True
    if findings:
        raise InitcheckFailure("\n".join(line for found in findings for line in _lines(found)))


def _lines(finding: Finding) -> list[str]:
    where = f"layer {finding.layer!r}" if finding.layer else "model"
    head = f"{finding.id} {finding.title}: {where}: {finding.numbers}"
    return [head, f"  cause   {finding.cause}", f"  fix     {finding.remedy}"]
