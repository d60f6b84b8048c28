"""--initcheck-model: tests of models that have no test file."""

from __future__ import annotations

import shlex
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_initcheck.plugin.fixture import Initcheck

OPTION = "--initcheck-model"
_HOME = "initcheck"


def add(group: pytest.OptionGroup) -> None:
    """Declare the option."""
    group.addoption(
        OPTION,
        metavar="TARGET",
        action="append",
        default=[],
        help="diagnose a model without a test file: package.models:Net, models.py:Net, "
        "timm:NAME, torchvision:NAME, hf:NAME, hub:REPO:ENTRY, followed by arguments of the "
        "callable; may be given again. Without paths, nothing else is run",
    )


def leave_out_the_rest(config: pytest.Config) -> None:
    """Without paths on the command line, the models are all that is collected.

    Raises:
        pytest.UsageError: a target is empty.
    """
    targets = config.getoption(OPTION)
    if any(not target.strip() for target in targets):
        raise pytest.UsageError(f"{OPTION} is empty: give a model, such as package.models:Net")
    if targets and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = []


class Models(pytest.Module):
    """The tests of the models on the command line, as if a module held them."""

    def _getobj(self) -> types.ModuleType:
        return types.ModuleType(_HOME)

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """One test for each model."""
        for target in dict.fromkeys(self.config.getoption(OPTION)):
            item = pytest.Function.from_parent(self, name=target, callobj=_test_of(target))
            item.add_marker(pytest.mark.initcheck(baseline=False))
            yield item


def tests(session: pytest.Session) -> list[pytest.Item]:
    """The tests of the models on the command line."""
    if not session.config.getoption(OPTION):
        return []
    module = Models.from_parent(session, path=session.config.rootpath / _HOME)
    return [item for item in module.collect() if isinstance(item, pytest.Item)]


def _test_of(target: str) -> Any:
    def test(initcheck: Initcheck) -> None:
        from pytest_initcheck.plugin.user_errors import quiet

        __tracebackhide__ = True
        quiet(_diagnose)(target, initcheck)

    test.__doc__ = f"{target} starts healthy."
    return test


def _diagnose(target: str, initcheck: Initcheck) -> None:
    from pytest_initcheck.capture.randomness import isolated
    from pytest_initcheck.subjects.make import made
    from pytest_initcheck.subjects.spec import Asked

    __tracebackhide__ = True
    name, *args = shlex.split(target)
    with isolated():
        subject = made(Asked(target=name, args=tuple(args)))
    if subject.guessed:
        print(f"guessed: {'; '.join(subject.guessed)}")
    initcheck.assert_healthy(subject.recorded, subject.batch, subject.loss_fn, name="start")
