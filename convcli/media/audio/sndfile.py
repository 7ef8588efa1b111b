"""What reading and writing by libsndfile have in common."""

from __future__ import annotations

from convcli.media.audio.formats import FLOATS, LOSSY, bits_of


def exchange_type(subtype: str) -> str:
    """The number type in which libsndfile passes samples of a coding on without loss."""
    if subtype in FLOATS:
        return "float64"
    if subtype in LOSSY:
        return "float32"
    return "int16" if bits_of(subtype) <= 16 else "int32"
