"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is slow; that is no failure.
settings.register_profile("convcli", deadline=None)
settings.load_profile("convcli")
