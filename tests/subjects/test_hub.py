"""Models of torch.hub: of a folder, and what is said where there is no network."""

from __future__ import annotations

from urllib.error import URLError

import pytest
import torch
from torch import nn

from pytest_initcheck import InitcheckError
from pytest_initcheck.cli import main
from pytest_initcheck.subjects.libraries import model_of

HUBCONF = """
import torch
from torch import nn

def tiny(width=8):
    "A small one."
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3))

def broken():
    raise ZeroDivisionError("by itself")
"""


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo/hubconf.py").write_text(HUBCONF)
    return str(tmp_path / "repo")


def test_a_folder_is_a_repository(repository):
    assert model_of(f"hub:{repository}:tiny")[0].out_features == 8
    assert model_of(f"hub:{repository}:tiny", ["width=16"])[0].out_features == 16


def test_it_is_checked_by_its_name_alone(repository, capsys):
    code = main(["check", f"hub:{repository}:tiny", "--report", "off", "--steps", "1"])
    assert (code, "pass" in capsys.readouterr().out) == (0, True)


def test_an_entry_that_is_not_there_names_those_that_are(repository):
    with pytest.raises(InitcheckError, match=r"has no 'other'; it has tiny, broken"):
        model_of(f"hub:{repository}:other")


def test_what_the_entry_raises_is_told_as_its_own(repository):
    with pytest.raises(InitcheckError, match="raised ZeroDivisionError: by itself"):
        model_of(f"hub:{repository}:broken")


@pytest.mark.parametrize("name", ["vision", "owner/repo:", ":entry"])
def test_a_name_that_lacks_a_part(name):
    with pytest.raises(InitcheckError, match="pass hub:owner/repo:entry"):
        model_of(f"hub:{name}")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (URLError("no route"), "owner/repo: could not be fetched .*pass hub:FOLDER:tiny"),
        (EOFError(), "owner/repo: is not trusted yet.*trust_repo=True"),
        (RuntimeError("odd"), "owner/repo: reading it raised RuntimeError: odd"),
    ],
)
def test_a_repository_that_cannot_be_had(monkeypatch, error, said):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(torch.hub, "list", fail)
    with pytest.raises(InitcheckError, match=said):
        model_of("hub:owner/repo:tiny")


def test_a_repository_that_was_fetched(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.hub, "list", lambda *given, **_: asked.append(given) or ["tiny"])
    monkeypatch.setattr(torch.hub, "load", lambda *given, **_: asked.append(given) or nn.ReLU())
    assert isinstance(model_of("hub:owner/repo:v1:tiny"), nn.ReLU)
    assert asked == [("owner/repo:v1",), ("owner/repo:v1", "tiny")]
