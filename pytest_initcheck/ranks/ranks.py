"""Messages between the ranks that hold a model together; a failure on one is told to all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.ranks.writer import rank_here

_FINE, _FAILED = range(2)
_MOST = 4000


class RankError(InitcheckError):
    """Another rank failed; the message holds what it said."""


class Ranks:
    """The members of a job that hold one model together, in the order of their ranks.

    Everything that they say goes over a group of its own (gloo, on the CPU), so that no message
    can meet one of the model's. Whoever fails says that in place of the next message, so that
    nobody waits for it.
    """

    def __init__(self, members: Sequence[int]) -> None:
        self.members = tuple(members)
        self.rank = self.members.index(dist.get_rank())
        # Whether a collective that runs now is theirs, and none of the model.
        self.is_talking = False
        # Members alone need to call this; those of another stage of a pipeline do not.
        with self._in_time():
            self._group: Any = dist.new_group(
                list(members), timeout=_patience(), backend="gloo", use_local_synchronization=True
            )

    @property
    def size(self) -> int:
        """How many they are."""
        return len(self.members)

    def exchange(self, body: bytes = b"") -> list[bytes]:
        """What every rank says, in their order; all have to call this.

        Raises:
            RankError: one of them failed, or is gone.
        """
        return self._said(self._swapped(_FINE, body))

    def check(self) -> None:
        """Go on only where all ranks do.

        Raises:
            RankError: one of them failed, or is gone.
        """
        self.exchange()

    @contextlib.contextmanager
    def joint(self) -> Iterator[None]:
        """Inside, an error on one rank is raised on all, at the next message.

        The body has to end with a message, since whoever has left it hears of no error.
        """
        try:
            yield
        except RankError:
            raise
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"[:_MOST]
            with contextlib.suppress(RankError):
                self._swapped(_FAILED, text.encode())
            raise

    def _swapped(self, status: int, body: bytes) -> list[tuple[int, bytes]]:
        with self._in_time():
            heads = self._gathered(torch.tensor([status, len(body)]))
            sizes = [int(head[1]) for head in heads]
            mine = torch.zeros(max(sizes), dtype=torch.uint8)
            if body:
                mine[: len(body)] = torch.frombuffer(bytearray(body), dtype=torch.uint8)
            parts = self._gathered(mine) if max(sizes) else [mine] * self.size
        pairs = zip(heads, parts, sizes, strict=True)
        return [(int(head[0]), part[:size].numpy().tobytes()) for head, part, size in pairs]

    @contextlib.contextmanager
    def _in_time(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            text = " ".join(str(error).split())[:300]
            raise RankError(
                f"rank {self.members[self.rank]} waited for the others in vain ({text}): let every "
                "rank make the same calls on the same model, each with its part of the batch"
            ) from error

    def _gathered(self, mine: Tensor) -> list[Tensor]:
        found = [torch.empty_like(mine) for _ in self.members]
        self.is_talking = True
        try:
            dist.all_gather(found, mine, group=self._group)
        finally:
            self.is_talking = False
        return found

    def _said(self, messages: list[tuple[int, bytes]]) -> list[bytes]:
        for member, (status, body) in zip(self.members, messages, strict=True):
            if status == _FAILED:
                raise RankError(
                    f"rank {member} of {self.size} failed, and so does rank "
                    f"{self.members[self.rank]}; it said: {body.decode(errors='replace')}"
                )
        return [body for _, body in messages]


def _patience() -> timedelta | None:
    """How long the job's own group waits; None, which stands for half an hour, where unknown."""
    job: Any = dist.group.WORLD
    with contextlib.suppress(RuntimeError, AttributeError):
        found: timedelta = job._get_backend(torch.device("cpu")).options._timeout
        return found
    return None


_held: dict[tuple[int, ...], tuple[Any, Ranks]] = {}


def ranks_of(members: Sequence[int]) -> Ranks:
    """The ranks of these members of the job; all of them have to call this.

    Their group is made once, and again only where the job's own group is another one.
    """
    world, key = dist.group.WORLD, tuple(members)
    known = _held.get(key)
    if known is None or known[0] is not world:
        rank_here()
        _held[key] = known = world, Ranks(key)
    return known[1]
