"""A model starts alike however it is built, or the failure says what does not."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from support import built as zoo
from torch import nn

from pytest_initcheck import InitcheckError, InitcheckFailure, assert_same_start
from pytest_initcheck.building.compare_tensors import differs_in_distribution, is_close, is_equal


class Unseeded(zoo.Net):
    """Draws from a generator that no seed reaches."""

    stream = torch.Generator().manual_seed(7)

    def build(self):
        with torch.no_grad():
            self.last.weight.normal_(generator=self.stream)


class OwnSeed(zoo.Net):
    """Seeds itself, so that every seed gives one model."""

    def build(self):
        torch.manual_seed(0)
        nn.init.normal_(self.last.weight)


class Located(zoo.Net):
    """Sets the rows of a drawn weight one by one, all but ``left`` of them."""

    left = 0

    def build(self):
        with torch.no_grad():
            for place in range(len(self.last.weight) - self.left):
                self.last.weight[place, :3] = float(place)
                self.last.weight[place, 3:] = -1.0


class PartlyLocated(Located):
    left = 1


class Features(zoo.Net):
    """Random features in a buffer that is not saved."""

    def build(self):
        self.register_buffer("features", torch.randn(8, 8), persistent=False)

    def forward(self, x):
        return super().forward(x @ self.features)


class OtherStreams(zoo.Net):
    """Draws from Python's and numpy's streams."""

    def build(self):
        with torch.no_grad():
            self.last.bias.fill_(random.gauss(0, 1))
            self.first.bias.copy_(torch.from_numpy(np.random.randn(16)))


class Doubled(zoo.Net):
    """Draws twice as wide where it is built as where it is reset."""

    def build(self):
        with torch.no_grad():
            self.first.weight.mul_(2)


class Rounded(zoo.Net):
    """Takes the sine of angles that bfloat16 does not tell apart."""

    def build(self):
        angles = torch.arange(1000).to(torch.get_default_dtype()) * 0.7
        self.register_buffer("angles", angles.sin())


def differences(factory, how, **options):
    with pytest.raises(InitcheckFailure) as caught:
        assert_same_start(factory, how, **options)
    return str(caught.value)


@pytest.mark.parametrize("factory", [zoo.Net, zoo.GeneralThenScaled, zoo.Tied, OtherStreams])
@pytest.mark.parametrize("how", ["twice", "state_dict", "dtype"])
def test_sound_models_start_alike(factory, how):
    assert_same_start(factory, how, seed=5)


@pytest.mark.parametrize("factory", [zoo.Net, zoo.ScaleReset, zoo.RotaryReset])
def test_sound_models_start_alike_from_meta(factory):
    for seed in range(10):
        assert_same_start(factory, "meta", seed=seed)


@pytest.mark.parametrize("factory", [Located, PartlyLocated])
def test_a_draw_of_which_parts_or_all_were_set_later_starts_alike(factory):
    assert_same_start(factory, "twice")


def test_a_stream_that_no_seed_reaches():
    assert "parameter last.weight: two builds from seed 0 differ" in differences(Unseeded, "twice")


def test_a_model_that_seeds_itself():
    text = differences(OwnSeed, "twice")

    assert "parameter last.weight: drawn, but the same from seeds 0 and 1" in text
    assert "first.weight" not in text


def test_what_meta_leaves_as_memory():
    text = differences(zoo.Scale, "meta")
    assert "parameter gain: all of it never written" in text

    text = differences(zoo.Rotary, "meta")
    assert "buffer frequencies: all of it never written: reset_parameters() of every" in text
    assert "1 difference\n" in text


def test_another_distribution_from_meta():
    text = differences(Doubled, "meta")

    assert "parameter first.weight: std" in text
    assert "allowed" in text


class Forgets(zoo.Net):
    """Its own initialisation leaves one layer out, and the constructor draws that one."""

    def build(self):
        nn.init.normal_(self.last.weight)
        self.init_weights()

    def init_weights(self):
        self.first.reset_parameters()
        nn.init.zeros_(self.last.bias)


class Halved(nn.Module):
    """A layer with a ``reset_parameters`` that is not what its constructor does."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(16, 16))
        nn.init.normal_(self.weight, std=0.5)

    def reset_parameters(self):
        nn.init.normal_(self.weight)


def test_what_the_constructor_alone_does_is_told_apart_from_an_initialisation_that_is_wrong():
    for factory in (Doubled, zoo.Rotary):
        text = differences(factory, "meta")
        assert "all of it is what the constructor alone does. Built at once the model is" in text
        assert "pass init=" in text

    for factory in (Forgets, Halved, zoo.Scale):
        assert "the constructor alone" not in differences(factory, "meta")

    text = differences(lambda: nn.Sequential(Doubled(), Halved()), "meta")
    assert "2 differences\n1 of it is what the constructor alone does" in text
    assert text.index("1.weight: std") < text.index("0.first.weight: std")
    assert "the constructor alone" not in differences(OwnSeed, "twice")


def test_a_tie_that_to_empty_takes_apart():
    class Sums(zoo.Net):
        def build(self):
            self.again = nn.Linear(8, 16)
            self.again.weight = self.first.weight

    text = differences(Sums, "meta")
    assert "all of it is what the constructor alone does" in text
    assert "again.weight: it is first.weight in one of the two models, and a tensor of its" in text


def test_what_is_written_by_a_function_of_torch_alone_is_the_constructors_too():
    build = nn.utils.parametrizations.spectral_norm

    text = differences(lambda: nn.Sequential(build(nn.Linear(8, 8))), "meta")
    assert "all of it is what the constructor alone does" in text


def test_sparse_tensors_are_compared_and_tensors_without_values_refused():
    class Sparse(zoo.Net):
        def build(self):
            self.register_buffer("eye", torch.eye(4).to_sparse())

    assert_same_start(Sparse, "twice")
    with pytest.raises(InitcheckError, match="weight is on the meta device, which holds no values"):
        assert_same_start(lambda: nn.Linear(2, 2, device="meta"), "twice")


def test_meta_with_an_initialisation_of_its_own():
    def init(model):
        for layer in (model.first, model.last):
            layer.reset_parameters()
        model.first.weight.mul_(2)

    assert_same_start(Doubled, "meta", init=init)


def test_a_models_init_weights_comes_first():
    class Own(zoo.Net):
        def init_weights(self):
            for layer in (self.first, self.last):
                nn.init.constant_(layer.weight, 0.5)
                nn.init.zeros_(layer.bias)

        build = init_weights

    assert_same_start(Own, "meta")


@pytest.mark.parametrize(("count", "is_told"), [(7, False), (8, True)])
def test_of_fewer_than_eight_values_a_distribution_is_not_known(count, is_told):
    values = torch.linspace(-1, 1, count)
    assert bool(differs_in_distribution("w", values, values + 100, 1.0)) is is_told


@pytest.mark.parametrize(("other", "equal"), [([1.0, 2.0], True), ([1.0, 2.5], False)])
def test_numbers_of_two_kinds_are_compared_as_the_wider_one(other, equal):
    whole = torch.tensor([1, 2])
    assert is_equal(whole, torch.tensor(other)) is equal
    assert is_close(whole, torch.tensor(other), 1e-6) is equal


def test_a_state_that_is_not_saved():
    text = differences(Features, "state_dict", batch=torch.randn(4, 8))

    assert "buffer features: is not saved, and each model has its own" in text
    assert "output 0: differs by" in text
    assert_same_start(zoo.Rotary, "state_dict", batch=torch.randn(4, 8))


def test_a_state_that_does_not_load():
    class Hidden(zoo.Net):
        def state_dict(self, *args, **kwargs):
            state = super().state_dict(*args, **kwargs)
            state.pop("last.bias")
            return state

    assert "Missing key(s) in state_dict" in differences(Hidden, "state_dict")


def test_a_buffer_that_another_dtype_spoils():
    assert "buffer angles: not drawn, but differs" in differences(Rounded, "dtype")
    assert torch.get_default_dtype() == torch.float32
    assert_same_start(Rounded, "dtype", dtype=torch.float32)


def test_compiled_models_give_the_same():
    assert_same_start(zoo.Net, "compile", batch=torch.randn(4, 8), backend="eager")


class Counting(zoo.Net):
    """Counts its calls in a buffer, in evaluation too."""

    def build(self):
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return {"out": super().forward(x), "more": [x, None]}


class Eager(zoo.Net):
    """Gives something else where it is compiled."""

    def forward(self, x):
        return super().forward(x) + float(torch.compiler.is_compiling())


def test_a_forward_that_changes_a_buffer_in_evaluation():
    found = differences(Counting, "compile", batch={"x": torch.randn(4, 8)}, backend="eager")
    assert "buffer calls: a forward pass in eval mode changed it" in found


def test_outputs_that_compiling_changes():
    found = differences(Eager, "compile", batch=[torch.randn(4, 8)], backend="eager")
    assert "output 0: differs by up to 1" in found


class Moody(zoo.Net):
    """Has another tensor, and another shape, every other time."""

    built = 0

    def build(self):
        type(self).built += 1
        if self.built % 2:
            self.extra = nn.Parameter(torch.ones(2))
        self.register_buffer("sizes", torch.zeros(self.built % 2 + 1))


def test_models_of_other_tensors_and_shapes():
    found = differences(Moody, "twice")
    assert "extra: only one of the two models has it" in found
    assert "buffer sizes: its shape is (" in found


def test_an_accelerator_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InitcheckError, match="no accelerator here; pass device="):
        assert_same_start(zoo.Net, "device")


def test_another_device_by_its_name():
    assert_same_start(zoo.Net, "device", device="cpu")


def test_random_streams_are_put_back():
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    expected = torch.rand(1), np.random.rand(), random.random()
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)

    for how in ("twice", "meta", "state_dict", "dtype"):
        assert_same_start(zoo.Net, how)

    assert (torch.rand(1), np.random.rand(), random.random()) == expected


def test_wrong_use_says_what_to_pass():
    with pytest.raises(InitcheckError, match="how is 'thrice'; pass one of meta, twice"):
        assert_same_start(zoo.Net, "thrice")
    with pytest.raises(InitcheckError, match="pass batch="):
        assert_same_start(zoo.Net, "compile")
    with pytest.raises(InitcheckError, match="returned a int"):
        assert_same_start(lambda: 3, "twice")
    with pytest.raises(InitcheckError, match="pass init="):
        assert_same_start(Bare, "meta")
    with pytest.raises(InitcheckError, match="pass what builds the model"):
        assert_same_start(zoo.Net(), "twice")


@pytest.mark.parametrize(
    "factory",
    [
        nn.ReLU,
        lambda: nn.LSTM(8, 16, 2),
        lambda: nn.TransformerEncoderLayer(16, 2, 32, batch_first=True),
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)),
        lambda: nn.Embedding(50, 16, padding_idx=0),
    ],
    ids=["nothing", "LSTM", "attention", "batch norm", "padding"],
)
def test_torchs_own_layers_start_alike_from_meta(factory):
    assert_same_start(factory, "meta")


def test_lazy_layers_have_no_shape_to_be_given_memory():
    with pytest.raises(InitcheckError, match="lazy parameters"):
        assert_same_start(lambda: nn.LazyLinear(3), "meta")


def test_a_factory_that_reads_values_cannot_be_built_on_meta():
    class Reads(zoo.Net):
        def build(self):
            self.scale = float(self.first.weight.detach().abs().max())

    with pytest.raises(InitcheckError, match="cannot build its model on the meta device"):
        assert_same_start(Reads, "meta")


class Bare(nn.Module):
    """One parameter, and no initialisation to be called."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3))


class Target(zoo.Net):
    """Holds a copy of what it trains, frozen or trained as well."""

    is_frozen = True

    def build(self):
        self.target = copy.deepcopy(self.first).requires_grad_(not self.is_frozen)


class Copied(Target):
    is_frozen = False


def test_a_frozen_copy_is_one_however_it_is_built():
    text = differences(Target, "meta")

    assert "parameter target.weight: built at once it is a copy of first.weight" in text
    assert_same_start(Copied, "meta")


@pytest.mark.parametrize("how", ["twice", "state_dict", "compile", "dtype"])
def test_lazy_layers_have_nothing_to_compare(how):
    with pytest.raises(InitcheckError, match="lazy parameters"):
        assert_same_start(lambda: nn.LazyLinear(4), how, batch=torch.ones(2, 3))


def test_memory_that_is_equal_by_accident():
    text = differences(lambda: nn.utils.skip_init(nn.Linear, 2, 2), "twice")
    assert "parameter weight: all of it never written: two builds are equal by accident" in text


def with_room(*, persistent):
    """A layer with a buffer that nothing wrote to."""

    def factory():
        layer = nn.Linear(4, 4)
        layer.register_buffer("scratch", torch.empty(16), persistent=persistent)
        return layer

    return factory


@pytest.mark.parametrize("how", ["twice", "state_dict", "dtype"])
def test_room_that_nothing_reads_or_saves_is_no_difference(how):
    assert_same_start(with_room(persistent=False), how)


def test_room_that_is_saved_is_told():
    text = differences(with_room(persistent=True), "twice")
    assert "buffer scratch: all of it never written" in text


def refused(factory, how):
    with pytest.raises(InitcheckError) as caught:
        assert_same_start(factory, how, batch=torch.ones(2, 3))
    assert not isinstance(caught.value, InitcheckFailure)
    return str(caught.value)


def test_a_factory_that_does_not_work_there_is_refused():
    def orthogonal():
        layer = nn.Linear(3, 3)
        nn.init.orthogonal_(layer.weight)
        return layer

    def scripted():
        return torch.jit.script(nn.Linear(3, 3))

    assert "cannot build its model in bfloat16" in refused(orthogonal, "dtype")
    assert "cannot be given memory" in refused(scripted, "meta")
    assert "torch.compile does not take this model" in refused(scripted, "compile")


def test_hooks_are_compiled_although_the_same_classes_were_without():
    def hooked():
        model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
        model[0].register_forward_hook(lambda *call: call[-1] * 2)
        return model

    batch = torch.ones(2, 3)
    for factory in (lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU()), hooked):
        assert_same_start(factory, "compile", batch=batch)
