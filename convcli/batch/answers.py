"""Answers of a process: what many of them share is sent once, and afterwards only its number.

The inputs of a batch share few designs and media. The design of a step holds thousands of numbers
where a report draws it.
"""

from __future__ import annotations

import io
import pickle
from typing import Any, NamedTuple

from convcli.facts import StepFacts
from convcli.signals import Medium

# Values of these types are shared. They are equal only if they are the same in every report.
_SHARED_TYPES = (StepFacts, Medium)
# So many shared values are kept for later answers; then both ends begin anew.
MOST_SHARED = 64


class SentAnswer(NamedTuple):
    """An answer as it is sent.

    anew : both ends forget what was sent before
    shared : values that this answer and later ones name by their numbers
    data : the pickled answer, with these numbers
    """

    anew: bool
    shared: list[Any]
    data: bytes


class AnswerWriter:
    """Makes answers out of values, in the process that sends them."""

    def __init__(self) -> None:
        # The values that were sent, in the order of their numbers, and the number of each by `id`.
        self._sent: list[Any] = []
        self._numbers: dict[int, int] = {}

    def answer(self, value: object) -> SentAnswer:
        """The value as an answer that can be sent."""
        anew = len(self._sent) > MOST_SHARED
        if anew:
            self._sent.clear()
            self._numbers.clear()
        before = len(self._sent)
        file = io.BytesIO()
        _SharingPickler(file, self).dump(value)
        return SentAnswer(anew, self._sent[before:], file.getvalue())

    def number(self, value: object) -> int:
        """The number of a shared value, which is sent with this answer if it is new."""
        number = self._numbers.setdefault(id(value), len(self._sent))
        if number == len(self._sent):
            self._sent.append(value)
        return number


class _SharingPickler(pickle.Pickler):
    """Pickles shared values as their numbers."""

    def __init__(self, file: io.BytesIO, writer: AnswerWriter) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._writer = writer

    def persistent_id(self, value: object) -> int | None:
        return self._writer.number(value) if isinstance(value, _SHARED_TYPES) else None


class AnswerReader:
    """Reads the answers of one process.

    equal : a value that was received by any reader, for each that equals it
    """

    def __init__(self, equal: dict[Any, Any]) -> None:
        self._equal = equal
        self._received: list[Any] = []

    def value(self, answer: SentAnswer) -> Any:
        """The value that an answer was made of."""
        if answer.anew:
            self._received.clear()
        if len(self._equal) > MOST_SHARED:
            self._equal.clear()
        for value in answer.shared:
            self._received.append(self._equal.setdefault(value, value))
        return _SharingUnpickler(io.BytesIO(answer.data), self._received).load()


class _SharingUnpickler(pickle.Unpickler):
    """Reads the numbers of shared values as these values."""

    def __init__(self, file: io.BytesIO, received: list[Any]) -> None:
        super().__init__(file)
        self._received = received

    def persistent_load(self, number: int) -> Any:
        return self._received[number]
