"""The processes that hold one model together: what they tell each other, and which one writes."""

from __future__ import annotations
