"""Values written as JSON, which has no word for what is infinite or not a number."""

from __future__ import annotations

import json
from typing import Any

from convcli.media.tables.numerals import write_number

# These are numbers to JSON, and all readers round them to infinity.
_INFINITE = {b"inf": b"1e999", b"-inf": b"-1e999"}


def json_number(value: float, decimals: int | None = None) -> bytes:
    """Write a number as `write_number` does; NaN is null, and infinity is 1e999.

    >>> [json_number(v) for v in (1.5, float("nan"), float("-inf"))]
    [b'1.5', b'null', b'-1e999']
    """
    text = write_number(value, decimals=decimals)
    return _INFINITE.get(text, text) or b"null"


def json_of_value(value: Any) -> str:
    """Write a value of lists, objects, text and numbers; all other types are written as text.

    >>> json_of_value({"a": [0.5, float("nan")], "b": float("inf")})
    '{"a": [0.5, null], "b": 1e999}'
    """
    try:
        return json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        # A number somewhere in the value is infinite or not a number.
        return _text_of_parts(value)


def _text_of_parts(value: Any) -> str:
    """Write a value part by part, in twice the time of `json.dumps`."""
    if isinstance(value, float):
        return json_number(value).decode()
    if isinstance(value, dict):
        pairs = [f"{json_of_value(key)}: {_text_of_parts(part)}" for key, part in value.items()]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, (list, tuple)):
        parts = [_text_of_parts(part) for part in value]
        return "[" + ", ".join(parts) + "]"
    return json_of_value(value)
