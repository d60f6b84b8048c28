"""--initcheck-repro: a script for each diagnosis that fails a test."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pytest_initcheck.plugin.paths import path_option

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from pytest_initcheck.diagnosis import Diagnosis


class Repro(NamedTuple):
    """Where scripts go, and whether they hold the data of the test."""

    folder: Path | None = None
    with_data: bool = False


def add(group: pytest.OptionGroup) -> None:
    """Declare the options."""
    group.addoption(
        "--initcheck-repro",
        metavar="DIR",
        default=None,
        help="leave a small script in this folder for each diagnosis that fails a test; its data "
        "are random",
    )
    group.addoption(
        "--initcheck-repro-data",
        action="store_true",
        default=False,
        help="write the data of the test into these scripts",
    )


def resolve(config: pytest.Config) -> Repro:
    """What the command line says."""
    folder = path_option(config, "--initcheck-repro", "a folder")
    return Repro(folder, bool(config.getoption("--initcheck-repro-data")))


def leave(repro: Repro, nodeid: str, found: Diagnosis) -> str:
    """Write the script of a diagnosis, and the line that names it; "" where none is wanted."""
    from pytest_initcheck.ranks.writer import is_writer

    if repro.folder is None or found.subject is None or not is_writer():
        return ""
    from pytest_initcheck import files
    from pytest_initcheck.diagnosis.repro import repro_script

    name = re.sub(r"\W+", "_", nodeid).strip("_")
    file = repro.folder / f"{name}.py"
    repro.folder.mkdir(parents=True, exist_ok=True)
    files.replace(file, repro_script(found, nodeid, with_data=repro.with_data))
    return f"script: {file.name} in the folder of --initcheck-repro"
