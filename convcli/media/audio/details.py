"""What is known of a sound file, and the words in which its readers report errors."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, cast

from convcli.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from convcli.media.audio.metadata.container import Chunk

    # Called with what is odd about a file: a warning, or with --strict an error.
    Odd = Callable[[str], None]

# Larger blocks would leave the cache from one step to the next, smaller ones would hand the
# interpreter lock to and fro.
BLOCK_FRAMES = 1 << 18
# Shorter sounds come in smaller blocks, so that the cores have something to share.
_SHORT, _SHORT_BLOCK_FRAMES = 1 << 20, 1 << 15
# Blocks have fewer frames where there are many channels.
_BLOCK_SAMPLES = 1 << 19


@dataclass(frozen=True, kw_only=True)
class AudioDetails:
    """What a sound file says of itself, which its output keeps where nothing else is asked.

    format, subtype, endian : libsndfile's names (`WAV`, `PCM_24`, `FILE`)
    frames : None where a pipe has not said; of a truncated file the frames that are there
    bits : precision of one sample
    mask : speaker positions (WAV)
    tags : the common ones, by libsndfile's names
    chunks : all metadata, byte for byte
    """

    format: str
    subtype: str
    rate: int
    channels: int
    frames: int | None
    bits: int
    endian: str = "FILE"
    mask: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    chunks: tuple[Chunk, ...] = ()


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn the errors of the system while a file is read into InputError."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{name}: is a folder, expected a sound file") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error


def block_frames(channels: int, frames: int | None) -> int:
    """Frames in a block of a sound of `frames` frames, None where the length is not known."""
    longest = BLOCK_FRAMES
    if frames is not None and frames < _SHORT:
        longest = _SHORT_BLOCK_FRAMES
    return max(1024, min(longest, _BLOCK_SAMPLES // channels))


def truncated(name: str, promised: int, present: int, rate: int) -> str:
    """The message about a file that ends too early; `promised` and `present` count frames."""
    seconds = present / rate
    return f"{name}: is truncated: {promised} frames promised, {present} there ({seconds:.6g} s)"


def temporary_file(*, buffered: bool = True) -> BinaryIO:
    """Open a file without a name, which disappears when it is closed."""
    import tempfile

    file = tempfile.TemporaryFile(buffering=-1 if buffered else 0)  # noqa: SIM115 the caller closes it
    return cast("BinaryIO", file)
