"""One start for any number of ranks; stages that differ."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from pytest_initcheck import InitcheckError, InitcheckFailure, assert_same_start


class Scaled(nn.Module):
    """A layer with a parameter of its own, which its reset forgets where ``forgets``."""

    def __init__(self, *, forgets=False):
        super().__init__()
        self.linear = nn.Linear(4, 8)
        self.scale = nn.Parameter(torch.empty(8))
        self.forgets = forgets
        if not forgets:
            self.reset_parameters()

    def reset_parameters(self):
        if not self.forgets:
            nn.init.ones_(self.scale)

    def forward(self, x):
        return self.linear(x) * self.scale


def net():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def sharded():
    """Built whole and sharded then."""
    return fully_shard(net())


def replicated():
    return DistributedDataParallel(net())


def by_shard():
    """On the meta device, and drawn shard by shard from one seed."""
    with torch.device("meta"):
        model = net()
    fully_shard(model)
    model.to_empty(device="cpu")
    for parameter in model.parameters():
        nn.init.normal_(parameter.to_local()) if parameter.dim() > 1 else nn.init.zeros_(parameter)
    return model


def from_meta(forgets):
    with torch.device("meta"):
        model = Scaled(forgets=forgets)
    fully_shard(model)
    model.to_empty(device="cpu")
    with torch.no_grad():
        for module in model.modules():
            if hasattr(module, "reset_parameters") and not isinstance(module, nn.Linear):
                module.reset_parameters()
        for parameter in model.linear.parameters():
            parameter.fill_(0.5)
    return model


def own_seeds():
    torch.manual_seed(dist.get_rank())
    return net()


def failed(factory, how="world_size", **options):
    with pytest.raises(InitcheckFailure) as raised:
        assert_same_start(factory, how, **options)
    return str(raised.value)


@pytest.mark.parametrize("factory", [sharded, replicated, lambda: from_meta(False)])
def test_sound_models_start_alike_for_any_number_of_ranks(factory):
    assert_same_start(factory, "world_size")


def test_shards_that_are_drawn_from_one_seed_are_told():
    text = failed(by_shard)
    assert "parameter 0.weight: differs between world sizes 1 and 2: mean" in text
    assert "parameter 0.weight: ranks 0 and 1 hold other parts of it, with the same values" in text
    assert "bias" not in text


def test_what_reset_parameters_missed_is_told():
    text = failed(lambda: from_meta(True))
    assert "parameter scale: all of it never written" in text
    assert "linear" not in text


def test_replicas_of_their_own_seeds_are_told():
    assert "parameter 2.weight: ranks 0 and 1 hold the same part of it" in failed(own_seeds)


def test_stages_of_one_seed_are_told_and_those_of_their_own_are_not():
    text = failed(net, "stages")
    assert "parameter 0.weight: stage 0 draws the values that 0.weight has in stage 1" in text
    assert_same_start(own_seeds, "stages")


def with_buffer(make, *, persistent=True, wrap=lambda model: model):
    def factory():
        model = net()
        model.register_buffer("extra", make(), persistent=persistent)
        return wrap(model)

    return factory


def repeating():
    """Its second half is its first by intent, for any number of ranks."""
    layer = nn.Linear(4, 8, bias=False)
    layer.weight.data[4:] = layer.weight.data[:4]
    return fully_shard(layer)


@pytest.mark.parametrize(
    "factory",
    [
        pytest.param(with_buffer(lambda: torch.full((3,), torch.nan)), id="NaN by intent"),
        pytest.param(with_buffer(lambda: torch.eye(3).to_sparse()), id="sparse"),
        pytest.param(with_buffer(lambda: torch.eye(3).to_sparse_csr()), id="compressed"),
        pytest.param(with_buffer(lambda: torch.randn(3, dtype=torch.cfloat)), id="complex"),
        pytest.param(with_buffer(lambda: torch.empty(3), persistent=False), id="room"),
        pytest.param(repeating, id="repeating"),
    ],
)
def test_odd_but_sound_models_start_alike(factory):
    assert_same_start(factory, "world_size")


def test_buffers_of_which_each_rank_has_its_own_are_told():
    text = failed(with_buffer(lambda: torch.tensor(float(dist.get_rank()))))
    assert "buffer extra: ranks 0 and 1 hold it with other values" in text


def test_integers_that_nothing_wrote_are_told():
    text = failed(with_buffer(lambda: torch.empty(3, dtype=torch.long)))
    assert "buffer extra: all of it never written" in text


def test_a_part_that_only_the_second_rank_left_unwritten_is_told():
    def factory():
        model = nn.Linear(4, 8)
        model.bias = nn.Parameter(torch.empty(8))
        if dist.get_rank() == 0:
            nn.init.zeros_(model.bias)
        return model

    assert "parameter bias: all of it never written" in failed(factory)


def test_lazy_parameters_are_refused():
    with pytest.raises(InitcheckError, match="lazy parameters"):
        assert_same_start(lambda: nn.LazyLinear(2), "world_size")


def test_what_one_rank_raises_is_told_and_not_that_the_others_waited():
    def factory():
        if dist.get_rank() == 1:
            raise ValueError("only here")
        return net()

    with pytest.raises(InitcheckError, match=r"rank 1 raised ValueError at .*: only here"):
        assert_same_start(factory, "world_size")


def test_what_the_factory_raises_is_told_with_its_rank():
    with pytest.raises(InitcheckError, match=r"rank 0 raised ZeroDivisionError at .*: division"):
        assert_same_start(lambda: 1 / 0, "world_size")
    with pytest.raises(InitcheckError, match="returned a int"):
        assert_same_start(lambda: 1, "stages")
