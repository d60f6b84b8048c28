"""What a run may write into the baselines: two flags, and what contradicts them."""

from __future__ import annotations

import argparse

import pytest

from pytest_initcheck.session.settings import Updating

FLAGS: dict[Updating, str] = {"all": "--initcheck-update", "new": "--initcheck-update-new"}
# A flag with a value that may be left out would take the path behind it for one.
_VALUES = ("new", "missing", "changed", "all")
_VALUE = "initcheck_update_value"


def add(group: pytest.OptionGroup) -> None:
    """Declare the options."""
    group.addoption(
        FLAGS["all"],
        action="store_true",
        default=None,
        help="write the baselines of the tests that pass instead of comparing with them",
    )
    group.addoption(
        FLAGS["new"],
        action="store_true",
        default=None,
        help="write the baselines that are missing, of the tests that pass; changed ones fail",
    )
    group.addoption(
        "--initcheck-allow-unhealthy",
        metavar="REASON",
        default=None,
        help="let an update also store starts that are not healthy, with this reason",
    )
    # By itself, argparse says that the value is ignored, and not what to write.
    for value in _VALUES:
        group.addoption(
            f"{FLAGS['all']}={value}", action="store_true", dest=_VALUE, help=argparse.SUPPRESS
        )


def resolve(config: pytest.Config) -> Updating:
    """What is to be written.

    Raises:
        pytest.UsageError: both flags are given, or one with a value.
    """
    if config.getoption(_VALUE):
        raise pytest.UsageError(
            f"{FLAGS['all']} takes no value: by itself it writes what is new and what has "
            f"changed; {FLAGS['new']} writes what is new, and what has changed fails"
        )
    given: list[Updating] = [kind for kind, flag in FLAGS.items() if config.getoption(flag)]
    if len(given) > 1:
        raise pytest.UsageError(f"{' and '.join(FLAGS.values())} contradict each other: drop one")
    return given[0] if given else ""


def allowed(config: pytest.Config) -> str:
    """Why an update may take what is not healthy; empty where it may not.

    Raises:
        pytest.UsageError: no reason is given, or nothing is updated.
    """
    reason = config.getoption("--initcheck-allow-unhealthy")
    if reason is None:
        return ""
    if not reason.strip():
        raise pytest.UsageError(
            "--initcheck-allow-unhealthy is empty: say why the start may be unhealthy; the reason "
            "is stored"
        )
    if not resolve(config):
        raise pytest.UsageError(
            f"--initcheck-allow-unhealthy says nothing but to {' or '.join(FLAGS.values())}"
        )
    return str(reason.strip())
