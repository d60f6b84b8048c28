"""What the trace keeps of a call of an operator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pytest_initcheck.capture.operation import Operation
from pytest_initcheck.capture.operators import axis_of, less_defaults, parts_read, width_of
from pytest_initcheck.capture.written import constants
from pytest_initcheck.evidence import Node


def node_of(
    call: Operation,
    results: Sequence[Tensor],
    *,
    index: int,
    owner: str,
    layer: str,
    is_layer: bool,
    nonlinearity: str,
) -> Node:
    """The node of a call that has made ``results``, in the module ``owner``."""
    return Node(
        index=index,
        operator=call.operator,
        owner=owner,
        inputs=tuple(dict.fromkeys([origin.node for origin in call.data])),
        params=call.params,
        layer=layer,
        is_layer=is_layer,
        nonlinearity=nonlinearity,
        shape=tuple(results[0].shape) if results else (),
        width=width_of(call.operator, call.args),
        axis=axis_of(call.operator, call.args),
        shut_off=not torch.is_grad_enabled(),
        reads=parts_read(call.tensors, call.sources),
        constants=constants(less_defaults(call.func, call.args), call.options),
    )
