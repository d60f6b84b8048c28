"""Models by the name of a library, with a library of our own in its place."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
from torch import nn

from pytest_initcheck import InitcheckError
from pytest_initcheck.subjects.libraries import model_of


class Config:
    def __init__(self, width=4):
        self.width, self.architectures = width, []


class Tiny(nn.Linear):
    config_class = Config

    def __init__(self, config):
        super().__init__(config.width, 2)


class Head:
    @staticmethod
    def from_config(config):
        return nn.Linear(config.width, 7)


class NoHead:
    @staticmethod
    def from_config(config):
        raise ValueError("unrecognised configuration")


@pytest.fixture
def library(monkeypatch):
    made = ModuleType("transformers")
    made.Tiny, made.CONFIG_MAPPING = Tiny, {"tiny": Config}
    heads = ("Seq2SeqLM", "MaskedLM", "CausalLM", "ImageClassification", "AudioClassification")
    for head in heads:
        setattr(made, f"AutoModelFor{head}", NoHead)
    made.AutoModel = SimpleNamespace(from_config=lambda config: nn.Linear(config.width, 3))
    monkeypatch.setitem(sys.modules, "transformers", made)
    return made


def test_a_class_of_a_model_takes_the_arguments_of_its_config(library):
    assert model_of("hf:Tiny", ("width=6",)).weight.shape == (2, 6)


def test_a_kind_of_model_gets_the_head_that_there_is(library):
    assert model_of("hf:tiny").weight.shape == (3, 4)
    library.AutoModelForCausalLM = Head
    assert model_of("hf:tiny", ("width=5",)).weight.shape == (7, 5)


def test_a_checkpoint_names_its_architecture(library):
    stored = Config(8)
    library.AutoConfig = SimpleNamespace(from_pretrained=lambda name: stored)
    assert model_of("hf:someone/tiny").weight.shape == (3, 8)
    stored.architectures = ["Tiny"]
    assert model_of("hf:someone/tiny").weight.shape == (2, 8)


def test_what_a_library_raises_is_told_with_the_name(library):
    def offline(name):
        raise OSError("no connection")

    library.AutoConfig = SimpleNamespace(from_pretrained=offline)
    with pytest.raises(InitcheckError, match=r"hf:someone/tiny raised OSError.*no connection"):
        model_of("hf:someone/tiny")


def test_a_library_that_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InitcheckError, match="timm:vit needs timm: pip install timm"):
        model_of("timm:vit")


def test_a_library_that_cannot_be_imported(monkeypatch, tmp_path):
    (tmp_path / "timm.py").write_text("import a_module_that_is_nowhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(InitcheckError, match=r"importing timm raised .*a_module_that_is_nowhere"):
        model_of("timm:vit")
