"""Designs: functions that return taps.

The registry imports a family when one of its steps is asked for.
"""

from __future__ import annotations

from convcli.designs.registry import Step, answer_for, find, is_step, steps

__all__ = ["Step", "answer_for", "find", "is_step", "steps"]
