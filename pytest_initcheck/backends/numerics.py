"""Settings of torch that numbers depend on, taken to where tasks are done."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Numerics:
    """Settings of torch in a process; a sum over several threads is rounded in another order."""

    threads: int
    dtype: torch.dtype
    deterministic: bool
    warns_only: bool
    precision: str

    @staticmethod
    def here() -> Numerics:
        """Those of this process."""
        return Numerics(
            threads=torch.get_num_threads(),
            dtype=torch.get_default_dtype(),
            deterministic=torch.are_deterministic_algorithms_enabled(),
            warns_only=torch.is_deterministic_algorithms_warn_only_enabled(),
            precision=torch.get_float32_matmul_precision(),
        )

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, this process computes with them."""
        own = Numerics.here()
        self._set()
        try:
            yield
        finally:
            own._set()

    def _set(self) -> None:
        torch.set_num_threads(self.threads)
        torch.set_default_dtype(self.dtype)
        torch.use_deterministic_algorithms(self.deterministic, warn_only=self.warns_only)
        torch.set_float32_matmul_precision(self.precision)


def machine() -> str:
    """What equal programs need to round alike: the version of torch, and the processor's kind."""
    kernels = torch.backends.cpu.get_cpu_capability()
    return f"torch {torch.__version__} on {platform.machine()} with {kernels}"
