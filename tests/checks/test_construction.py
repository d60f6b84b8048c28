"""Weights that no initialiser reached: what the ledger's rules find, and what they let pass."""

from __future__ import annotations

import pytest
import torch
from support import built as zoo
from support.starts import ids, labelled, named, told
from torch import nn

from pytest_initcheck import InitcheckFailure, construction, diagnose

SOUND = [
    zoo.Net,
    zoo.General,
    zoo.GeneralThenScaled,
    zoo.GeneralAndParticular,
    zoo.ScaleReset,
    zoo.Rotary,
    zoo.CopiedBack,
    zoo.Thirds,
    zoo.Tied,
    zoo.reset,
]


@pytest.mark.parametrize("factory", SOUND, ids=lambda factory: factory.__name__)
def test_sound_constructions_pass(factory):
    made = construction(factory)

    assert made.findings == ()
    assert made.verdict == "pass"
    made.assert_healthy()


def test_a_parameter_that_was_never_written_is_an_error():
    made = construction(zoo.Scale)

    found = named(made, "IC111")
    assert found.severity == "error"
    assert "parameter gain" in found.cause
    assert found.measured == 1
    with pytest.raises(InitcheckFailure, match="IC111"):
        made.assert_healthy()


def test_the_share_of_a_part_is_told():
    found = named(construction(zoo.Half), "IC111")

    assert "67 % of parameter stacked" in found.cause
    assert found.measured == pytest.approx(2 / 3)


def test_a_buffer_that_was_never_written_is_a_warning():
    def factory():
        model = zoo.Net()
        model.register_buffer("cache", torch.empty(3))
        return model

    made = construction(factory)

    assert [(f.id, f.severity) for f in made.findings] == [("IC111", "warning")]
    assert made.verdict == "warn"


def test_an_emptied_model_names_its_layers_and_how_many_more():
    found = named(construction(zoo.emptied), "IC111")

    assert found.layers == ("first", "last")
    assert "parameter first.weight (its values went" in found.cause
    assert ", parameter first.bias" in found.cause


@pytest.mark.parametrize("factory", [zoo.Normed, zoo.Copied])
def test_a_draw_on_a_temporary_is_told_with_its_line(factory):
    found = named(construction(factory), "IC112")

    assert found.severity == "warning"
    assert "normal_(mean=0, std=0.3) at built.py:" in found.cause
    assert all(layer.startswith("last") for layer in found.layers)


def test_a_particular_draw_that_a_general_one_undoes():
    made = construction(zoo.ScaledThenGeneral)

    found = named(made, "IC113")
    assert found.severity == "info"
    assert found.layer == "last"
    assert "std=0.004082" in found.cause
    assert "std=0.02)" in found.cause
    assert made.verdict == "pass"


def test_diagnose_takes_a_factory_and_says_both():
    batch = labelled(8, 4)

    assert "IC111" in ids(diagnose(zoo.Scale, batch))


def test_what_was_written_past_torch_is_judged_by_its_values():
    class Garbage(zoo.Scale):
        def build(self):
            super().build()
            with torch.utils._python_dispatch._disable_current_modes():
                self.gain.data.fill_(1e-40)

    found = diagnose(Garbage, labelled(8, 4))

    assert "IC104" in ids(found)
    assert "IC111" not in ids(found)


def test_a_factory_that_returns_no_model_is_refused_with_what_to_do():
    from pytest_initcheck import InitcheckError

    with pytest.raises(InitcheckError, match=r"returned a list; let it return the nn\.Module"):
        construction(lambda: [nn.Linear(2, 2)])
    with pytest.raises(InitcheckError, match="lambda: Net"):
        construction(nn.Linear(2, 2))
    with pytest.raises(InitcheckError, match="factory is a int"):
        construction(3)
    with pytest.raises(InitcheckError, match="model is a int"):
        diagnose(3, labelled(8, 4))
    with pytest.raises(InitcheckError, match="model is a list"):
        diagnose(lambda: [1], labelled(8, 4))


def test_what_a_factory_raises_passes_through():
    with pytest.raises(ZeroDivisionError):
        diagnose(lambda: 1 / 0, labelled(8, 4))


def test_the_frame_has_a_row_for_each_write():
    frame = construction(zoo.ScaledThenGeneral).to_frame()

    last = frame[frame.name == "last.weight"]
    assert list(last.status) == ["overwritten", "overwritten", "in effect"]
    assert list(last.default) == [True, False, False]
    assert last.line.notna().all()
    empty = construction(zoo.Scale).to_frame().query("name == 'gain'")
    assert list(empty.status) == ["never written"]
    lost = construction(zoo.Normed).to_frame()
    assert "lost" in set(lost.status)


def test_a_name_that_is_not_there_is_refused():
    from pytest_initcheck import InitcheckError

    with pytest.raises(InitcheckError, match=r"no parameter or buffer is named 'x'"):
        construction(zoo.Net).of("x")


def test_as_text_it_tells_every_tensor():
    text = str(construction(zoo.Scale))

    assert text.startswith("verdict: fail\nerror IC111")
    assert "gain: never written" in text
    assert "first.weight: drawn by kaiming_uniform_(a=√5" in text


def test_a_finding_on_a_layer_tells_the_lines_that_wrote_it():
    class Zero(zoo.Net):
        def build(self):
            for layer in (self.first, self.last):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    first = diagnose(Zero, labelled(8, 4)).findings[0]

    assert first.written.startswith("weight: set by zeros_() at test_construction.py:")
    assert "; bias: set by zeros_() at test_construction.py:" in first.written
    assert diagnose(Zero(), labelled(8, 4)).findings[0].written == ""


class Scaled(nn.Module):
    """The scale of a normalisation in a buffer, as in OLMo-core; "cache" is room to write to."""

    def __init__(self):
        super().__init__()
        self.net = zoo.Net()
        self.register_buffer("scale", torch.tensor(0.5))
        self.register_buffer("cache", torch.empty(4))

    def forward(self, x):
        return self.net(x * self.scale)


def materialised(model_of, write):
    def factory():
        with torch.device("meta"):
            model = model_of()
        model.to_empty(device="cpu")
        for layer in (model.net.first, model.net.last):
            layer.reset_parameters()
        write(model)
        return model

    return factory


@pytest.fixture
def empty_is_nan():
    """What torch.empty makes holds NaN, as memory may."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_values_that_are_no_numbers_follow_from_memory_that_nobody_wrote_to(empty_is_nan):
    found, *others = diagnose(zoo.Scale, labelled(8)).findings

    assert found.id == "IC111"
    assert {one.finding.id for one in found.consequences} >= {"IC501"}
    assert not others


def test_a_buffer_whose_values_went_with_the_meta_device_is_an_error():
    made = construction(materialised(Scaled, lambda model: None))

    lost, room = made.findings
    assert (lost.id, lost.severity, room.severity) == ("IC111", "error", "warning")
    assert "buffer scale (its values went with the memory that it had before)" in lost.cause
    assert "cache" in room.cause
    mended = construction(materialised(Scaled, lambda model: model.scale.fill_(0.5)))
    assert [finding.severity for finding in mended.findings] == ["warning"]


def test_a_weight_that_every_module_around_it_draws_anew():
    class Nested(zoo.General):
        def build(self):
            for _ in range(3):
                super().build()

    found = named(construction(Nested), "IC138")

    assert (found.severity, found.measured) == ("info", 3)
    assert "first.weight (drawn by normal_(mean=0, std=0.02) at built.py:" in found.cause


def padded(fill):
    """A table with a padding row that is not zero, as ``fill`` leaves it."""

    def factory():
        table = nn.Embedding(8, 16, padding_idx=0)
        with torch.no_grad():
            fill(table)
        return nn.Sequential(table, nn.Flatten(), nn.Linear(64, 4))

    return factory


def test_values_give_way_to_facts():
    ids_of = torch.arange(32).reshape(8, 4) % 8, torch.arange(8) % 4
    state = {"weight": torch.randn(8, 16)}

    drawn = diagnose(padded(lambda table: nn.init.normal_(table.weight)), ids_of)
    loaded = padded(lambda table: table.load_state_dict(state))
    assert "IC105" in told(drawn)
    assert "IC105" in told(diagnose(loaded(), ids_of))
    assert "IC105" not in told(diagnose(loaded, ids_of))

    def tiny():
        model = zoo.Net()
        with torch.no_grad():
            model.last.weight[0, 0] = 1e-41
        return model

    assert "IC104" in told(diagnose(tiny(), labelled(8, 4)))
    assert "IC104" not in told(diagnose(tiny, labelled(8, 4)))
