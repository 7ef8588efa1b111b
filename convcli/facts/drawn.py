"""Fields of facts that reports draw and do not write down."""

from __future__ import annotations

from types import MappingProxyType

# The metadata of a field that is for drawings alone: JSON leaves it out.
DRAWN = MappingProxyType({"drawn": True})
