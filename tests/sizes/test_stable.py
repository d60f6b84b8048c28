"""`assert_width_stable` and `assert_depth_stable`: what they find, name and let pass."""

import re

import pytest
import torch
from sizes.models import CLASSES, INPUTS, adam, batch, mlp, mup_adam, mup_mlp
from torch import nn

from pytest_initcheck import (
    InitcheckError,
    InitcheckFailure,
    assert_depth_stable,
    assert_width_stable,
)

WIDTHS = (32, 64, 128, 256)
SHORT = {"steps": 1, "seeds": 3}


def test_right_models_pass_and_are_returned():
    found = assert_width_stable(
        mup_mlp, WIDTHS, batch(), optimizer=mup_adam, parametrization="mup", **SHORT
    )
    assert found.layers == ("0", "2", "4", "6")
    assert_width_stable(mlp, WIDTHS, batch(), optimizer=adam, parametrization="standard", **SHORT)


def unscaled(rate_of):
    def steps(model):
        made = mup_adam(model)
        made.param_groups[rate_of]["lr"] = 1e-3
        return made

    return steps


@pytest.mark.parametrize("place", [1, 2, 3])
def test_a_rate_that_is_not_scaled_is_found_with_its_layer_alone(place):
    layer = str(2 * place)
    with pytest.raises(InitcheckFailure) as failure:
        assert_width_stable(
            mup_mlp, WIDTHS, batch(), optimizer=unscaled(place), parametrization="mup", **SHORT
        )
    text = str(failure.value)
    assert re.findall(r"layer '(\w+)'", text) == [layer]
    assert "own change after step 1" in text
    assert re.search(
        r"width\^\+[01]\.\d\d \(\+\d\.\d\d to \+\d\.\d\d\); allowed .* to \+0\.25", text
    )
    assert "its rate: multiply it by width^-" in text
    assert "1/width under Adam" in text


@pytest.mark.parametrize("layer", ["2", "4", "6"])
def test_an_initialiser_that_is_not_scaled_is_found_with_its_layer_alone(layer):
    def factory(width):
        model = mup_mlp(width)
        fan_in = 32 if layer != "6" else width
        nn.init.normal_(model[int(layer)].weight, std=(2 / fan_in) ** 0.5)
        return model

    with pytest.raises(InitcheckFailure, match=r"(gain|weight) at the start") as failure:
        assert_width_stable(
            factory, WIDTHS, batch(), optimizer=mup_adam, parametrization="mup", **SHORT
        )
    assert re.findall(r"layer '(\w+)'", str(failure.value)) == [layer]
    assert "its initialiser: draw" in str(failure.value)


def test_a_readout_that_starts_at_zero_hides_nothing_after_the_first_step():
    def factory(width):
        model = mup_mlp(width)
        nn.init.zeros_(model[-1].weight)
        return model

    given = factory, WIDTHS, batch()
    assert_width_stable(*given, optimizer=mup_adam, parametrization="mup", steps=2, seeds=2)
    with pytest.raises(
        InitcheckFailure, match=r"layer '4': exponent of the own change after step 2"
    ):
        assert_width_stable(*given, optimizer=unscaled(2), parametrization="mup", steps=2, seeds=2)


def test_none_asks_that_nothing_grows_and_standard_that_it_starts_alike():
    assert_width_stable(mup_mlp, WIDTHS, batch(), optimizer=mup_adam, parametrization=None, **SHORT)
    with pytest.raises(InitcheckFailure, match="own change"):
        assert_width_stable(mlp, WIDTHS, batch(), optimizer=adam, parametrization=None, **SHORT)
    with pytest.raises(InitcheckFailure, match=r"layer .6.: exponent of the (gain|weight)"):
        assert_width_stable(mup_mlp, WIDTHS, batch(), optimizer=adam, **SHORT)


def test_numbers_that_are_not_finite_at_some_widths_are_found():
    def factory(width):
        model = mlp(width)
        if width > 64:
            model[2].weight.data.fill_(float("inf"))
        return model

    with pytest.raises(InitcheckFailure, match=r"layer '2': [^:]*\n  cause   6 values are not"):
        assert_width_stable(factory, WIDTHS, batch(), parametrization=None, **SHORT)


class Tied(nn.Module):
    def __init__(self, width, scaled=True):
        super().__init__()
        self.table, self.scaled = nn.Embedding(12, width), scaled

    def forward(self, ids):
        x = self.table(ids)
        made = x @ self.table.weight.t()
        return (made * (8 / x.shape[-1]) if self.scaled else made).transpose(1, 2)


def test_a_tied_readout_may_meet_its_own_rows_in_the_stream():
    ids = torch.arange(24).reshape(4, 6) % 12
    given = {"optimizer": adam, "parametrization": "mup", **SHORT}
    found = assert_width_stable(Tied, WIDTHS, (ids, ids), **given)
    assert [found.role(layer) for layer in found.layers] == ["input", "output"]
    with pytest.raises(InitcheckFailure, match=r"table.weight \(mm\)"):
        assert_width_stable(lambda n: Tied(n, scaled=False), WIDTHS, (ids, ids), **given)


class Narrow(nn.Module):
    """A stack whose readout moves by what comes in, for a batch of more rows than it is wide."""

    def __init__(self, width):
        super().__init__()
        self.table = nn.Embedding(20, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(3))
        nn.init.normal_(self.table.weight, std=0.5)
        for layer in self.hidden:
            nn.init.normal_(layer.weight, std=width**-0.5)

    def forward(self, ids):
        x = self.table(ids)
        for layer in self.hidden:
            x = x + layer(torch.relu(nn.functional.layer_norm(x, x.shape[-1:])))
        made = nn.functional.layer_norm(x, x.shape[-1:]) @ self.table.weight.t()
        return made.transpose(1, 2) * (16 / x.shape[-1])


def mup_narrow(model):
    rate = 1e-3 * 16 / model.table.embedding_dim
    return torch.optim.Adam(
        [{"params": model.table.parameters()}, {"params": model.hidden.parameters(), "lr": rate}],
        lr=1e-3,
    )


def test_the_output_of_narrow_models_moves_at_random_in_part():
    ids = torch.randint(20, (16, 10), generator=torch.Generator().manual_seed(0))
    given = {"optimizer": mup_narrow, "parametrization": "mup", **SHORT}
    found = assert_width_stable(Narrow, (16, 32, 64, 128), (ids, ids), **given)
    assert found.exponent("(output)", "change", 1).high < -0.25


def stack(gain):
    def build(depth):
        layers = [
            part for _ in range(depth) for part in (nn.Linear(INPUTS * 4, INPUTS * 4), nn.ReLU())
        ]
        model = nn.Sequential(*layers, nn.Linear(INPUTS * 4, CLASSES))
        for layer in model[::2]:
            nn.init.normal_(layer.weight, std=gain / (INPUTS * 4) ** 0.5)
            nn.init.zeros_(layer.bias)
        return model

    return build


def test_what_multiplies_with_the_depth_is_found_and_what_adds_up_passes():
    x = torch.randn(16, INPUTS * 4, generator=torch.Generator().manual_seed(0))
    data = x, torch.arange(16) % CLASSES
    found = assert_depth_stable(stack(2**0.5), (4, 8, 16), data, **SHORT)
    assert found.sizes == (4, 8, 16)
    with pytest.raises(InitcheckFailure, match="activation of the output") as failure:
        assert_depth_stable(stack(1.0), (4, 8, 16), data, **SHORT)
    assert "layer '0': exponent of the gradient at the first layer" in str(failure.value)
    assert re.search(r"or 2\^\(-0\.\d+ depth\)", str(failure.value))


def test_a_claim_that_one_rate_serves_all_depths_is_held_to():
    class Gated(nn.Module):
        def __init__(self, depth, start=0.0):
            super().__init__()
            self.blocks = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))
            self.gates, self.out = nn.Parameter(torch.full((depth,), start)), nn.Linear(32, CLASSES)

        def forward(self, x):
            for gate, block in zip(self.gates, self.blocks, strict=True):
                x = x + gate * torch.relu(block(x))
            return self.out(x)

    x = torch.randn(16, 32, generator=torch.Generator().manual_seed(0))
    given = {"optimizer": adam, "transfers": True, **SHORT}
    data = x, torch.arange(16) % CLASSES
    assert_depth_stable(Gated, (4, 8, 16), data, **given)
    with pytest.raises(InitcheckFailure, match="IC905"):
        assert_depth_stable(lambda depth: Gated(depth, 1.0), (4, 8, 16), data, **given)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"parametrization": "mu"}, "'mup'"),
        ({"widths": (64,)}, "at least two"),
        ({"widths": 64}, "at least two"),
        ({"widths": (64, 64)}, "different"),
        ({"seeds": 0}, "seeds"),
        ({"steps": 0}, "steps"),
        ({"optimizer": torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)}, "one model"),
    ],
)
def test_wrong_use_says_what_to_pass(options, said):
    given = {"widths": WIDTHS, "batch": batch(), **options}
    with pytest.raises(InitcheckError, match=said):
        assert_width_stable(mlp, **given)
