"""Models that several processes hold together, and what is asked of them as of one."""

from __future__ import annotations
