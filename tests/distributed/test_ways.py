"""The ways in which training code has such models, and what is refused with a clear statement."""

from __future__ import annotations

import types
from collections import Counter

import pytest
import torch
from support.spread_models import (
    STEPS,
    built,
    ddp,
    flat_loss,
    fsdp,
    next_tokens,
    part,
    rows,
    shared_heads,
)
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_initcheck import (
    InitcheckError,
    check_step,
    construction,
    critical_point,
    diagnose,
    learns,
    watch,
)
from pytest_initcheck.capture.across import Across
from pytest_initcheck.ranks.local_job import on_ranks


def said(function, *args, **options):
    """The verdict of a diagnosis and the ids of its findings, or what was raised."""
    try:
        found = function(*args, **options)
    except InitcheckError as error:
        return str(error)
    return found.verdict, [finding.id for finding in found.findings]


def from_meta():
    """Two layers, materialised shard by shard, of which one is forgotten."""
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    fully_shard(model)
    model.to_empty(device="cpu")
    model[2].reset_parameters()
    return model


def compiled_in_place():
    model = fsdp(built("mlp"))
    model.compile(backend="eager")
    return model


def used(rank):
    mine = part(rows(), rank, 2)
    offload = fully_shard(built("mlp"), offload_policy=CPUOffloadPolicy(pin_memory=False))
    half = fully_shard(built("mlp"), mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16))
    sharded = fsdp(built("mlp"))
    adam = torch.optim.AdamW(sharded.parameters(), lr=1e-3)
    found = {
        "offload": said(diagnose, offload, mine),
        "offload, parts": said(diagnose, offload, mine, unshard=False),
        "half": said(diagnose, half, mine),
        "half, parts": said(diagnose, half, mine, unshard=False),
        "compiled": said(diagnose, torch.compile(fsdp(built("mlp")), backend="eager"), mine),
        "compiled in place": said(diagnose, compiled_in_place(), mine),
        "compiled, parts": said(diagnose, compiled_in_place(), mine, unshard=False),
        "optimiser": said(diagnose, sharded, mine, optimizer=adam),
        "optimiser, parts": said(diagnose, sharded, mine, optimizer=adam, unshard=False),
        "factory": said(diagnose, lambda: ddp(built("mlp")), mine),
    }
    outcome = learns(sharded, mine).outcome, critical_point(sharded, mine).kind
    return found, outcome, sorted({type(p).__name__ for p in sharded.parameters()})


def test_offload_half_precision_compiled_code_and_optimisers_work():
    (found, outcome, kinds), other = on_ranks(2, used, timeout=120)
    assert (found, outcome, kinds) == other
    assert set(map(str, found.values())) == {str(("pass", []))}
    assert outcome == ("learns", "slope")
    assert kinds == ["DTensor"]


class Quantised(torch.Tensor):
    """A weight of small integers with a scale, of which nobody has taught torch to make a copy."""

    @staticmethod
    def __new__(cls, values, scale):
        return torch.Tensor._make_wrapper_subclass(cls, values.shape, dtype=torch.float32)

    def __init__(self, values, scale):
        self.values, self.scale = values, scale

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ == "detach":
            return cls(args[0].values, args[0].scale)
        args = [a.values * a.scale if isinstance(a, cls) else a for a in args]
        return func(*args, **(kwargs or {}))


def quantised():
    model = built("mlp")
    values = Quantised((model[2].weight.detach() * 99).to(torch.int8), 1 / 99)
    model[2].weight = nn.Parameter(values, requires_grad=False)
    return model


def refused(rank):
    mine = part(rows(), rank, 2)
    sharded, replicated = fsdp(built("mlp")), ddp(built("mlp"))
    sgd = torch.optim.SGD(sharded.parameters(), lr=0.1)
    in_parts = diagnose(sharded, mine, unshard=False)

    def step(model, optimizer, batch):
        raise AssertionError("it is not called")

    def watched():
        with watch(sharded, sgd):
            raise AssertionError("it is not entered")

    return {
        "meta": said(diagnose, from_meta, mine),
        "not materialised": said(diagnose, fully_shard(nn.Linear(6, 3, device="meta")), mine),
        "quantised": said(diagnose, ddp(quantised()), mine, unshard=True),
        "quantised, parts": said(diagnose, ddp(quantised()), mine, unshard=False),
        "LBFGS": said(diagnose, replicated, mine, optimizer=torch.optim.LBFGS, unshard=False),
        "thorough": said(diagnose, replicated, mine, thorough=True, unshard=False),
        "later": said(in_parts.sigma_range, "0"),
        "step": said(check_step, step, sharded, sgd, mine),
        "watch": said(watched),
        "construction": said(construction, from_meta),
        "told": in_parts.record.meta["taken"],
    }


def test_what_cannot_be_done_is_said_and_what_reset_parameters_missed_is_found():
    found, other = on_ranks(2, refused, timeout=120)
    assert found["meta"] == other["meta"] == ("fail", ["IC111"])
    assert found["construction"] == ("fail", ["IC111"])
    assert "on the meta device" in found["not materialised"]
    assert "2.weight (Quantised) has no copy" in found["quantised"]
    assert found["quantised, parts"][0] == "pass"
    assert "LBFGS evaluates the loss itself" in found["LBFGS"]
    assert "pass unshard=True" in found["thorough"]
    assert "was measured in parts" in found["later"]
    assert "is sharded over several ranks" in found["step"]
    assert "is sharded over several ranks" in found["watch"]
    assert "each measured in its part" in found["told"]
    assert "not asked: dependences" in found["told"]


def outputs(found):
    """Name, number of values and deviation of what every layer gives."""
    layers = (layer for layer in found.record.layers if layer.activations is not None)
    return [(layer.name, layer.activations.n, layer.activations.std) for layer in layers]


def heads(rank):
    found = []
    for is_wrapped in (False, True):
        for unshard in (True, False):
            model = shared_heads(built("heads"), is_wrapped=is_wrapped)
            one = diagnose(model, next_tokens(), loss_fn=flat_loss, unshard=unshard, **STEPS)
            found.append((said(lambda one=one: one), one.losses, outputs(one)))
    return found


def test_heads_and_a_vocabulary_that_ranks_share():
    first, second = on_ranks(2, heads, timeout=120)
    assert first == second
    alone = diagnose(built("heads"), next_tokens(), loss_fn=flat_loss, **STEPS)
    for verdict, losses, layers in first:
        assert verdict == ("pass", [])
        assert losses == pytest.approx(alone.losses, rel=1e-5)
        assert [layer[:2] for layer in layers] == [layer[:2] for layer in outputs(alone)]
        deviations = [layer[2] for layer in outputs(alone)]
        assert [layer[2] for layer in layers] == pytest.approx(deviations, rel=1e-4)


def grids(rank):
    pairs = init_device_mesh("cpu", (2, 2), mesh_dim_names=("outer", "inner"))
    hybrid = fully_shard(built("mlp"), mesh=pairs)
    plan = {"0": ColwiseParallel(), "2": RowwiseParallel()}
    both = parallelize_module(built("mlp"), pairs["inner"], plan)
    fully_shard(both, mesh=pairs["outer"])
    mine, theirs = part(rows(), rank, 4), part(rows(), rank // 2, 2)
    found = [
        diagnose(hybrid, mine, **STEPS),
        diagnose(both, theirs, **STEPS),
        diagnose(hybrid, mine, unshard=False, **STEPS),
        diagnose(both, theirs, unshard=False, **STEPS),
    ]
    return [(one.verdict, one.losses, one.record.layers[0].activations.n) for one in found]


@pytest.mark.slow
def test_grids_of_ranks_hold_one_model():
    first, *others = on_ranks(4, grids, timeout=120)
    assert all(other == first for other in others)
    alone = diagnose(built("mlp"), rows(), **STEPS)
    assert first[0] == first[1] == ("pass", alone.losses, 32 * 16)
    for verdict, losses, n in first[2:]:
        assert (verdict, n) == ("pass", 32 * 16)
        assert losses == pytest.approx(alone.losses, rel=1e-5)


class Counted(TorchDispatchMode):
    """Counts the collectives that run inside."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace in ("c10d", "_c10d_functional"):
            self.counts[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def collectives(model, batch, steps):
    with Counted() as found:
        diagnose(model, batch, steps=steps, unshard=False)
    return found.counts


def counted(rank):
    """What each further step of a diagnosis in parts costs, in exchanges and in collectives."""
    merged, calls = Across.merged, []

    def noted(self, slots):
        calls.append(len(slots))
        return merged(self, slots)

    Across.merged = noted
    mine, deep = part(rows(), rank, 2), [nn.Linear(6, 6) for _ in range(6)]
    found = []
    for way in (ddp, fully_shard):
        model = way(nn.Sequential(*deep, nn.Linear(6, 3)))
        short, long = (collectives(model, mine, steps) for steps in (1, 3))
        found.append({name: (count - short[name]) / 2 for name, count in long.items()})
        deep = [nn.Linear(6, 6) for _ in range(6)]
    return calls, found


def test_every_look_is_merged_in_one_exchange_and_what_is_sharded_gathered_at_once():
    (calls, (replicated, sharded)), second = on_ranks(2, counted)
    assert (calls, [replicated, sharded]) == second
    # Two diagnoses of each, with one step and with three: a look before, and one after each.
    assert len(calls) == 2 * (2 + 4)
    # An exchange says sizes, then bodies; each other collective is agreed on by a message before.
    assert replicated == {"allgather_": 2 + 1, "allreduce_": 1}
    counts = Counter({name.strip("_"): count for name, count in sharded.items()})
    # FSDP's own, for its one group: weights on the way forward, gradients on the way back.
    scattered = counts.pop("reduce_scatter_base", 0) + counts.pop("reduce_scatter_tensor", 0)
    assert scattered == 1
    messages = counts.pop("allgather")
    # All 14 weights and gradients of a look at once, and the weights after the step.
    assert sum(counts.values()) == 1 + 2
    assert messages == 2 + scattered + sum(counts.values())


def test_a_stage_of_a_pipeline_is_no_model():
    stage = type("PipelineStage", (), {"__module__": "torch.distributed.pipelining.stage"})()
    with pytest.raises(InitcheckError, match=r"assert_same_start\(factory, 'stages'\)"):
        diagnose(stage, rows())
    with pytest.raises(InitcheckError, match=r"not an nn\.Module"):
        diagnose(types.SimpleNamespace(), rows())
