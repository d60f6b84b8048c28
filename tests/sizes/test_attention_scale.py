"""The scale of attention logits, and heads and experts as sizes."""

from __future__ import annotations

import math

import pytest
import torch
from sizes.models import CLASSES
from torch import Tensor, nn
from torch.nn import functional

from pytest_initcheck import InitcheckFailure, assert_width_stable, scaling

WIDTHS, BASE, INPUTS = (32, 64, 128, 256), 32, 6
SCALES = {
    # Written as it comes, with a mask, and in one operator, by its default or with its scale.
    "1/d": lambda d: math.sqrt(BASE / 2) / d,
    "1/√d": lambda d: d**-0.5,
    "none": lambda d: 1.0,
}


class Attending(nn.Module):
    """Causal self-attention over a sequence of vectors, and a readout, drawn as muP says."""

    def __init__(self, width: int, scale: str, *, heads: int = 2, way: str = "written"):
        super().__init__()
        self.heads, self.way = heads, way
        self.scale = SCALES[scale](width // heads)
        self.inputs, self.readout = nn.Linear(INPUTS, width), nn.Linear(width, CLASSES)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        for layer in self.children():
            nn.init.normal_(layer.weight, std=layer.weight.shape[1] ** -0.5)
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.readout.weight, std=BASE**0.5 / width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inputs(x)
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        made = self.mixed(q, k, v).transpose(1, 2).flatten(-2)
        return self.readout((x + self.out(made)).mean(1))

    def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.way == "fused":
            return functional.scaled_dot_product_attention(
                q, k, v, is_causal=True, scale=self.scale
            )
        mask = torch.ones(q.shape[-2], q.shape[-2]).tril() == 0
        logits = (q @ k.transpose(-1, -2) * self.scale).masked_fill(mask, torch.finfo().min)
        return logits.softmax(-1) @ v


def batch():
    x = torch.randn(8, 5, INPUTS, generator=torch.Generator().manual_seed(1))
    return x, torch.arange(8) % CLASSES


def adam(model):
    """Rates in proportion to 1/width but for the inputs."""
    grown = [p for name, p in model.named_parameters() if "inputs" not in name and p.dim() > 1]
    others = [p for p in model.parameters() if all(p is not other for other in grown)]
    rate = 1e-3 * BASE / model.readout.in_features
    return torch.optim.Adam([{"params": others}, {"params": grown, "lr": rate}], lr=1e-3)


GIVEN = {"optimizer": adam, "steps": 1, "seeds": 3}


@pytest.mark.parametrize("way", ["written", "fused"])
def test_logits_have_the_exponents_of_the_theory(way):
    """Of d terms at random √d, of d that move along each other d; times the scale."""
    for scale, start, change in (("1/d", -0.5, 0.0), ("1/√d", 0.0, 0.5), ("none", 0.5, 1.0)):
        given = {**GIVEN, "seeds": 8}
        found = scaling(lambda n, s=scale: Attending(n, s, way=way), WIDTHS, batch(), **given)
        assert found.layers[4:6] == ("(logits)", "out")
        assert found.role("(logits)") == "logits"
        assert found.exponent("(logits)", "activation", 0).value == pytest.approx(start, abs=0.1)
        # The part at random is not small at these widths.
        assert -0.2 < found.exponent("(logits)", "change").value - change < 0.1


def test_a_root_where_mup_asks_for_the_size_itself_is_found_and_named():
    given = {**GIVEN, "parametrization": "mup"}
    assert_width_stable(lambda n: Attending(n, "1/d"), WIDTHS, batch(), **given)
    for way in ("written", "fused"):
        with pytest.raises(InitcheckFailure) as failure:
            assert_width_stable(
                lambda n, w=way: Attending(n, "1/√d", way=w), WIDTHS, batch(), **given
            )
        text = str(failure.value)
        assert "layer '(logits)': exponent of the change after step 1" in text
        assert text.count("layer '") == 1
        assert "divide them by the size of a head" in text


@pytest.mark.parametrize("parametrization", ["standard", "mup", "ntk", None])
def test_no_scale_is_found_at_the_start_under_any_parametrisation(parametrization):
    def factory(width):
        model = Attending(width, "none")
        return model if parametrization == "mup" else drawn(model, "readout", width**-0.5)

    with pytest.raises(InitcheckFailure, match=r"layer .\(logits\).: exponent of the activation"):
        assert_width_stable(factory, WIDTHS, batch(), parametrization=parametrization, **GIVEN)


def drawn(model, name, std):
    nn.init.normal_(getattr(model, name).weight, std=std)
    return model


def test_the_number_of_heads_may_be_the_size():
    """Heads of one size: their root is a constant, and right."""
    given = {**GIVEN, "parametrization": "mup"}

    def factory(heads):
        model = Attending(16 * heads, "1/√d", heads=heads)
        model.readout.weight.data.mul_(2**0.5)
        return model

    found = assert_width_stable(factory, (2, 4, 8, 16), batch(), **given)
    assert found.role("query") == "hidden"
    assert found.exponent("(logits)", "activation", 0).value == pytest.approx(0, abs=0.1)
    with pytest.raises(InitcheckFailure, match="layer 'value'"):
        assert_width_stable(
            lambda heads: drawn(factory(heads), "value", 1 / 4), (2, 4, 8, 16), batch(), **given
        )


class Mixture(nn.Module):
    """Experts of which a router picks two, or whose results are all added up."""

    def __init__(self, experts: int, *, is_routed: bool):
        super().__init__()
        self.router, self.readout = nn.Linear(INPUTS, experts), nn.Linear(16, CLASSES)
        self.experts = nn.ModuleList(nn.Linear(INPUTS, 16) for _ in range(experts))
        self.is_routed = is_routed

    def forward(self, x: Tensor) -> Tensor:
        made = torch.stack([expert(x) for expert in self.experts], 1)
        shares, picked = self.router(x).topk(2)
        if self.is_routed:
            made = made.take_along_dim(picked.unsqueeze(-1), 1) * shares.softmax(-1).unsqueeze(-1)
        return self.readout(made.sum(1))


def test_the_number_of_experts_may_be_the_size():
    x = torch.randn(16, INPUTS, generator=torch.Generator().manual_seed(1))
    given = {"batch": (x, torch.arange(16) % CLASSES), "parametrization": None, "steps": 1}
    sizes = (2, 4, 8, 16)
    found = assert_width_stable(lambda n: Mixture(n, is_routed=True), sizes, **given)
    assert (found.role("router"), found.role("experts.0")) == ("input", "fixed")
    assert "experts.1" in found.layers
    assert "experts.2" not in found.layers
    with pytest.raises(InitcheckFailure, match="layer 'readout': exponent of the activation"):
        assert_width_stable(lambda n: Mixture(n, is_routed=False), sizes, **given)
