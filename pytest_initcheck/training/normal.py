"""Draw weights and biases from N(0, sigma squared)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence.layer_names import ROOT

DRAWN = (nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd)


def draw_normal(
    model: nn.Module,
    sigma: float,
    layers: str | Iterable[str] = "all",
    generator: torch.Generator | None = None,
    *,
    example: Tensor | None = None,
) -> nn.Module:
    """Draw the weights and the biases of the chosen layers from N(0, sigma**2), in place.

    Args:
        model: the model to change.
        sigma: standard deviation, finite and at least 0.
        layers: "all" linear and convolutional layers, the "first" of them, or names of
            modules (as in ``named_modules``); of a module of another kind all parameters.
        generator: source of the numbers; None: torch's global one. The numbers are drawn on the
            CPU, so that every device gets the same.
        example: a batch of inputs; with it "first" is the first to run, without it the first to
            be registered.

    Returns:
        The same model.

    Raises:
        InitcheckError: sigma is not a standard deviation, or there is no such layer.
    """
    sigma = check_sigma(sigma)
    for name, module in choose(model, layers, example).items():
        places = _places(module)
        if not places:
            raise InitcheckError(f"layers: {name!r} has no weight or bias to draw")
        for owner, attribute in places:
            _draw(owner, attribute, name, sigma, generator)
    return model


def check_sigma(sigma: object) -> float:
    """The standard deviation as a float.

    Raises:
        InitcheckError: it is not a finite number of at least 0.
    """
    is_number = isinstance(sigma, (int, float)) and not isinstance(sigma, bool)
    if not is_number or not math.isfinite(sigma) or sigma < 0:  # type: ignore[operator,arg-type]
        raise InitcheckError(f"sigma: pass a standard deviation of at least 0, not {sigma!r}")
    return float(sigma)  # type: ignore[arg-type]


def _places(module: nn.Module) -> list[tuple[nn.Module, str]]:
    """Owner and name of every tensor to draw: by meaning in known layers, else all parameters."""
    if isinstance(module, DRAWN):
        return [(module, name) for name in ("weight", "bias") if getattr(module, name) is not None]
    return [
        (owner, name)
        for owner in module.modules()
        for name, _ in owner.named_parameters(recurse=False)
    ]


@torch.no_grad()
def _draw(
    owner: nn.Module, attribute: str, layer: str, sigma: float, generator: torch.Generator | None
) -> None:
    old = getattr(owner, attribute)
    if isinstance(old, UninitializedParameter):
        raise InitcheckError(f"layers: {layer!r} is lazy; run the model once before drawing")
    double = old.dtype == torch.float64
    dtype = torch.float64 if double else torch.float32
    values = torch.randn(old.shape, generator=generator, dtype=dtype).mul_(sigma).to(old)
    if isinstance(old, nn.Parameter):
        old.copy_(values)
        return
    if not parametrize.is_parametrized(owner, attribute):
        raise InitcheckError(
            f"layers: the {attribute} of {layer!r} is computed anew at every forward "
            "(weight_norm?), so that it cannot be drawn; draw before that wrapper is applied"
        )
    _set_parametrised(owner, attribute, layer, values)


def _set_parametrised(owner: nn.Module, attribute: str, layer: str, values: Tensor) -> None:
    reason = "its parametrisation turns the numbers into others"
    try:
        setattr(owner, attribute, values)
    except (NotImplementedError, RuntimeError, ValueError) as error:
        reason = str(error)
    else:
        scale = float(values.abs().max())
        if torch.allclose(getattr(owner, attribute), values, rtol=1e-3, atol=1e-3 * scale):
            return
    raise InitcheckError(
        f"layers: the parametrised {attribute} of {layer!r} cannot be set: {reason}"
    )


def choose(
    model: nn.Module, layers: str | Iterable[str], example: Tensor | None = None
) -> dict[str, nn.Module]:
    """The modules that ``layers`` means, by name.

    Raises:
        InitcheckError: no layer is linear or convolutional, or a name is not there.
    """
    if layers in ("first", "all"):
        found: dict[str, nn.Module] = {
            n: m for n, m in model.named_modules() if isinstance(m, DRAWN)
        }
        if not found:
            raise InitcheckError(
                f"layers: the model has no linear or convolutional layer for {layers!r}; "
                "pass the names of the layers to draw"
            )
        return found if layers == "all" else _first(model, found, example)
    names = [layers] if isinstance(layers, str) else list(layers)
    known = dict(model.named_modules())
    if isinstance(model, DRAWN):
        known[ROOT] = model
    if not names or any(name not in known for name in names):
        wrong = [name for name in names if name not in known]
        raise InitcheckError(
            f"layers: {wrong or names} is no layer; pass 'first', 'all' or some of "
            f"{[name for name in known if name]}"
        )
    return {name: known[name] for name in names}


def _first(
    model: nn.Module, found: dict[str, nn.Module], example: Tensor | None
) -> dict[str, nn.Module]:
    ran: list[str] = []
    if example is not None and len(found) > 1:
        ran = _execution(model, found, example)
    name = ran[0] if ran else next(iter(found))
    return {name: found[name]}


def _execution(model: nn.Module, found: dict[str, nn.Module], example: Tensor) -> list[str]:
    """Names in the order in which the layers run, on the model in evaluation mode."""
    ran: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: ran.append(name))
        for name, module in found.items()
    ]
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad():
            model.eval()(example)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode
    return ran
