"""Fields of facts that are drawn and not told."""

from __future__ import annotations

from types import MappingProxyType

# The metadata of a field that is for drawings alone: JSON leaves it out.
DRAWN = MappingProxyType({"drawn": True})
