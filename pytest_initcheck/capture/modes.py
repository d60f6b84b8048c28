"""Modes that see every call of torch: of its functions, or of the operators below autograd."""

from __future__ import annotations

from typing import Any

from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

Arguments = tuple[Any, ...]
Options = dict[str, Any]


class FunctionMode(TorchFunctionMode):
    """Hands every call of a function, as its author wrote it, to ``called``."""

    def __torch_function__(
        self, func: Any, types: Any, args: Arguments = (), kwargs: Options | None = None
    ) -> Any:
        return self.called(func, args, kwargs or {})

    def called(self, func: Any, args: Arguments, kwargs: Options) -> Any:
        """What the call gives."""
        return func(*args, **kwargs)


class OperatorMode(TorchDispatchMode):
    """Hands every call of an operator of the dispatcher to ``called``."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Where a mode is on, nothing is compiled, and torch's guard against it costs as much as
        # a small operator.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Arguments = (), kwargs: Options | None = None
    ) -> Any:
        return self.called(func, args, kwargs or {})

    def called(self, func: Any, args: Arguments, kwargs: Options) -> Any:
        """What the call gives."""
        return func(*args, **kwargs)
