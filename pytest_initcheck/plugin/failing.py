"""How an assertion of the fixture fails: with its findings, and a script that shows them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from pytest_initcheck.errors import InitcheckFailure
from pytest_initcheck.plugin.recording import Recording
from pytest_initcheck.plugin.repro import leave

if TYPE_CHECKING:
    from pytest_initcheck.diagnosis import Diagnosis
    from pytest_initcheck.records import Finding


class Failing(Recording):
    """Raises what assertions raise, and remembers it."""

    def _fail(
        self,
        faults: Sequence[Finding],
        found: Sequence[Finding],
        *,
        expect: Any = None,
        diagnosis: Diagnosis | None = None,
    ) -> None:
        from pytest_initcheck.plugin.expected import Expectation
        from pytest_initcheck.session.failure import health_text

        __tracebackhide__ = True
        faults = Expectation.of(expect).unexpected(faults)
        if not faults:
            return
        settings = self._settings
        text = health_text("fail", faults, found, nodeid=settings.nodeid, report=settings.report)
        script = leave(self._repro, settings.nodeid, diagnosis) if diagnosis else ""
        self._raise(f"{text}\n{script}" if script else text)

    def _raise(self, text: str) -> NoReturn:
        __tracebackhide__ = True
        failure = InitcheckFailure(text)
        self._recorder.note_raised(failure)
        raise failure
