"""One call of an operator while a model is traced, and where what it reads comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pytest_initcheck.capture.operators import MIXING, storage_key, tensors_among


@dataclass(kw_only=True, slots=True)
class Origin:
    """Where the content of a storage comes from."""

    node: int = -1
    layer: str = ""
    order: int = -1
    params: tuple[str, ...] = ()
    is_parameter: bool = False
    is_data: bool = False


class Operation:
    """A call of an operator; ``origins`` are those of its ``tensors``, None where unknown.

    ``weights`` are the matrices and kernels among what it reads that are made of parameters alone,
    ``params`` the names of all parameters that it reads, ``data`` the origins of what it reads
    beside them, ``others`` the tensors that are not made of parameters, and ``sources`` the nodes
    that made its tensors, None for parameters and what is unknown; ``keys`` tell their storages.
    """

    def __init__(
        self, func: Any, operator: str, args: tuple[Any, ...], options: dict[str, Any], origins: Any
    ) -> None:
        self.func, self.operator, self.args, self.options = func, operator, args, options
        self.tensors: list[Tensor] = tensors_among(args, options)
        self.keys = [storage_key(tensor) for tensor in self.tensors]
        self.origins: list[Origin | None] = [origins(key) for key in self.keys]
        self.weights: list[tuple[Tensor, Origin]] = []
        self.data: list[Origin] = []
        self.others: list[Tensor] = []
        self.sources: list[int | None] = []
        made_of: tuple[str, ...] = ()
        for tensor, origin in zip(self.tensors, self.origins, strict=True):
            if origin is not None and origin.is_parameter:
                made_of += origin.params
                if tensor.dim() > 1:
                    self.weights.append((tensor, origin))
                self.sources.append(None)
                continue
            self.others.append(tensor)
            if origin is not None:
                self.data.append(origin)
            self.sources.append(None if origin is None else origin.node)
        self.params = tuple(dict.fromkeys(made_of)) if made_of else ()

    @property
    def is_of_parameters(self) -> bool:
        """Whether it works on parameters alone.

        Tensors of unknown origin (masks, constants) do not change what a weight is made of.
        """
        return bool(self.params) and not self.data

    @property
    def latest(self) -> tuple[int, str]:
        """Where in the order of layers its data come from, and which layer made them last."""
        latest = max(self.data, key=_order, default=None)
        return (latest.order, latest.layer) if latest else (-1, "")

    def received(self) -> tuple[Tensor | None, bool]:
        """The data that a mixing operator receives, the latest made where there are several.

        And whether no layer has worked on them yet.
        """
        if self.operator not in MIXING:
            return None, False
        pairs = zip(self.tensors, self.origins, strict=True)
        data = [(o.order, t) for t, o in pairs if o and o.is_data and t.is_floating_point()]
        order, tensor = max(data, key=lambda pair: pair[0], default=(0, None))
        return tensor, order < 0

    def is_view(self, results: list[Tensor]) -> bool:
        """Whether all that it gave lies in what it read, unchanged."""
        if self.func._schema.is_mutable:
            return False
        return all(storage_key(result) in self.keys for result in results)


def _order(origin: Origin) -> int:
    return origin.order
