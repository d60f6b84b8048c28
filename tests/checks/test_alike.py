"""Units, layers and stacks that are alike: found exactly, and judged by their gradients."""

from __future__ import annotations

import copy
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from support.starts import (  # isort: skip
    Model, constant, ids, labelled, lines, mlp, named, sgd, told, weighted,
)  # fmt: skip
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose
from pytest_initcheck.capture.tensor_stats import projections
from pytest_initcheck.evidence.similar_rows import groups_of, nearly


def rows(seed, count, width=7):
    return np.random.default_rng(seed).standard_normal((count, width))


def as_sets(groups):
    return {frozenset(group.tolist()) for group in groups}


def projected(matrix):
    return projections(torch.as_tensor(matrix)).numpy()


@st.composite
def repeated(draw):
    """Random rows of which some are copies, and which rows are copies of which."""
    kinds = draw(st.integers(1, 12))
    places = draw(st.lists(st.integers(0, kinds - 1), min_size=1, max_size=40))
    seed = draw(st.integers(0, 2**32 - 1))
    known = {frozenset(np.flatnonzero(np.array(places) == kind).tolist()) for kind in set(places)}
    return rows(seed, kinds)[places], {group for group in known if len(group) > 1}


@settings(max_examples=40, deadline=None)
@given(repeated(), st.randoms(use_true_random=False), st.integers(-60, 60))
def test_copies_are_found_exactly_in_any_order_at_any_scale(known, random, power):
    matrix, groups = known
    assert as_sets(groups_of(projected(matrix))) == groups
    assert as_sets(groups_of(projected(matrix * 2.0**power))) == groups
    order = list(range(len(matrix)))
    random.shuffle(order)
    moved = {frozenset(order.index(row) for row in group) for group in groups}
    assert as_sets(groups_of(projected(matrix[order]))) == moved


@settings(max_examples=40, deadline=None)
@given(repeated(), st.randoms(use_true_random=False), st.integers(-60, 60))
def test_near_copies_are_found_in_any_order_at_any_scale(known, random, power):
    matrix, groups = known
    noise = rows(7, *matrix.shape)
    near = projected(matrix + 1e-6 * noise)
    found = as_sets(nearly(near))
    is_most = sum(map(len, groups)) >= len(matrix) / 2
    assert found == (groups if is_most else set())
    assert as_sets(nearly(near * 2.0**power)) == found
    order = np.array(random.sample(range(len(matrix)), len(matrix)))
    assert {
        frozenset(order[list(group)].tolist()) for group in as_sets(nearly(near[order]))
    } == found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 300), st.integers(2, 30))
def test_random_rows_are_in_no_group(seed, count, width):
    drawn = projected(rows(seed, count, width))
    assert groups_of(drawn) == []
    assert nearly(drawn) == []


@pytest.mark.parametrize("find", [groups_of, nearly])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_in_no_group(find, value):
    matrix = np.ones((4, 5))
    matrix[0, 0] = value
    assert find(matrix) == []
    assert find(np.ones((0, 5))) == []
    assert find(np.ones((1, 5))) == []


def test_a_hundred_thousand_units_take_no_square_of_memory():
    count = 100_000
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, count), nn.Tanh(), nn.Linear(count, 1))
    nn.init.constant_(model[0].weight, 0.1)
    nn.init.constant_(model[0].bias, 0.1)
    nn.init.constant_(model[2].weight, 1 / count)
    batch = torch.randn(4, 2), torch.randn(4, 1)
    tracemalloc.start()
    found = named(diagnose(model, batch, steps=1), "IC201")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.units) == count
    assert peak < 4000 * count
    assert len(str(found)) < 1000


WIDTHS = {"tanh": nn.Tanh, "ReLU": nn.ReLU, "GELU": nn.GELU}


@pytest.mark.parametrize("act", WIDTHS)
def test_constant_layers_stay_equal_and_one_alone_does_not(act):
    def locked(*names):
        model = weighted(mlp(WIDTHS[act], 20, 24, 24, 3), constant(0.05), *names)
        return told(diagnose(model, labelled()))

    assert "IC201" in locked("0", "2", "4")
    assert "IC201" in locked("0", "2")
    assert "IC201" not in locked("0")
    assert "IC201" not in locked("4")


def test_units_apart_by_rounding_alone_stay_equal():
    def draw(spread):
        return lambda w: w.data.fill_(0.1).add_(spread * torch.randn_like(w))

    for spread, expected in ((1e-9, "IC201"), (1e-5, "IC202"), (0.3, None)):
        found = diagnose(weighted(mlp(nn.Tanh, 20, 24, 24, 3), draw(spread)), labelled())
        assert {"IC201", "IC202"} & told(found) == ({expected} if expected else set())
        assert expected is None or ids(found)[0] == expected


def test_nearly_equal_units_are_a_warning_with_a_remedy():
    model = weighted(mlp(nn.Tanh, 20, 24, 24, 3),
                     lambda w: w.data.fill_(0.1).add_(1e-5 * torch.randn_like(w)))  # fmt: skip
    found = diagnose(model, labelled())
    finding = named(found, "IC202")
    assert (finding.severity, finding.units) == ("warning", tuple(range(24)))
    assert finding.measured < finding.limit == 1e-2
    assert found.try_remedy().verdict == "pass"


def test_a_few_near_neighbours_among_many_units_are_chance():
    model = mlp(nn.Tanh, 20, 64, 3)
    with torch.no_grad():
        model[0].weight[1] = model[0].weight[0] + 1e-6
        model[0].bias[1] = model[0].bias[0]
        model[2].weight[:, 1] = model[2].weight[:, 0] + 1e-6
    assert "IC202" not in told(diagnose(model, labelled()))


def ensemble(way, alike):
    """Five networks in stacked tensors, averaged."""
    torch.manual_seed(0)
    draw, times = (1, 5) if alike else (5, 1)
    first = (torch.randn(draw, 20, 16) / 20**0.5).repeat(times, 1, 1)
    second = (torch.randn(draw, 16, 3) / 4).repeat(times, 1, 1)
    if way == "matmul":
        run = lambda m, x: (torch.relu(x.expand(5, -1, -1) @ m.first) @ m.second).mean(0)  # noqa: E731
    elif way == "bmm":
        run = lambda m, x: torch.bmm(torch.relu(torch.bmm(x.expand(5, -1, -1), m.first)),  # noqa: E731
                                     m.second).mean(0)  # fmt: skip
    else:
        run = lambda m, x: torch.einsum("ebh,eho->ebo", torch.relu(torch.einsum(  # noqa: E731
            "bi,eih->ebh", x, m.first)), m.second).mean(0)  # fmt: skip
    return Model(run, first=nn.Parameter(first), second=nn.Parameter(second))


@pytest.mark.parametrize("way", ["matmul", "bmm", "einsum"])
def test_members_of_a_stack_that_are_equal_stay_equal(way):
    assert diagnose(ensemble(way, alike=False), labelled()).verdict == "pass"
    found = diagnose(ensemble(way, alike=True), labelled())
    finding = named(found, "IC201")
    assert finding.layer == "first"
    assert finding.units == tuple(range(80))
    assert found.try_remedy().verdict == "pass"


@pytest.mark.parametrize("way", ["matmul", "bmm", "einsum"])
def test_two_members_of_a_stack_are_named_by_their_units(way):
    model = ensemble(way, alike=False)
    with torch.no_grad():
        model.first[3] = model.first[1]
        model.second[3] = model.second[1]
    finding = named(diagnose(model, labelled()), "IC201")
    assert finding.units == (*range(16, 32), *range(48, 64))


def heads(second, targets):
    """Two heads of one unit on one body."""
    torch.manual_seed(0)
    first = nn.Linear(32, 1)
    other = copy.deepcopy(first) if second == "copied" else nn.Linear(32, 1)
    model = Model(lambda m, x: torch.cat([m.first(h := torch.relu(m.body(x))), m.second(h)], 1),
                  body=nn.Linear(20, 32), first=first, second=other)  # fmt: skip
    x = labelled()[0]
    return diagnose(model, (x, x[:, :1].repeat(1, 2) if targets == "same" else x[:, :2]))


def test_copied_heads_stay_equal_where_their_targets_are():
    assert named(heads("copied", "same"), "IC203").layers == ("first", "second")
    assert named(heads("copied", "other"), "IC204").severity == "warning"
    assert heads("drawn", "same").verdict == "pass"


def critics(frozen=False):
    """A network and its copy, both trainable unless ``frozen``."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 3))
    return Model(None, body=body, target=copy.deepcopy(body).requires_grad_(not frozen))


def follow(model, batch):
    with torch.no_grad():
        goal = model.target(batch[0] + 0.1)
    return functional.mse_loss(model.body(batch[0]), goal)


def both(model, batch):
    return sum(functional.cross_entropy(part(batch[0]), batch[1])
               for part in (model.body, model.target))  # fmt: skip


@pytest.mark.parametrize(("loss", "frozen", "expected"), [
    (follow, False, set()), (follow, True, set()), (both, False, {"IC203"}), (both, True, set()),
])  # fmt: skip
def test_a_copy_that_gets_no_gradient_is_a_target_network(loss, frozen, expected):
    found = diagnose(critics(frozen), labelled(), forward=loss, optimizer=sgd(0.1))
    assert {"IC203", "IC204"} & told(found) == expected, str(found)


def test_tied_weights_constants_and_formulas_are_no_copies():
    torch.manual_seed(0)
    tied = nn.Linear(16, 16)
    eye = [nn.Linear(16, 16) for _ in range(2)]
    for layer in eye:
        nn.init.eye_(layer.weight)
    model = nn.Sequential(nn.Linear(20, 16), nn.Tanh(), tied, nn.Tanh(), tied, nn.Tanh(),
                          eye[0], nn.Tanh(), eye[1], nn.Tanh(), nn.Linear(16, 1))  # fmt: skip
    assert not {"IC203", "IC204"} & told(diagnose(model, lines()))


class Places(nn.Module):
    """Two sums of words and their places, by tables that may both hold sines beside cosines."""

    def __init__(self, fill):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.head = nn.Embedding(30, 16), nn.Linear(16, 3)
        self.first, self.second = nn.Embedding(12, 16), nn.Embedding(12, 16)
        with torch.no_grad():
            self.first.weight.copy_(fill())
            self.second.weight.copy_(self.first.weight)

    def forward(self, ids):
        places = torch.arange(ids.shape[1])
        one, other = self.first(places), self.second(places)
        return self.head((torch.tanh(self.words(ids) + one) + other).mean(1))


def waves():
    angles = torch.arange(12.0)[:, None] * 0.5 ** torch.arange(8.0)
    return torch.cat([angles.sin(), angles.cos()], 1)


@pytest.mark.parametrize(("fill", "alike"), [(waves, False), (lambda: torch.randn(12, 16), True)])
def test_tables_of_waves_are_no_copies_and_tables_that_were_drawn_are(fill, alike):
    batch = torch.randint(0, 30, (32, 12)), torch.randint(0, 3, (32,))
    assert bool({"IC203", "IC204"} & told(diagnose(Places(fill), batch))) == alike


def test_the_remedy_of_copies_leaves_the_first_of_them():
    model = mlp(nn.Tanh, 20, 32, 32, 32, 3)
    model[4].load_state_dict(model[2].state_dict())
    found = diagnose(model, labelled())
    code = named(found, "IC204").remedy_code
    assert "'4.weight'" in code
    assert "'2.weight'" not in code
    assert found.try_remedy().verdict == "pass"
