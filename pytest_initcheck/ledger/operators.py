"""What an operator does to memory: makes it, writes to it, looks at it or leaves it alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Written whole, whatever was there before. All others that write in place read it first.
_REPLACING = frozenset(
    {
        "bernoulli_", "cauchy_", "copy_", "exponential_",
        "fill_", "geometric_", "log_normal_", "normal_",
        "random_", "set_", "uniform_", "zero_",
        "_foreach_zero_", "_foreach_copy_", "eye_",
    }
)  # fmt: skip
_DRAWING = frozenset(
    {
        "bernoulli", "bernoulli_", "cauchy_", "exponential_",
        "geometric_", "log_normal_", "multinomial", "normal",
        "normal_", "poisson", "rand", "rand_like",
        "randint", "randint_like", "randn", "randn_like",
        "random_", "randperm", "uniform", "uniform_",
    }
)  # fmt: skip
# Few different values come out, whatever goes in.
_DISCRETE = frozenset(
    {
        "bernoulli", "bernoulli_", "bucketize", "ceil", "floor", "geometric_", "multinomial",
        "poisson", "randint", "randint_like", "random_", "randperm", "round", "round_", "sign",
        "sign_", "trunc", "ceil_", "floor_", "trunc_", "gt", "ge", "lt", "le", "heaviside",
    }
)  # fmt: skip
_EMPTY = frozenset(
    {
        "empty", "empty_like", "empty_permuted", "empty_strided",
        "new_empty", "new_empty_strided",
    }
)  # fmt: skip
# Made of the shape of what they are given, not of its values.
_BY_SHAPE = frozenset(
    {
        "full_like", "new_full", "new_ones", "new_zeros",
        "ones_like", "rand_like", "randint_like", "randn_like",
        "zeros_like",
    }
)  # fmt: skip
# They write to what their schema does not name: running statistics, and what processes exchange.
_TRACKING = frozenset(
    {"native_batch_norm", "batch_norm_update_stats", "cudnn_batch_norm", "miopen_batch_norm"}
)
_TRACKED = frozenset({"running_mean", "running_var"})
_COLLECTIVE = "c10d::"


@dataclass(frozen=True, kw_only=True)
class Effect:
    """``written`` are the places and names of the arguments that it writes to; ``makes``: a result
    has memory of its own, which is ``is_empty`` or has values; ``reads``: these depend on tensors
    among the arguments, others than those that it writes to; ``is_view``: it does none of that.
    ``is_later``: what it writes may come after it has returned; ``training``: the place of the
    argument without which it does not write, -1 where there is none."""

    name: str
    written: tuple[tuple[int, str], ...]
    makes: bool
    is_empty: bool
    reads: bool
    replaces: bool
    draws: bool
    discrete: bool
    arguments: tuple[str, ...]
    is_view: bool
    is_later: bool = False
    training: int = -1


# By number, since the hash of an operator is computed anew each time; it is held, so that no number
# comes again.
_known: dict[int, tuple[Effect, Any]] = {}


def effect(operator: Any) -> Effect:
    """What an ``OpOverload`` does, by its schema; its name alone says whether it reads first."""
    found = _known.get(id(operator))
    if found is None:
        found = _known[id(operator)] = _effect(operator), operator
    return found[0]


def _effect(operator: Any) -> Effect:
    schema = operator._schema
    name = schema.name.split("::")[-1]
    is_collective = schema.name.startswith(_COLLECTIVE) and name.endswith("_")
    written = tuple(
        (place, argument.name)
        for place, argument in enumerate(schema.arguments)
        if (argument.alias_info is not None and argument.alias_info.is_write)
        or (argument.alias_info is None and name in _TRACKING and argument.name in _TRACKED)
        or (is_collective and place == 0)
    )
    takes = any(
        "Tensor" in str(argument.type)
        and (argument.alias_info is None or not argument.alias_info.is_write)
        for argument in schema.arguments
    )
    arguments = tuple(argument.name for argument in schema.arguments)
    is_out = any(argument == "out" for _, argument in written)
    makes = name == "lift_fresh" or any(result.alias_info is None for result in schema.returns)
    return Effect(
        name="tensor" if name == "lift_fresh" else name,
        written=written,
        makes=makes,
        is_empty=name in _EMPTY,
        reads=takes and name not in _BY_SHAPE | _EMPTY,
        replaces=is_out or name in _REPLACING or (is_collective and "reduce" not in name),
        draws=name in _DRAWING,
        discrete=name in _DISCRETE,
        arguments=arguments,
        is_view=not (written or makes),
        is_later=is_collective,
        training=arguments.index("training") if {"training", *_TRACKED} <= set(arguments) else -1,
    )
