"""``python -m pytest_initcheck`` is the same as ``initcheck``."""

from __future__ import annotations

import sys

from pytest_initcheck.cli import main

sys.exit(main())
