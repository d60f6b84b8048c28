"""Which calls wrote every weight: what the ledger says of models built in many ways."""

from __future__ import annotations

import functools
import inspect
import math
from pathlib import Path

import pytest
import torch
from support import built as zoo
from torch import nn

from pytest_initcheck import construction


def line_of(function, text):
    """The line of a function's source that holds a text."""
    lines, first = inspect.getsourcelines(function)
    return first + next(i for i, line in enumerate(lines) if text in line)


def test_a_default_is_told_with_its_arguments_and_the_line_that_made_the_layer():
    weight = construction(zoo.Net).of("first.weight")

    (write,) = weight.writes
    assert write.call == "kaiming_uniform_"
    assert dict(write.arguments)["a"] == "√5"
    assert write.number("a") == pytest.approx(math.sqrt(5))
    assert write.is_default
    assert write.draws
    assert write.replaces
    assert Path(write.file) == Path(zoo.__file__)
    assert write.line == line_of(zoo.Net, "self.first = ")
    assert weight.unwritten == 0


def test_an_own_initialiser_is_told_with_its_own_line():
    weight = construction(zoo.General).of("first.weight")

    default, own = weight.writes
    assert default.is_default
    assert not own.is_default
    assert str(own).startswith("normal_(mean=0, std=0.02) at built.py:")
    assert own.line == line_of(zoo.General, "std=0.02")
    assert own.function == "general"
    assert weight.effective == (own,)


def test_what_comes_after_a_draw_is_told_behind_it():
    def factory():
        layer = nn.Linear(4, 4)
        nn.init.uniform_(layer.weight, -1, 1)
        with torch.no_grad():
            layer.weight.mul_(0.5)
            layer.weight[0] = 0.0
        return layer

    weight = construction(factory).of("weight")

    assert [write.call for write in weight.effective] == ["uniform_", "mul_", "fill_"]
    assert weight.effective[-1].share == 0.25
    assert str(weight).startswith("drawn by uniform_(a=-1, b=1) at test_ledger.py:")
    assert ", then multiplied by 0.5 at :" in str(weight)
    assert ", then 25 % set by fill_() at :" in str(weight)


def test_one_initialiser_of_several_operators_is_one_write():
    def factory():
        layer = nn.Linear(16, 16)
        nn.init.trunc_normal_(layer.weight, std=0.02)
        nn.init.orthogonal_(layer.weight)
        return layer

    calls = [write.call for write in construction(factory).of("weight").writes]

    assert calls == ["kaiming_uniform_", "trunc_normal_", "orthogonal_"]


def test_a_call_that_is_made_four_times_is_told_four_times():
    def factory():
        layer = nn.Linear(16, 16)
        for _ in range(4):
            nn.init.normal_(layer.weight, std=0.02)
        return layer

    assert len(construction(factory).of("weight").writes) == 5


def test_an_initialiser_that_draws_until_it_fits_draws_once():
    def within_(weight, bound):
        weight.normal_()
        while weight.abs().max() > bound:
            weight.copy_(torch.where(weight.abs() > bound, torch.randn(16, 16), weight))
            weight.normal_()

    def factory():
        layer = nn.Linear(16, 16, bias=False)
        with torch.no_grad():
            within_(layer.weight, 4.5)
            within_(layer.weight, 4.5)
        nn.init.trunc_normal_(layer.weight, std=0.02, a=-0.04, b=0.04)
        return layer

    made = construction(factory)
    calls = [write.call for write in made.of("weight").writes]
    assert calls.count("trunc_normal_") == 1
    assert "IC138" not in {finding.id for finding in made.findings if "trunc" in finding.cause}


def test_a_draw_that_is_scaled_where_it_is_made_is_held_against_its_law():
    def factory(shift=0.0):
        model = nn.Module()
        drawn = torch.randn(64, 64)
        # A generator that is off, as far as the ledger sees.
        drawn.numpy()[:] += shift
        model.weight = nn.Parameter(drawn * 0.02 * 1.0)
        return model

    sound, moved = construction(factory), construction(lambda: factory(0.5))
    assert str(sound.of("weight")).startswith("drawn by randn → mul → mul(other=1) at")
    assert sound.findings == ()
    assert "IC136" in [finding.id for finding in moved.findings]


@pytest.mark.parametrize(
    ("norm", "name"),
    [
        (nn.utils.weight_norm, "0.weight_v"),
        (nn.utils.parametrizations.spectral_norm, "0.parametrizations.weight.original"),
        (nn.utils.parametrizations.weight_norm, "0.parametrizations.weight.original1"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_a_parametrised_weight_goes_back_to_its_draw_and_to_the_users_line(norm, name):
    made = construction(lambda: nn.Sequential(norm(nn.Linear(8, 8))))

    assert str(made.of(name)).startswith("drawn by kaiming_uniform_(a=√5,")
    files = {Path(w.file).name for built in made.facts.tensors for w in built.effective}
    assert files == {"test_ledger.py"}


def test_a_users_own_initialiser_gives_its_name():
    def scaled_(weight, depth):
        nn.init.normal_(weight, std=0.02 / math.sqrt(depth))

    def factory():
        layer = nn.Linear(16, 16)
        scaled_(layer.weight, depth=4)
        return layer

    weight = construction(factory).of("weight")
    last = weight.writes[-1]

    assert last.what == "scaled_(depth=4)"
    assert last.number("std") == 0.01
    assert str(weight).startswith("drawn by scaled_(depth=4) as normal_(mean=0, std=0.01) at ")
    assert last.function == "factory"


@pytest.mark.parametrize(
    ("make", "call"),
    [
        (lambda: torch.zeros(3), "zeros"),
        (lambda: torch.randn(3) * 0.02, "randn → mul"),
        (lambda: torch.full((3,), 2.0), "full"),
        (lambda: torch.tensor([1.0, 2.0, 3.0]), "tensor"),
        (lambda: torch.arange(3).float().reciprocal(), "arange → reciprocal"),
    ],
)
def test_tensors_that_are_made_with_values_are_written(make, call):
    def factory():
        layer = nn.Linear(2, 2)
        layer.register_parameter("extra", nn.Parameter(make()))
        return layer

    extra = construction(factory).of("extra")

    assert extra.unwritten == 0
    assert extra.writes[-1].call == call


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.empty(3, 4),
        lambda: torch.Tensor(3, 4),
        lambda: torch.empty(3, 4) * 2,
        lambda: torch.empty(3, 4).t().contiguous(),
        lambda: torch.zeros(3, 4).new_empty(2),
        lambda: torch.zeros(3, 4).copy_(torch.empty(3, 4)),
    ],
    ids=["empty", "Tensor", "times two", "contiguous", "new_empty", "copy"],
)
def test_memory_that_nothing_wrote_to_is_unwritten(make):
    def factory():
        layer = nn.Linear(2, 2)
        layer.register_parameter("extra", nn.Parameter(make()))
        return layer

    made = construction(factory)

    assert made.of("extra").unwritten == 1
    assert [(f.id, f.severity) for f in made.findings] == [("IC111", "error")]


def test_half_a_weight():
    made = construction(zoo.Half)

    assert made.of("stacked").unwritten == pytest.approx(2 / 3)
    assert construction(zoo.Thirds).of("stacked").unwritten == 0
    assert construction(zoo.Thirds).findings == ()


def test_meta_then_memory():
    assert all(b.unwritten == 1 for b in construction(zoo.emptied).facts.tensors)
    assert all(b.unwritten == 0 for b in construction(zoo.reset).facts.tensors)


def test_a_model_that_stays_on_meta_is_not_judged():
    def factory():
        with torch.device("meta"):
            return zoo.Net()

    made = construction(factory)

    assert made.findings == ()
    assert not any(b.is_known for b in made.facts.tensors)


def test_lazy_layers_are_not_judged():
    made = construction(lambda: nn.Sequential(nn.LazyLinear(4), nn.ReLU()))

    assert made.findings == ()
    assert not made.of("0.weight").is_known


def test_what_was_made_before_is_not_known():
    weight = torch.empty(3, 3)

    def factory():
        layer = nn.Linear(3, 3)
        layer.weight = nn.Parameter(weight)
        return layer

    made = construction(factory)

    assert not made.of("weight").is_known
    assert made.findings == ()


def test_a_tied_weight_stands_once():
    names = [b.name for b in construction(zoo.Tied).facts.tensors]

    assert names.count("last.weight") + names.count("embedding.weight") == 1


def test_a_tensor_that_gave_way_is_told():
    replaced = construction(zoo.Tied).of("last.weight").replaced

    assert [write.call for write in replaced] == ["kaiming_uniform_"]


def test_buffers_are_told_with_whether_they_are_saved():
    made = construction(zoo.Rotary)
    frequencies = made.of("frequencies")

    assert frequencies.kind == "buffer"
    assert not frequencies.persistent
    assert frequencies.writes[-1].call.startswith("arange → ")


def test_the_model_is_the_one_that_the_factory_alone_would_have_built():
    torch.manual_seed(3)
    plain = zoo.GeneralThenScaled()
    after = torch.rand(1)
    torch.manual_seed(3)
    made = construction(zoo.GeneralThenScaled)

    assert torch.equal(torch.rand(1), after)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, made.model.state_dict()[name])


def test_nothing_of_torch_stays_changed():
    from torch.nn.modules import module
    from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

    def hooks():
        return [
            len(module._global_parameter_registration_hooks),
            len(module._global_buffer_registration_hooks),
            len(_get_current_dispatch_mode_stack()),
        ]

    before = hooks()
    with pytest.raises(ZeroDivisionError):
        construction(lambda: 1 / 0)
    construction(zoo.Net)

    assert hooks() == before


def test_a_library_that_writes_through_data_is_seen():
    def factory():
        layer = nn.Linear(4, 4)
        layer.weight.data.normal_(0, 0.1)
        layer.bias.data = torch.zeros(4)
        return layer

    made = construction(factory)

    assert made.of("weight").writes[-1].what == "normal_(mean=0, std=0.1)"
    assert made.of("bias").writes[-1].call == "zeros"


def test_a_checkpoint_that_is_loaded_is_told():
    state = zoo.Net().state_dict()

    def factory():
        model = zoo.emptied()
        model.load_state_dict(state)
        return model

    made = construction(factory)

    assert made.findings == ()
    assert made.of("first.weight").writes[-1].call == "load_state_dict"


class Buffers(nn.Module):
    """More buffers than chance can give places of their own."""

    def __init__(self):
        super().__init__()
        for place in range(64):
            self.register_buffer(f"b{place}", torch.tensor(1.0 + place))


def test_what_stood_at_a_place_is_not_taken_for_what_came_after_it():
    def factory():
        with torch.device("meta"):
            model = Buffers()
        return model.to_empty(device="cpu")

    assert all(built.had_values for built in construction(factory).facts.tensors)


def test_elements_that_an_index_or_a_mask_chooses_are_written():
    def factory(rows):
        model = nn.Module()
        model.rows, model.fields = (nn.Parameter(torch.empty(8, 4)) for _ in range(2))
        with torch.no_grad():
            model.rows[torch.arange(rows)] = torch.randn(rows, 4)
            model.fields.masked_fill_((torch.arange(8) < rows)[:, None], 0.5)
        return model

    assert construction(lambda: factory(8)).findings == ()
    (half,) = construction(lambda: factory(4)).findings
    assert (half.id, half.measured) == ("IC111", 0.5)


def places(rows):
    return torch.arange(rows)[:, None].expand(rows, 4)


WRITERS = {
    "index_copy_": lambda w, n: w.index_copy_(0, torch.arange(n), torch.randn(n, 4)),
    "scatter_": lambda w, n: w.scatter_(0, places(n), torch.randn(n, 4)),
    "scatter_ of a number": lambda w, n: w.scatter_(0, places(n), 0.5),
    "masked_scatter_": lambda w, n: w.masked_scatter_(places(8) < n, torch.randn(8, 4)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_elements_that_others_are_scattered_to_are_written(name):
    def factory(rows):
        model = nn.Module()
        model.rows = nn.Parameter(torch.empty(8, 4))
        with torch.no_grad():
            WRITERS[name](model.rows, rows)
        return model

    assert construction(lambda: factory(8)).findings == ()
    (half,) = construction(lambda: factory(4)).findings
    assert (half.id, half.measured) == ("IC111", 0.5)


@pytest.mark.filterwarnings("ignore:The reduce argument")
def test_what_is_added_to_memory_that_nothing_wrote_is_unwritten():
    def factory():
        model = nn.Module()
        model.rows = nn.Parameter(torch.empty(8, 4))
        with torch.no_grad():
            model.rows.scatter_(0, places(8), torch.randn(8, 4), reduce="add")
        return model

    assert [found.id for found in construction(factory).findings] == ["IC111"]


def test_copies_of_a_draw_are_no_second_draw_of_the_same_values():
    def factory():
        model = nn.Module()
        model.net, model.target, model.third = (nn.Linear(16, 16) for _ in range(3))
        model.target.load_state_dict(model.net.state_dict())
        model.third.weight.data.copy_(model.target.weight)
        return model

    assert construction(factory).findings == ()


def test_what_is_read_where_it_is_written_stays_drawn():
    def factory():
        layer = nn.Linear(16, 16)
        with torch.no_grad():
            torch.add(layer.weight, 1, out=layer.weight)
            layer.weight.sub_(layer.weight.mean())
        return layer

    told = str(construction(factory).of("weight"))
    assert told.startswith("drawn by kaiming_uniform_(")
    assert ", then added to at :" in told
    assert ", then subtracted from at :" in told


def test_the_line_is_the_users_where_the_factory_has_none():
    made = construction(functools.partial(nn.Linear, 8, 8))
    assert Path(made.of("weight").writes[0].file) == Path(__file__)


def test_a_pass_of_the_model_is_told_by_its_operator():
    def factory():
        norm = nn.BatchNorm1d(4)
        norm(torch.randn(8, 4))
        return norm

    (*_, last) = construction(factory).of("num_batches_tracked").writes
    assert last.call == "add_"
