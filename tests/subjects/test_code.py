"""Code that is written for data and models makes such data and models again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pytest_initcheck.subjects.code import batch_code, import_code, is_importable, model_code

BATCHES = {
    "pair": (torch.randn(8, 3), torch.randint(0, 4, (8,))),
    "mapping": {"ids": torch.randint(5, 9, (2, 3)), "mask": torch.ones(2, 3).bool()},
    "list": [torch.randn(3, 4, 4), {"boxes": torch.rand(2, 4)}],
    "kinds": (torch.zeros(2).double(), torch.ones(3, dtype=torch.uint8), torch.tensor(2.0), None),
    "one": (torch.randn(2),),
}


def same_kind(a, b):
    if isinstance(a, torch.Tensor):
        return a.shape == b.shape and a.dtype == b.dtype
    if isinstance(a, dict):
        return list(a) == list(b) and all(same_kind(a[key], b[key]) for key in a)
    if isinstance(a, (tuple, list)):
        return type(a) is type(b) and all(map(same_kind, a, b)) and len(a) == len(b)
    return a == b


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_code_of_a_batch_makes_one_like_it(batch, exact):
    assert same_kind(batch, eval(batch_code(batch, exact=exact), {"torch": torch}))


def test_exact_data_have_the_scale_of_the_original():
    torch.manual_seed(0)
    made = eval(batch_code(torch.randn(5000) * 3 + 7, exact=True), {"torch": torch})
    assert float(made.mean()) == pytest.approx(7, abs=0.3)
    assert float(made.std()) == pytest.approx(3, rel=0.1)


class Kept(nn.Module):
    """Keeps what its constructor takes."""

    def __init__(self, width, depth=2, act=nn.ReLU):
        super().__init__()
        self.width, self.depth = width, depth
        self.body = nn.Linear(width, depth)


class Lost(nn.Module):
    """Does not."""

    def __init__(self, width):
        super().__init__()
        self.body = nn.Linear(width, 2)


def test_modules_of_torch_are_made_by_their_settings():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.GELU())
    imports, code = model_code(model)
    assert imports == []
    assert repr(eval(code, {"nn": nn})) == repr(model)


def test_other_classes_by_what_they_keep_or_not_at_all():
    imports, code = model_code(Kept(5))
    assert code == "Kept(width=5, depth=2)"
    assert imports == [import_code(Kept)]
    assert model_code(Lost(5)) is None
    assert model_code(nn.Sequential(Lost(5))) is None


def test_what_has_no_name_of_its_own_is_not_imported():
    assert not is_importable(lambda: 0)
    assert not is_importable(None)
