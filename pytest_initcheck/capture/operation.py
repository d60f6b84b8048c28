"""One call of an operator while a model is traced, and where what it reads comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from pytest_initcheck.capture.operators import MIXING, flat_tensors, storage_key


@dataclass(kw_only=True)
class Origin:
    """Where the content of a storage comes from."""

    alive: StorageWeakRef
    node: int = -1
    layer: str = ""
    order: int = -1
    params: tuple[str, ...] = ()
    is_parameter: bool = False
    is_data: bool = False


@dataclass(kw_only=True)
class Operation:
    """A call of an operator; ``origins`` are those of its ``tensors``, None where unknown."""

    func: Any
    operator: str
    args: tuple[Any, ...]
    options: dict[str, Any]
    tensors: list[Tensor]
    origins: list[Origin | None]

    def __post_init__(self) -> None:
        pairs = zip(self.tensors, self.origins, strict=True)
        self._known = [(tensor, origin) for tensor, origin in pairs if origin is not None]

    @property
    def weights(self) -> list[tuple[Tensor, Origin]]:
        """The matrices and kernels among what it reads that are made of parameters alone."""
        return [(t, o) for t, o in self._known if o.is_parameter and t.dim() > 1]

    @property
    def params(self) -> tuple[str, ...]:
        """The names of all parameters that it reads."""
        made_of = (o.params for _, o in self._known if o.is_parameter)
        return tuple(dict.fromkeys(name for params in made_of for name in params))

    @property
    def is_of_parameters(self) -> bool:
        """Whether it works on parameters alone.

        Tensors of unknown origin (masks, constants) do not change what a weight is made of.
        """
        return bool(self.params) and all(origin.is_parameter for _, origin in self._known)

    @property
    def data(self) -> list[Origin]:
        """The origins of what it reads beside parameters."""
        return [origin for _, origin in self._known if not origin.is_parameter]

    @property
    def others(self) -> list[Tensor]:
        """What it reads that is not made of parameters."""
        pairs = zip(self.tensors, self.origins, strict=True)
        return [tensor for tensor, origin in pairs if not (origin and origin.is_parameter)]

    @property
    def sources(self) -> list[int | None]:
        """The nodes that made its tensors, None for parameters and what is unknown."""
        return [o.node if o and not o.is_parameter else None for o in self.origins]

    def received(self) -> tuple[Tensor | None, bool]:
        """The data that a mixing operator receives, the latest made where there are several.

        And whether no layer has worked on them yet.
        """
        if self.operator not in MIXING:
            return None, False
        data = [(o.order, t) for t, o in self._known if o.is_data and t.is_floating_point()]
        order, tensor = max(data, key=lambda pair: pair[0], default=(0, None))
        return tensor, order < 0

    def is_view(self, results: list[Tensor]) -> bool:
        """Whether all that it gave lies in what it read, unchanged."""
        keys = {storage_key(tensor) for tensor in self.tensors}
        is_mutable: bool = self.func._schema.is_mutable
        return not is_mutable and all(storage_key(result) in keys for result in results)

    @classmethod
    def of(cls, func: Any, operator: str, args: Any, kwargs: Any, origin_of: Any) -> Operation:
        """The call of an operator; ``origin_of`` gives the origin of a tensor."""
        tensors = flat_tensors((args, kwargs))
        origins = [origin_of(tensor) for tensor in tensors]
        return cls(
            func=func,
            operator=operator,
            args=args,
            options=kwargs,
            tensors=tensors,
            origins=origins,
        )
