"""``initcheck new``: the first test file of a model, run, and what to commit."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_initcheck import files
from pytest_initcheck.cli import FOUND, OK
from pytest_initcheck.cli.check_options import asked_of
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.subjects.spec import Asked, arguments

if TYPE_CHECKING:
    from pytest_initcheck.subjects.make import Made

_FILE = '''"""How {name} starts: a fault of its weights or first steps fails."""

import torch
{imports}

def batch():
    torch.manual_seed(0)
    return {batch}


def test_{word}_starts_healthy(initcheck):
    torch.manual_seed(0)
    initcheck.assert_healthy({model}, batch())
'''


def new(options: argparse.Namespace) -> int:
    """Write a test of a model, run it, and say what to commit; 1 where the test fails.

    Raises:
        InitcheckError: the model cannot be made, or the file is there.
    """
    from pytest_initcheck.subjects.make import made

    asked = asked_of(options)
    file = Path(options.file) if options.file else _place(asked.target)
    if file.exists():
        raise InitcheckError(f"{file} is there already; name another file")
    text = _text(asked, made(asked))
    file.parent.mkdir(parents=True, exist_ok=True)
    files.replace(file, text)
    print(f"wrote {file}")
    return _run(file)


def _run(file: Path) -> int:
    import pytest

    code = pytest.main([str(file), "--initcheck-update", "-q", "--no-header"])
    if code != pytest.ExitCode.OK:
        print(
            f"{file} fails: it shows what is wrong with the start. Repair the model, or say why it "
            f"is so with ignore=, then run: pytest --initcheck-update {file}"
        )
        return FOUND
    print(f"next: commit {file} and its baseline (git add {file} baselines), and run pytest in CI")
    return OK


def _place(target: str) -> Path:
    folder = Path("tests") if Path("tests").is_dir() else Path()
    return folder / f"test_{_word(target)}.py"


def _word(target: str) -> str:
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", target.rpartition(":")[2])
    return re.sub(r"\W+", "_", name).strip("_").lower() or "model"


def _text(asked: Asked, subject: Made) -> str:
    from pytest_initcheck.subjects.code import batch_code

    imports, model = _model(asked)
    data = batch_code(subject.batch)
    if asked.batch:
        module, _, name = asked.batch.rpartition(":")
        imports, data = (
            [*imports, f"from {_dotted(module)} import {name} as make_batch"],
            ("make_batch()"),
        )
    lines = "".join(f"{line}\n" for line in sorted(set(imports)))
    return _FILE.format(
        name=asked.target,
        imports=f"{lines}" if lines else "",
        batch=data,
        word=_word(asked.target),
        model=model,
    )


def _model(asked: Asked) -> tuple[list[str], str]:
    """What is imported for a target, and the call that makes it."""
    prefix, _, name = asked.target.rpartition(":")
    placed, named = arguments(asked.args)
    given = ", ".join([*map(repr, placed), *(f"{key}={value!r}" for key, value in named.items())])
    if prefix in ("timm", "torchvision", "hf"):
        args = f", args={asked.args!r}" if asked.args else ""
        line = "from pytest_initcheck.subjects.libraries import model_of"
        return [line], f"model_of({asked.target!r}{args})"
    first = name.partition(".")[0]
    return [f"from {_dotted(prefix)} import {first}"], f"{name}({given})"


def _dotted(module: str) -> str:
    return module.removesuffix(".py").strip("./").replace("/", ".")
