"""The ways to build a model, each as what it finds to be unlike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_initcheck.building import materialise
from pytest_initcheck.building.compare_tensors import (
    Unlike,
    common,
    copies_of,
    differs_in_distribution,
    is_close,
    is_equal,
    missing_or_reshaped,
    tensors_of,
    ties_of,
)
from pytest_initcheck.building.construct import recorded
from pytest_initcheck.capture.randomness import seed_all
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence.construction import ConstructionFacts

# Kernels that sum in another order differ by a few units of rounding per sum.
_ROUNDING = 1e-4


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The model that was built at once; see `Building.reference`."""

    model: nn.Module
    drawn: frozenset[str]
    whole: frozenset[str]
    room: frozenset[str]
    stories: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Building:
    """What ``assert_same_start`` was called with."""

    factory: Callable[[], Any]
    seed: int = 0
    batch: Any = None
    init: materialise.Initialise | None = None
    device: str | torch.device | None = None
    dtype: torch.dtype = torch.bfloat16
    backend: str = "aot_eager"
    ranks: int = 2

    def reference(self) -> Reference:
        """The model, what is a matter of chance in it (drawn, or other from another seed), what
        has all its values, what is room, and in words which of its tensors code outside of
        torch wrote."""
        model, facts = self.recorded()
        drawn = {built.name for built in facts.tensors if built.is_drawn}
        other = common(model, self.model(1))
        drawn |= {name for name, _, one, fresh in other if not is_equal(one, fresh)}
        stories = {built.name: str(built) for built in facts.tensors if built.is_asked}
        whole = frozenset(built.name for built in facts.tensors if not built.unwritten)
        return Reference(
            model=model,
            drawn=frozenset(drawn),
            whole=whole,
            room=room_of(facts),
            stories=stories,
        )

    def recorded(self) -> tuple[nn.Module, ConstructionFacts]:
        """The model from the first seed, and how it was built.

        Raises:
            InitcheckError: the factory is none, or returns no ``nn.Module`` with values.
        """
        seed_all(self.seed)
        model, facts = recorded(self.factory)
        if any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
            raise InitcheckError(materialise.LAZY)
        for name, (tensor, kind) in tensors_of(model).items():
            if tensor.is_meta:
                raise InitcheckError(
                    f"{kind} {name} is on the meta device, which holds no values; let the factory "
                    "build its model, as it starts a training"
                )
        return model, facts

    def model(self, step: int = 0, place: str = "") -> nn.Module:
        """The model from the first seed, or one so many seeds further, without a record.

        Raises:
            InitcheckError: the factory does not work at that ``place``, "in bfloat16".
        """
        seed_all(self.seed + step)
        try:
            model: nn.Module = self.factory()
        except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            if not place:
                raise
            raise InitcheckError(
                f"the factory cannot build its model {place} ({type(error).__name__}: {error})"
            ) from error
        return model


def room_of(facts: ConstructionFacts) -> frozenset[str]:
    """The names of tensors whose values are those of whatever memory held, and matter to nobody."""
    return frozenset(built.name for built in facts.tensors if built.is_room)


def twice(building: Building) -> Iterator[Unlike]:
    """One seed, one model; another seed, another one."""
    (first, facts), again, other = building.recorded(), building.model(), building.model(1)
    drawn = frozenset(built.name for built in facts.tensors if built.keeps_draw)
    unwritten = {built.name: built.unwritten for built in facts.tensors if built.unwritten}
    room = room_of(facts)
    yield from missing_or_reshaped(first, again)
    for name, kind, one, same in common(first, again):
        if name in room:
            continue
        if name in unwritten:
            why = f"{_share(unwritten[name])} of it never written: two builds are equal by accident"
            yield Unlike(name=name, kind=kind, why=why)
        elif not is_equal(one, same):
            yield Unlike(name=name, kind=kind, why=f"two builds from seed {building.seed} differ")
    for name, kind, one, fresh in common(first, other):
        is_fixed = name in drawn and kind == "parameter" and one.numel() > 1
        if is_fixed and is_equal(one, fresh) and not _is_constant(one):
            seeds = f"{building.seed} and {building.seed + 1}"
            yield Unlike(name=name, kind=kind, why=f"drawn, but the same from seeds {seeds}")


def by_meta(building: Building) -> Iterator[Unlike]:
    """Built at once, and on the meta device first."""
    eager = building.reference()
    model = materialise.poisoned(materialise.on_meta(lambda: building.model(1)))
    seed_all(building.seed + 1)
    with torch.no_grad():
        done = materialise.initialise(model, building.init)
    tied = frozenset(ties_of(eager.model))
    for one in _alike(eager, model, poison=f"{done.called} left it as to_empty() made it"):
        # What nothing of the model is there to do again, it did in its constructor alone.
        is_left_out = one.name not in done.meant
        yield replace(one, is_constructors=is_left_out and one.name in (eager.whole | tied))


def on_device(building: Building) -> Iterator[Unlike]:
    """Built on the CPU, and where it will run."""
    device = torch.device(building.device or _accelerator())
    eager = building.reference()
    with device:
        model = building.model(1, f"on {device}")
    yield from _alike(eager, model, unit=_ROUNDING)


def in_dtype(building: Building) -> Iterator[Unlike]:
    """Built in float32, and with another dtype as the default."""
    eager = building.reference()
    with _default_dtype(building.dtype):
        model = building.model(1, f"in {str(building.dtype).removeprefix('torch.')}")
    yield from _alike(eager, model, unit=2 * torch.finfo(building.dtype).eps)


def by_state_dict(building: Building) -> Iterator[Unlike]:
    """Saved by one, loaded by another."""
    (saved, facts), loaded = building.recorded(), building.model(1)
    try:
        loaded.load_state_dict(saved.state_dict(), strict=True)
    except RuntimeError as error:
        yield Unlike(name="state_dict", kind="the", why=str(error).replace("\n", " "))
        return
    kept, room = saved.state_dict().keys(), room_of(facts)
    for name, kind, one, other in common(saved, loaded):
        if name not in room and not is_equal(one, other):
            why = (
                "is not what was saved"
                if name in kept
                else "is not saved, and each model has its own"
            )
            yield Unlike(name=name, kind=kind, why=why)
    if building.batch is not None:
        yield from _outputs(saved.eval(), loaded.eval(), building, unit=0.0)


def compiled(building: Building) -> Iterator[Unlike]:
    """As it is, and through ``torch.compile``."""
    if building.batch is None:
        raise InitcheckError("how='compile' compares outputs; pass batch=, what the model takes")
    model = building.recorded()[0].eval()
    before = {name: tensor.detach().clone() for name, (tensor, _) in tensors_of(model).items()}
    # What was compiled of models of the same classes would serve for this one, its hooks left out.
    torch.compiler.reset()
    try:
        faster = torch.compile(model, backend=building.backend)
    except RuntimeError as error:
        raise InitcheckError(f"torch.compile does not take this model ({error})") from error
    yield from _outputs(model, faster, building, unit=_ROUNDING)
    for name, (tensor, kind) in tensors_of(model).items():
        if not is_equal(tensor.detach(), before[name]):
            yield Unlike(name=name, kind=kind, why="a forward pass in eval mode changed it")


def _alike(
    eager: Reference, model: nn.Module, *, unit: float = 0.0, poison: str = ""
) -> Iterator[Unlike]:
    yield from missing_or_reshaped(eager.model, model)
    pairs = [pair for pair in common(eager.model, model) if pair[0] not in eager.room]
    frozen = copies_of(eager.model)
    for name, kind, one, other in pairs:
        left = float(materialise.is_poisoned(other).float().mean()) if poison and one.numel() else 0
        if left and not bool(materialise.is_poisoned(one).any()):
            why = f"{_share(left)} of it never written: {poison}"
        else:
            is_drawn = name in eager.drawn
            why = _why(name, one, other, is_drawn=is_drawn, unit=unit, count=len(pairs))
        if not why and name in frozen:
            why = _parted(frozen[name], other, model)
        if why:
            built = eager.stories.get(name, "")
            why = f"{why} (built at once it is {built})" if built else why
            yield Unlike(name=name, kind=kind, why=why)


def _parted(original: str, copy: Tensor, model: nn.Module) -> str:
    """A frozen copy that is none here: nothing brings it back, as a training would not."""
    found = tensors_of(model).get(original)
    if found is None or found[0].shape != copy.shape or is_equal(found[0].detach(), copy):
        return ""
    return f"built at once it is a copy of {original}, and here it is not"


def _share(part: float) -> str:
    return "all" if part >= 1 else f"{100 * part:.3g} %"


def _why(name: str, one: Tensor, other: Tensor, *, is_drawn: bool, unit: float, count: int) -> str:
    if is_drawn:
        # One number for all elements, drawn by another library, is a sample of one.
        if _is_constant(one) and _is_constant(other):
            return ""
        return differs_in_distribution(name, one, other, 1 / count, unit)
    if is_close(one, other, unit) if unit else is_equal(one, other):
        return ""
    gap = (one.double().cpu() - other.double().cpu()).abs()
    return f"not drawn, but differs, by up to {float(gap.max()):.4g}"


def _outputs(
    one: Callable[..., Any], other: Callable[..., Any], building: Building, *, unit: float
) -> Iterator[Unlike]:
    results = []
    for model in (one, other):
        seed_all(building.seed)
        with torch.no_grad():
            results.append(list(_flat(_called(model, building.batch))))
    for place, (a, b) in enumerate(zip(*results, strict=True)):
        largest = float(a.double().abs().max()) if a.numel() else 0.0
        gap = float((a.double() - b.double()).abs().max()) if a.numel() else 0.0
        if not gap <= unit * largest:
            yield Unlike(name=str(place), kind="output", why=f"differs by up to {gap:.4g}")


def _called(model: Callable[..., Any], batch: Any) -> Any:
    if isinstance(batch, Mapping):
        return model(**batch)
    return model(*batch) if isinstance(batch, (tuple, list)) else model(batch)


def _flat(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _flat(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _flat(item)


def _is_constant(tensor: Tensor) -> bool:
    return not tensor.numel() or bool((tensor == tensor.reshape(-1)[0]).all())


def _accelerator() -> str:
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    raise InitcheckError("there is no accelerator here; pass device=, or skip this test on the CPU")


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
