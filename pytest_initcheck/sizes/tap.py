"""A mode that sees every product of data with a weight in a forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from pytest_initcheck.capture.eager import unfused
from pytest_initcheck.capture.modes import Arguments, OperatorMode, Options
from pytest_initcheck.capture.operators import flat_tensors, storage_key, tensors_among
from pytest_initcheck.sizes.contraction import FACTORS, Contraction, contraction
from pytest_initcheck.sizes.logits import KEEPING, SOFTMAXES, Key, Logits

_VIEWS = frozenset(
    {"t", "view", "_unsafe_view", "transpose", "permute", "expand", "slice", "select", "detach",
     "unsqueeze", "squeeze", "split", "split_with_sizes", "chunk", "alias", "as_strided", "unbind"}
)  # fmt: skip
_SCALING = ("mul", "mul_", "div", "div_")
_ADDING = ("add", "add_")


@dataclass(frozen=True)
class _Scaled:
    """A tensor that is some other times a constant; ``key`` is the product that made that other.

    The tensor is held so that its storage is not used again during the pass.
    """

    tensor: Tensor
    key: Key | None
    factor: float


class Tap(OperatorMode):
    """Sees below autograd which data is multiplied with which weight, however it is written.

    What is made of weights alone (a scaled or normalised weight) stands for the weight. A constant
    that the program multiplies the data or the result with belongs to the product, as the
    multipliers of parametrisations do, but for what goes on into a product of data with data: how
    a query is scaled is a matter of the attention.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._parameters = {storage_key(p): name for name, p in model.named_parameters()}
        self._is_recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
        self.found: dict[Key, Contraction] = {}
        self.first_made: Tensor | None = None
        self.logits = Logits()
        self._weights: dict[int, str] = {}
        self._scaled: dict[int, _Scaled] = {}
        self._held: list[Any] = []

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Inside, one forward pass runs; ``found`` then holds the last use of every weight."""
        self.found, self.first_made, self.logits = {}, None, Logits()
        self._weights, self._scaled = dict(self._parameters), {}
        with ExitStack() as stack:
            if self._is_recurrent:
                stack.enter_context(unfused())
            stack.enter_context(self)
            yield
        self._held, self._scaled = [], {}

    def called(self, func: Any, args: Arguments, kwargs: Options) -> Any:
        out = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name in _VIEWS:
            return out
        if name in FACTORS:
            self._see_product(name, args, out)
        elif name.startswith("_scaled_dot_product"):
            self._unfold(args)
            self.logits.fuse(self._last, args, kwargs.get("scale"))
        elif name in SOFTMAXES:
            self.logits.take(args[0])
        else:
            if name in KEEPING:
                self.logits.follow(args, out, _factor(name, args))
            self._follow(name, args, kwargs, out)
        return out

    @property
    def _last(self) -> Key | None:
        """The product with a weight that was the last one."""
        return next(reversed(self.found), None)

    def _see_product(self, operator: str, args: Arguments, out: Tensor) -> None:
        factors = [args[place] for place in FACTORS[operator]]
        owners = [self._weights.get(storage_key(factor)) for factor in factors]
        if all(owners):
            self._claim(out, owners[0] or "")
            return
        parameter = owners[0] or owners[1]
        if parameter is None:
            self._unfold(factors)
            self.logits.see(self._last, factors[0], out)
            return
        is_first = owners[0] is not None
        made = contraction(operator, args, out, parameter, is_first=is_first)
        known = self._scaled.get(storage_key(factors[is_first]))
        made.before = known.factor if known and known.key is None else 1.0
        key = (parameter, operator)
        self.found.pop(key, None)
        self.found[key] = made
        self._scaled[storage_key(out)] = _Scaled(out, key, 1.0)
        if self.first_made is None:
            self.first_made = out

    def _claim(self, out: Any, parameter: str) -> None:
        for tensor in flat_tensors(out):
            self._weights[storage_key(tensor)] = parameter
        self._held.append(out)

    def _unfold(self, factors: Any) -> None:
        for factor in flat_tensors(list(factors)):
            known = self._scaled.get(storage_key(factor))
            if known and known.key is not None:
                self.found[known.key].after = 1.0

    def _follow(self, name: str, args: Arguments, kwargs: Options, out: Any) -> None:
        first = args[0] if args else None
        is_of_data = isinstance(first, Tensor) and storage_key(first) not in self._weights
        if is_of_data and name not in _SCALING and name not in _ADDING:
            return
        tensors = tensors_among(args, kwargs)
        owners = [self._weights.get(storage_key(tensor)) for tensor in tensors]
        if owners and all(owners):
            self._claim(out, owners[0] or "")
        elif name in _SCALING:
            self._scale(name, args, owners, out)
        elif name in _ADDING and len(tensors) == 2 and any(owners):
            data = tensors[0] if owners[0] is None else tensors[1]
            known = self._scaled.get(storage_key(data))
            if known is not None:
                self._scaled[storage_key(out)] = _Scaled(out, known.key, known.factor)

    def _scale(self, name: str, args: Arguments, owners: list[str | None], out: Any) -> None:
        data, factor = args[0], _factor(name, args)
        if factor is None or any(owners) or not isinstance(data, Tensor):
            return
        known = self._scaled.get(storage_key(data))
        key, already = (known.key, known.factor) if known else (None, 1.0)
        self._scaled[storage_key(out)] = _Scaled(out, key, already * factor)
        if key is not None:
            self.found[key].after = already * factor


def _factor(name: str, args: Arguments) -> float | None:
    """The constant that an operator multiplies with; None where it is another, or has none."""
    by = _constant(args[1]) if name in _SCALING else None
    return 1 / by if by is not None and name.startswith("div") else by


def _constant(value: Any) -> float | None:
    """The number that something is multiplied with; None for none, for zero and what is learnt."""
    if isinstance(value, Tensor):
        is_number = value.dim() == 0 and not value.requires_grad
    else:
        is_number = isinstance(value, (int, float))
    return float(value) or None if is_number else None
