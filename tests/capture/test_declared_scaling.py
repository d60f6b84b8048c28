"""What a model's own code says of scaling by its depth: read from the source, settings minded."""

import inspect
import math

import pytest
from torch import nn

from pytest_initcheck import construction
from pytest_initcheck.capture.declared_scaling import declared_scaling

BLOCKS = 4


class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.proj = nn.Linear(8, 8), nn.Linear(8, 8)


class Model(nn.Module):
    def __init__(self, scaled=True):
        super().__init__()
        self.n_layer, self.scaled = BLOCKS, scaled
        self.blocks = nn.ModuleList(Part() for _ in range(BLOCKS))
        self.head = nn.Linear(8, 2)
        self.reset_parameters()

    def reset_parameters(self):
        pass


class ByName(Model):
    def reset_parameters(self):
        for name, parameter in self.named_parameters():
            if name.endswith("proj.weight"):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.n_layer))


class ByAttribute(Model):
    def reset_parameters(self):
        std = 0.02 * (2 * self.n_layer) ** -0.5
        for block in self.blocks:
            nn.init.normal_(block.proj.weight, std=std)


class Dropped(Model):
    def reset_parameters(self):
        std = 0.02 / math.sqrt(2 * self.n_layer)  # noqa: F841
        for block in self.blocks:
            nn.init.normal_(block.proj.weight, std=0.02)


class ByKind(Model):
    def reset_parameters(self):
        for module in self.modules():
            if isinstance(module, Part):
                nn.init.normal_(module.proj.weight, std=0.02 / math.sqrt(2 * self.n_layer))


class Marked(Model):
    def reset_parameters(self):
        for module in self.modules():
            if hasattr(module, "SCALED"):
                nn.init.normal_(module.weight, std=0.02 / math.sqrt(2 * self.n_layer))

    def __init__(self):
        super().__init__()
        for block in self.blocks:
            block.proj.SCALED = True


class Helper(Model):
    """A method of its own does it, where a setting says so: as timm's fix_init does."""

    def reset_parameters(self):
        if self.scaled:
            self.rescale()

    def rescale(self):
        for place, block in enumerate(self.blocks):
            block.proj.weight.data.div_(math.sqrt(2.0 * (place + 1 + 0 * self.n_layer)))


class Setting(Model):
    def reset_parameters(self):
        if self.scaled:
            for block in self.blocks:
                nn.init.normal_(block.proj.weight, std=0.02 / math.sqrt(2 * self.n_layer))


class Early(Model):
    def reset_parameters(self):
        if not self.scaled:
            return
        for block in self.blocks:
            nn.init.normal_(block.proj.weight, std=0.02 / math.sqrt(2 * self.n_layer))


class Chosen(Model):
    def reset_parameters(self):
        std = 0.02 / math.sqrt(2 * self.n_layer) if self.scaled else 0.02
        for block in self.blocks:
            nn.init.normal_(block.proj.weight, std=std)


class InForward(Model):
    def __init__(self):
        super().__init__()
        self.factor = 1 / math.sqrt(self.n_layer)

    def forward(self, x):
        for block in self.blocks:
            x = x + self.factor * block.proj(x) / math.sqrt(2 * self.n_layer)
        return self.head(x)


class Width(Model):
    def reset_parameters(self):
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=1 / math.sqrt(layer.in_features))


class HeadDepth(nn.Module):
    def __init__(self, width=8, heads=2):
        super().__init__()
        depth = width // heads
        self.scale = nn.Parameter(1 / math.sqrt(depth) * nn.Linear(1, 1).weight.detach())


PROJ = {f"blocks.{i}.proj.weight" for i in range(BLOCKS)}
BOTH = PROJ | {f"blocks.{i}.proj.bias" for i in range(BLOCKS)}


@pytest.mark.parametrize(
    ("make", "parameters"),
    [(ByName, PROJ), (ByAttribute, BOTH), (Dropped, None), (ByKind, BOTH), (Marked, BOTH)],
)
def test_lines_that_scale(make, parameters):
    model = make()
    (line,) = declared_scaling(model)

    assert line.function == f"{make.__name__}.reset_parameters"
    assert "self.n_layer)" in line.text
    assert str(line).startswith(f"test_declared_scaling.py:{line.line} (")
    assert line.is_named is (parameters is not None)
    assert line.parameters == (parameters or {name for name, _ in model.named_parameters()})


@pytest.mark.parametrize("make", [Setting, Early, Chosen])
def test_a_setting_decides(make):
    assert len(declared_scaling(make())) == 1
    assert declared_scaling(make(scaled=False)) == ()


@pytest.mark.parametrize("make", [Model, InForward, Width, HeadDepth])
def test_other_roots_are_none(make):
    assert declared_scaling(make()) == ()


def scaled_from_outside(model):
    for block in model.blocks:
        nn.init.normal_(block.proj.weight, std=0.02 / math.sqrt(2 * model.n_layer))
    return model


def test_a_function_outside_of_the_model_is_known_from_the_ledger():
    made = construction(lambda: scaled_from_outside(Model()))

    assert declared_scaling(made.model) == ()
    (line,) = declared_scaling(made.model, made.facts)
    assert line.function == "scaled_from_outside"
    assert line.parameters == BOTH


def test_code_that_stands_in_no_file_says_nothing(tmp_path):
    text = inspect.getsource(ByName)
    names = {"Model": Model, "math": math, "nn": nn, "__name__": __name__}
    exec(text, names)
    exec(compile(text, str(tmp_path / "gone.pyc"), "exec"), gone := dict(names))

    # Both are called like a class that this file has.
    assert declared_scaling(names["ByName"]()) == ()
    assert declared_scaling(gone["ByName"]()) == ()
    assert declared_scaling(construction(names["ByName"]).model, construction(ByName).facts)


def test_a_helper_counts_where_it_is_sure_to_be_called():
    (line,) = declared_scaling(Helper())
    assert line.function.endswith("rescale")
    assert declared_scaling(Helper(scaled=False)) == ()
