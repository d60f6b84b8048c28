"""Models of every make get the right verdict, or one clear error that says why not."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch

from support.starts import (  # isort: skip
    Model, bits, constant, ids, labelled, lines, mlp, named, sgd, told, two, weighted,
)  # fmt: skip
from torch import nn
from torch.nn.utils import parametrizations, prune

from pytest_initcheck import diagnose
from pytest_initcheck.errors import InitcheckError

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")


def wrapped(change):
    """The hidden layer of 20-24-24-3 with tanh, changed."""

    def build():
        model = mlp(nn.Tanh, 20, 24, 24, 3)
        changed = change(model[2])
        model[2] = model[2] if changed is None else changed
        return model

    return build


def lazy():
    torch.manual_seed(0)
    return nn.Sequential(nn.LazyLinear(24), nn.Tanh(), nn.LazyLinear(24), nn.Tanh(),
                         nn.LazyLinear(3))  # fmt: skip


BUILDS = {
    "weight norm": wrapped(parametrizations.weight_norm),
    "old weight norm": wrapped(nn.utils.weight_norm),
    "spectral norm": wrapped(parametrizations.spectral_norm),
    "old spectral norm": wrapped(nn.utils.spectral_norm),
    "orthogonal": wrapped(parametrizations.orthogonal),
    "pruned by half": wrapped(lambda layer: prune.random_unstructured(layer, "weight", 0.5)),
    "data parallel": lambda: nn.DataParallel(mlp(nn.Tanh, 20, 24, 24, 3)),
    "lazy": lazy,
    "float64": lambda: mlp(nn.Tanh, 20, 24, 24, 3).double(),
    "bfloat16": lambda: mlp(nn.Tanh, 20, 24, 24, 3).bfloat16(),
    "compiled": lambda: torch.compile(mlp(nn.Tanh, 20, 24, 24, 3), backend="eager"),
    "evaluating": lambda: mlp(nn.Tanh, 20, 24, 24, 3).eval(),
}


def data_for(model):
    x, y = labelled()
    return x.to(next(model.parameters()).dtype), y


def is_known(model):
    return not any(nn.parameter.is_lazy(parameter) for parameter in model.parameters())


def numbers(model):
    """State and gradients as bytes; bfloat16 has no numpy."""
    state = {n: t.float().numpy().tobytes() for n, t in model.state_dict().items()}
    return state, {n: p.grad for n, p in model.named_parameters()}


@pytest.mark.parametrize("name", BUILDS)
def test_a_sound_model_of_any_make_passes_and_is_put_back(name):
    model = BUILDS[name]()
    before = numbers(model) if is_known(model) else None
    found = diagnose(model, data_for(model))
    assert found.verdict == "pass", str(found)
    assert len(found.record.layers) >= 3
    assert (numbers(model) if is_known(model) else None) == before


LOCKED = [name for name in BUILDS if name not in ("orthogonal", "lazy", "pruned by half")]


@pytest.mark.parametrize("name", LOCKED)
def test_constant_weights_are_found_in_any_make(name):
    model = BUILDS[name]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.1)
    found = diagnose(model, data_for(model))
    assert "IC201" in ids(found), str(found)
    assert found.verdict == "fail"


@pytest.mark.parametrize("name", ["data parallel", "float64", "compiled", "evaluating"])
def test_the_remedy_works_in_any_make(name):
    model = BUILDS[name]()
    weighted(model, constant(0.1))
    before = numbers(model)
    after = diagnose(model, data_for(model)).try_remedy()
    assert after.applied
    assert after.verdict == "pass", str(after)
    assert numbers(model) == before


class Words(nn.Module):
    def __init__(self, sparse, bag=False):
        super().__init__()
        torch.manual_seed(0)
        kind = nn.EmbeddingBag if bag else nn.Embedding
        self.table, self.head = kind(50, 16, sparse=sparse), mlp(nn.ReLU, 16, 32, 3)

    def forward(self, ids):
        h = self.table(ids)
        return self.head(h if h.dim() == 2 else h.mean(1))


def words():
    torch.manual_seed(1)
    return torch.randint(0, 50, (32, 6)), torch.randint(0, 3, (32,))


@pytest.mark.parametrize("bag", [False, True])
def test_sparse_gradients_are_judged_like_dense_ones(bag):
    sparse, dense = (diagnose(Words(s, bag), words(), optimizer=sgd(0.1)) for s in (True, False))
    assert sparse.verdict == dense.verdict == "pass"
    assert sparse.losses == pytest.approx(dense.losses, rel=1e-5)
    model = Words(True, bag)
    nn.init.constant_(model.table.weight, 0.1)
    weighted(model, constant(0.1))
    assert "IC201" in told(diagnose(model, words()))


def test_complex_weights_are_measured_by_their_size():
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(20, 24, dtype=torch.cfloat) / 20**0.5)
    model = Model(lambda m, x: m.head((x.to(torch.cfloat) @ m.mix).abs()), mix=weight,
                  head=mlp(nn.ReLU, 24, 24, 3))  # fmt: skip
    found = diagnose(model, labelled())
    assert found.verdict == "pass", str(found)
    stats = found.record.layer("mix").weights["mix"]
    assert stats.mean == pytest.approx(float(weight.detach().abs().mean()), rel=1e-4)


def test_a_quantised_model_is_refused_with_a_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.ao.quantization.quantize_dynamic(mlp(nn.ReLU, 20, 24, 3), {nn.Linear})
    with pytest.raises(InitcheckError, match="quantised"):
        diagnose(model, labelled())


def test_a_model_on_the_meta_device_is_refused_with_a_remedy():
    model = mlp(nn.ReLU, 20, 24, 3).to("meta")
    with pytest.raises(InitcheckError, match="to_empty"):
        diagnose(model, labelled())


def test_one_layer_on_the_meta_device_is_refused_too():
    model = mlp(nn.ReLU, 20, 24, 3)
    model[2].to("meta")
    with pytest.raises(InitcheckError, match="meta"):
        diagnose(model, labelled())


def test_weights_written_where_weight_norm_overwrites_them_are_told():
    model = mlp(nn.Tanh, 20, 24, 24, 3)
    nn.utils.weight_norm(model[2])
    assert "IC103" not in told(diagnose(model, labelled()))
    with torch.no_grad():
        model[2].weight.fill_(0.5)
    assert named(diagnose(model, labelled()), "IC103").layers == ("2",)


def test_a_parametrised_layer_has_a_range_of_sigma_or_says_why_not():
    model = BUILDS["weight norm"]()
    assert 0.05 < diagnose(model, labelled()).sigma_range("2").high < 5
    with pytest.raises(InitcheckError, match="computed anew"):
        diagnose(BUILDS["old weight norm"](), labelled()).sigma_range("2")
    with pytest.raises(InitcheckError, match="parametri"):
        diagnose(BUILDS["spectral norm"](), labelled()).sigma_range("2")


@pytest.mark.parametrize("value", [None, 0.1])
def test_shared_parts_and_deep_nests_are_judged_once(value):
    inner = mlp(nn.Tanh, 24, 24, 24)
    model = two(lambda m, h: m.again(m.inner(h)), width=24)
    model.inner, model.again = nn.Sequential(nn.Sequential(inner)), inner
    if value is not None:
        weighted(model, constant(value))
    found = diagnose(model, labelled())
    assert found.verdict == ("pass" if value is None else "fail"), str(found)
    layers = [layer.name for layer in found.record.layers]
    assert len(layers) == len(set(layers)) == 4


def test_a_model_without_layers_is_judged_by_its_parameters():
    torch.manual_seed(0)
    model = Model(lambda m, x: torch.tanh(x @ m.first) @ m.second,
                  first=nn.Parameter(torch.randn(20, 24) / 20**0.5),
                  second=nn.Parameter(torch.randn(24, 1) / 24**0.5))  # fmt: skip
    assert diagnose(model, lines()).verdict == "pass"
    with torch.no_grad():
        model.first.fill_(0.1)
        model.second.fill_(0.1)
    assert named(diagnose(model, lines()), "IC201").layer == "first"


def test_a_copy_of_a_diagnosed_model_can_be_made():
    model, batch = mlp(nn.ReLU, 20, 24, 3), labelled()
    diagnose(model, batch).try_remedy()
    assert bits(copy.deepcopy(model)) == bits(model)


def test_empty_and_unused_parameters_are_no_fault():
    model = two(lambda m, h: torch.relu(h))
    model.empty, model.unused = nn.Parameter(torch.zeros(0, 4)), nn.Linear(5, 5)
    assert diagnose(model, labelled()).verdict == "pass"
