"""Warnings about a loss, which reports list by themselves."""

from __future__ import annotations


class Loss(str):
    """A warning about something of the input that the output does not have, or has less exactly.

    Other warnings are plain texts.
    """

    __slots__ = ()


def reworded(warning: str, text: str) -> str:
    """Another text of a warning, of the same kind.

    >>> type(reworded(Loss("2 frames are lost"), "a.wav: 2 frames are lost")).__name__
    'Loss'
    """
    return Loss(text) if isinstance(warning, Loss) else text
