"""What all tasks share, pickled once and opened once in every worker.

Functions and classes of the user's own modules are pickled by value, since a worker may have no
file of them; those of installed packages by name
(https://github.com/cloudpipe/cloudpickle#overriding-pickles-serialization-mechanism-for-importable-constructs).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import pickle
import sys
import sysconfig
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Protocol

from pytest_initcheck.errors import InitcheckError

_PACKAGE = __name__.partition(".")[0]
_INSTALLED = ("site-packages", "dist-packages")
_KEPT = 2  # Opened parcels that a worker keeps: those of a run, and of one beside it.
_LOCK = threading.Lock()
_OPENED: OrderedDict[str, Any] = OrderedDict()


class Parcel(Protocol):
    """Pickled data on their way, or the place where they lie."""

    @property
    def digest(self) -> str: ...

    def read(self) -> bytes:
        """The data, in the worker."""
        ...


@dataclass(frozen=True)
class Sent:
    """Data that the engine itself carries to the workers."""

    digest: str
    data: bytes

    def read(self) -> bytes:
        """The data."""
        return self.data


@dataclass(frozen=True)
class Filed:
    """Data in a file that workers on this machine read."""

    digest: str
    path: Path

    def read(self) -> bytes:
        """The data."""
        return self.path.read_bytes()


def packed(shared: object) -> Sent:
    """The object, to be opened elsewhere.

    Raises:
        InitcheckError: something that it holds cannot be pickled.
    """
    data = _pickled(shared)
    return Sent(hashlib.sha256(data).hexdigest(), data)


def opened(parcel: Parcel) -> Any:
    """What was packed; one and the same for all tasks of a process."""
    with _LOCK:
        if parcel.digest not in _OPENED:
            _OPENED[parcel.digest] = pickle.loads(parcel.read())
            while len(_OPENED) > _KEPT:
                _OPENED.popitem(last=False)
        _OPENED.move_to_end(parcel.digest)
        return _OPENED[parcel.digest]


def _pickled(shared: object) -> bytes:
    try:
        with _by_value():
            return _dumped(shared)
    except Exception:
        # A module may hold a lock or a file that its functions use: then by name.
        pass
    try:
        return _dumped(shared)
    except Exception as error:
        raise InitcheckError(
            f"backend: what the tasks need cannot be sent to another process: {error}; make it "
            "inside of the function that uses it, or leave out backend="
        ) from error


def _dumped(shared: object) -> bytes:
    import cloudpickle

    known = cloudpickle.Pickler.dispatch_table
    code = functools.partial(_with_its_file, known[CodeType])
    # Of the class, since the pickler looks it up while it is made.
    kind = type(
        "Pickler", (cloudpickle.Pickler,), {"dispatch_table": known.new_child({CodeType: code})}
    )
    stream = io.BytesIO()
    kind(stream).dump(shared)
    return stream.getvalue()


def _with_its_file(reduce: Callable[[CodeType], Any], code: CodeType) -> Any:
    """Cloudpickle leaves out the file of a function, which errors are to name."""
    make, values = reduce(code)[:2]
    return coded, (make, values, code.co_filename)


def coded(make: Callable[..., CodeType], values: tuple[Any, ...], file: str) -> CodeType:
    """The code of a function, in the worker."""
    return make(*values).replace(co_filename=file)


@contextlib.contextmanager
def _by_value() -> Iterator[None]:
    """Inside, what is defined in the user's own modules is pickled as a whole."""
    import cloudpickle

    known = cloudpickle.list_registry_pickle_by_value()
    # By name, since a module may stand in several places.
    mine = {m.__name__: m for m in list(sys.modules.values()) if _is_users(m)}
    with contextlib.ExitStack() as stack:
        for module in (m for name, m in mine.items() if name not in known):
            cloudpickle.register_pickle_by_value(module)
            stack.callback(cloudpickle.unregister_pickle_by_value, module)
        yield


def _is_users(module: object) -> bool:
    """Whether its code is no installed package's, nor Python's, nor this package's."""
    file = getattr(module, "__file__", None)
    if not isinstance(module, ModuleType) or not isinstance(file, str):
        return False
    name = module.__name__
    if name.partition(".")[0] == _PACKAGE or sys.modules.get(name) is not module:
        return False
    path = Path(file)
    library = Path(sysconfig.get_paths()["stdlib"])
    return library not in path.parents and not any(part in _INSTALLED for part in path.parts)
