"""Kernels that run operator by operator, where fused ones would hide what happens."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def operator_by_operator() -> Iterator[None]:
    """Scripted and compiled code, and attention, run the operators one by one, to be seen.

    The backward pass belongs inside too: it runs checkpointed code a second time, which must take
    the same kernels.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH))
        yield


@contextmanager
def unfused() -> Iterator[None]:
    """Recurrent layers run their gates one by one: the fused kernels hide them."""
    with ExitStack() as stack:
        with warnings.catch_warnings():
            # Builds without a GPU of the vendor warn about a flag that is only passed through.
            warnings.simplefilter("ignore")
            stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        try:
            yield
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                stack.close()
