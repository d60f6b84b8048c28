"""Which versions, on which machine: what a reader needs to judge a number."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from importlib import metadata

from pytest_initcheck.records import Entry

PACKAGES = ("pytest-initcheck", "torch", "torchvision", "numpy", "scipy", "pytest")


def now() -> str:
    """The time in UTC, to the second, as in ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def provenance(entries: Iterable[Entry] = (), time: str | None = None) -> dict[str, str]:
    """Versions, platform, device kinds of the entries, and the time (default: now).

    Reads the packages' metadata only, so that torch is not imported for it.
    """
    devices = {d for entry in entries if (d := device_of(entry))}
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "machine": platform.machine(),
        "device": ", ".join(sorted(devices)) or "cpu",
        "time": time or now(),
    }


def version(package: str) -> str:
    """The version that is imported, else the one that is installed, else "not installed"."""
    module = sys.modules.get(package.replace("-", "_"))
    known = getattr(module, "__version__", None)
    if isinstance(known, str):
        return known
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def device_among(entries: Iterable[Entry]) -> str:
    """The kind of device of the first record that names one; "" where none does."""
    return next(filter(None, map(device_of, entries)), "")


def device_of(entry: Entry) -> str | None:
    """The kind of device ("cpu", "cuda") that a record was made on; None where it is unknown."""
    return entry.record.setting("device").partition(":")[0] or None
