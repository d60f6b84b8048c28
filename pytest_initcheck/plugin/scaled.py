"""The fixture's assertions about how a start scales with width and depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_initcheck.plugin.backend import chosen
from pytest_initcheck.plugin.failing import Failing
from pytest_initcheck.plugin.user_errors import call, quiet

if TYPE_CHECKING:
    from pytest_initcheck.records import Finding, Verdict
    from pytest_initcheck.sizes import Scaling


class Scaled(Failing):
    """What a test asks of models of several sizes."""

    @quiet
    def scaling(self, *args: Any, name: str = "scaling", **options: Any) -> Scaling:
        """`pytest_initcheck.sizes.scaling`, recorded; takes its arguments and raises its errors."""
        from pytest_initcheck.sizes import scaling

        found = call(scaling, *args, **self._there(options))
        self._recorder.add(name, "scaling", found.run_record())
        return found

    @quiet
    def assert_width_stable(self, *args: Any, name: str = "width", **options: Any) -> Scaling:
        """Fail where a start, or a step, scales with the width as its parametrisation excludes.

        Takes the arguments of `pytest_initcheck.assert_width_stable`, raises its errors, and
        returns the `Scaling`.
        """
        from pytest_initcheck.sizes.stable import width_judged

        __tracebackhide__ = True
        return self._scaled(name, *call(width_judged, *args, **self._there(options)))

    @quiet
    def assert_depth_stable(self, *args: Any, name: str = "depth", **options: Any) -> Scaling:
        """Fail where output, first gradient or change by a step multiply with the depth.

        Takes the arguments of `pytest_initcheck.assert_depth_stable`, raises its errors, and
        returns the `Scaling`.
        """
        from pytest_initcheck.sizes.stable import depth_judged

        __tracebackhide__ = True
        return self._scaled(name, *call(depth_judged, *args, **self._there(options)))

    def _there(self, options: dict[str, Any]) -> dict[str, Any]:
        return chosen(self._settings.backend, self._placed(options))

    def _scaled(self, name: str, found: Scaling, findings: Sequence[Finding]) -> Scaling:
        __tracebackhide__ = True
        verdict: Verdict = "fail" if findings else "pass"
        self._recorder.add(name, "scaling", found.run_record(), verdict=verdict, findings=findings)
        if findings:
            self._fail(findings, findings)
        return found
