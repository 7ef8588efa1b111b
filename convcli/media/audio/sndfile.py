"""What reading and writing by libsndfile have in common."""

from __future__ import annotations

import soundfile

from convcli.media.audio.formats import FLOATS, LOSSY, bits_of


class Sound(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types for mypy
    """A SoundFile that does not seek after each block: at the end of a cut-off FLAC that fails."""

    def seekable(self) -> bool:
        """Say no, so that `read` and `write` only go forward."""
        return False


def exchange_type(subtype: str) -> str:
    """The number type in which libsndfile passes samples of a coding on without loss."""
    if subtype in FLOATS:
        return "float64"
    if subtype in LOSSY:
        return "float32"
    return "int16" if bits_of(subtype) <= 16 else "int32"


def reason_of(error: Exception) -> str:
    """Why libsndfile failed, in its own words."""
    text = error.error_string if isinstance(error, soundfile.LibsndfileError) else error
    return str(text).removeprefix("Error : ").rstrip(".")
