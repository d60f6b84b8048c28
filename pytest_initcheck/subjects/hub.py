"""Models of torch.hub: ``hub:owner/repo:entry``, or ``hub:FOLDER:entry`` without a network."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any
from urllib.error import URLError

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.subjects.find import find
from pytest_initcheck.subjects.raised import said


def of_hub(name: str, placed: list[Any], named: dict[str, Any]) -> Any:
    """What an entry of a repository's hubconf.py makes; with a branch, ``owner/repo:branch:entry``.

    torch.hub asks on the terminal before it runs the code of a repository for the first time.

    Raises:
        InitcheckError: the name lacks a part, the repository cannot be had or is not trusted yet,
            or it has no such entry. What the entry itself raises passes through.
    """
    repository, _, entry = name.rpartition(":")
    if not repository or not entry:
        raise InitcheckError(
            f"hub:{name}: pass hub:owner/repo:entry, such as hub:pytorch/vision:resnet18, or "
            "hub:FOLDER:entry for a folder with a hubconf.py"
        )
    if Path(repository).is_dir():
        return find(f"{repository}/hubconf.py:{entry}")(*placed, **named)
    entries = _entries(repository, entry)
    if entry not in entries:
        known = ", ".join(entries[:10]) or "none"
        raise InitcheckError(f"hub:{name}: {repository} has no {entry!r}; it has {known}")
    hub = importlib.import_module("torch.hub")
    return hub.load(repository, entry, *placed, verbose=False, **named)


def _entries(repository: str, entry: str) -> list[str]:
    hub = importlib.import_module("torch.hub")
    try:
        return list(hub.list(repository, trust_repo="check", verbose=False))
    except EOFError:
        raise InitcheckError(
            f"hub:{repository}: is not trusted yet, and there is no terminal to ask on; run once: "
            f'python -c "import torch; torch.hub.list({repository!r}, trust_repo=True)"'
        ) from None
    except (URLError, TimeoutError, ConnectionError) as error:
        raise InitcheckError(
            f"hub:{repository}: could not be fetched ({said(error)}); without a network clone it, "
            f"and pass hub:FOLDER:{entry}"
        ) from None
    except Exception as error:
        raise InitcheckError(f"hub:{repository}: reading it raised {said(error)}") from error
