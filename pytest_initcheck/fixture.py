"""The fixture ``initcheck``: recording, and the assertions that stand on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pytest_initcheck.aspects import DEAD, GRADIENTS, SATURATION, SYMMETRY, Aspect
from pytest_initcheck.calls import quiet
from pytest_initcheck.errors import InitcheckFailure
from pytest_initcheck.recording import Recording

if TYPE_CHECKING:
    from pytest_initcheck.diagnosis import Diagnosis

DRAW_SEED = 0


class Initcheck(Recording):
    """What a test asks of a model or an experiment; each ``assert_…`` raises InitcheckFailure."""

    @quiet
    def assert_healthy(
        self, model: Any, batch: Any, *args: Any, name: str = "healthy", **options: Any
    ) -> Diagnosis:
        """Fail where the verdict is "fail"; a warning passes and is shown in the report.

        Takes the arguments of `diagnose`, raises its errors, and returns the diagnosis.

        Raises:
            InitcheckFailure: an error was found.
        """
        __tracebackhide__ = True
        found = self._diagnose(name, model, batch, *args, **options)
        if found.verdict == "fail":
            errors = [f for f in found.findings if f.severity == "error"]
            self._fail(found, errors or list(found.findings))
        return found

    @quiet
    def assert_symmetry_broken(
        self, model: Any, batch: Any, *args: Any, name: str = "symmetry", **options: Any
    ) -> Diagnosis:
        """Fail where units of a layer stay equal. Takes the arguments of `diagnose`."""
        __tracebackhide__ = True
        return self._assert_aspect(SYMMETRY, name, model, batch, *args, **options)

    @quiet
    def assert_no_dead_layers(
        self,
        model: Any,
        batch: Any,
        *args: Any,
        sigma: float | None = None,
        name: str = "dead layers",
        **options: Any,
    ) -> Diagnosis:
        """Fail where a layer is dead. Takes the arguments of `diagnose`.

        With ``sigma`` the model is judged as if its linear and convolutional weights and biases were
        drawn from N(0, sigma²); the draw is the same every time, and the model keeps its own.
        """
        __tracebackhide__ = True
        with _drawn(model, sigma):
            return self._assert_aspect(DEAD, name, model, batch, *args, **options)

    @quiet
    def assert_no_saturated_layers(
        self,
        model: Any,
        batch: Any,
        *args: Any,
        sigma: float | None = None,
        name: str = "saturated layers",
        **options: Any,
    ) -> Diagnosis:
        """Fail where a layer is saturated. Takes the arguments of `diagnose`, and ``sigma``.

        With ``sigma`` the model is judged as if its linear and convolutional weights and biases were
        drawn from N(0, sigma²); the draw is the same every time, and the model keeps its own.
        """
        __tracebackhide__ = True
        with _drawn(model, sigma):
            return self._assert_aspect(SATURATION, name, model, batch, *args, **options)

    @quiet
    def assert_gradients_flow(
        self, model: Any, batch: Any, *args: Any, name: str = "gradients", **options: Any
    ) -> Diagnosis:
        """Fail where gradients vanish, explode or are not finite, or where weights do not move.

        Takes the arguments of `diagnose`.
        """
        __tracebackhide__ = True
        return self._assert_aspect(GRADIENTS, name, model, batch, *args, **options)

    def _assert_aspect(
        self, aspect: Aspect, name: str, model: Any, batch: Any, *args: Any, **options: Any
    ) -> Diagnosis:
        __tracebackhide__ = True
        found = self._diagnose(name, model, batch, *args, **options)
        faults = aspect.faults(found.findings)
        if faults:
            self._fail(found, faults)
        return found

    def _fail(self, found: Diagnosis, faults: Sequence[Any]) -> None:
        from pytest_initcheck.session.failure import health_text

        __tracebackhide__ = True
        settings = self._settings
        text = health_text(
            "fail", faults, found.findings, nodeid=settings.nodeid, report=settings.report
        )
        raise InitcheckFailure(text)


@contextlib.contextmanager
def _drawn(model: Any, sigma: float | None) -> Iterator[None]:
    """Inside, the model's weights are drawn anew; a copy would miss what a closure refers to."""
    if sigma is None:
        yield
        return
    import torch

    from pytest_initcheck.capture.state import preserved
    from pytest_initcheck.capture.validate import check_model
    from pytest_initcheck.training import draw_normal

    check_model(model)
    with preserved(model):
        draw_normal(model, sigma, "all", torch.Generator().manual_seed(DRAW_SEED))
        yield
