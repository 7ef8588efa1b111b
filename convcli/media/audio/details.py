"""What a sound file says of itself, and the words in which its readers speak."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from convcli.errors import InputError
from convcli.media.audio.tags import Tags, no_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convcli.media.audio.wav import Chunk

    # Called with what is odd about a file: a warning, or with --strict an error.
    Odd = Callable[[str], None]

# Larger blocks would leave the cache from one step to the next, smaller ones hand the interpreter lock to and fro.
BLOCK_FRAMES = 1 << 18
# Shorter sounds come in smaller blocks, so that the cores have something to share.
_SHORT, _SHORT_BLOCK_FRAMES = 1 << 20, 1 << 15
# Fewer frames a block where there are many channels.
_BLOCK_SAMPLES = 1 << 19


@dataclass(frozen=True, kw_only=True)
class AudioDetails:
    """What a sound file says of itself, and what its output is to keep.

    format, subtype, endian : libsndfile's names (`WAV`, `PCM_24`, `FILE`) · mask : speaker positions (WAV)
    frames : None where a pipe has not said; a truncated file counts what is there · bits : of one sample
    tags : the common ones, by libsndfile's names · chunks : all metadata as it stands in the file
    """

    format: str
    subtype: str
    rate: int
    channels: int
    frames: int | None
    bits: int
    endian: str = "FILE"
    mask: int = 0
    tags: Tags = field(default_factory=no_tags)
    chunks: tuple[Chunk, ...] = ()


def channel_names(count: int) -> tuple[str, ...]:
    """`mono`, `left` and `right`, or numbers from 1."""
    if count <= 2:
        return ("mono",) if count == 1 else ("left", "right")
    return tuple(str(number) for number in range(1, count + 1))


@contextmanager
def reading(name: str) -> Iterator[None]:
    """What the system says against reading, in our words."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{name}: is a folder, expected a sound file") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error


def block_frames(channels: int, frames: int | None) -> int:
    """Frames in a block of a sound of so many, None where that is not known."""
    most = _SHORT_BLOCK_FRAMES if frames is not None and frames < _SHORT else BLOCK_FRAMES
    return max(1024, min(most, _BLOCK_SAMPLES // channels))


def truncated(name: str, promised: int, present: int, rate: int) -> str:
    """What is said of a file that ends too early; counts of frames."""
    return f"{name}: is truncated: {promised} frames promised, {present} there ({present / rate:.6g} s)"
