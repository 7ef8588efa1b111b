"""The base class of all readers of sound, and what a file says of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import field
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from convcli.dataclass import dataclass
from convcli.errors import InputError
from convcli.losses import Loss
from convcli.media.audio.formats import FLOATS
from convcli.media.audio.medium import AUDIO
from convcli.signals import Block, Signal
from convcli.speakers import speakers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from convcli.array_types import AnyArray
    from convcli.media.audio.bitrate import BitRate
    from convcli.media.audio.metadata.container import Chunk
    from convcli.media.block_parts import BlockSource


@dataclass(frozen=True, kw_only=True)
class AudioDetails:
    """What a sound file says of itself, which its output keeps where nothing else is asked.

    format, subtype, endian : libsndfile's names (`WAV`, `PCM_24`, `FILE`)
    frames : None where a pipe has not said; of a truncated file the frames that are there
    bits : precision of one sample
    mask : of the speakers, as in `speakers.py`
    kind_end, long_mark : as in `WavHeader`, of a WAV; None of other formats
    tags : the common ones, by libsndfile's names
    chunks : all metadata, byte for byte
    bit_rate : of a lossy coding, if it is known
    """

    format: str
    subtype: str
    rate: int
    channels: int
    frames: int | None
    bits: int
    endian: str = "FILE"
    mask: int = 0
    kind_end: bytes | None = None
    long_mark: bytes | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    chunks: tuple[Chunk, ...] = ()
    bit_rate: BitRate | None = None


# The samples of a block, in all channels. Larger blocks would not stay in the cache from one step
# to the next. With smaller blocks, threads would exchange Python's interpreter lock too often.
_BLOCK_SAMPLES = 1 << 19
# Shorter sounds come in smaller blocks, so that the cores have something to share.
_SHORT, _SHORT_BLOCK_FRAMES = 1 << 20, 1 << 15
# Samples of up to 24 bits are right with taps of 32 significant bits.
_SHORT_SAMPLE = 24
NOTHING_THERE = "the file is damaged or cut off"


class AudioSource(ABC):
    """The samples of one sound file or pipe, in -1..1: a Source of `(n, channels)` blocks.

    details : format, rate, channels, length and metadata of the file
    warnings : faults of the file; more may be found until its end is read
    strict : refuse files with faults
    owned : `close` closes the file
    """

    details: AudioDetails
    signal: Signal

    def __init__(self, file: BinaryIO, name: str, *, strict: bool, owned: bool = True) -> None:
        self.warnings: list[str] = []
        self._file = file
        self._name = name
        self._strict = strict
        self._owned = owned

    @abstractmethod
    def pieces(self) -> Iterator[Any]:
        """Undecoded blocks. A second call starts over; on a WAV pipe it raises InputError."""

    def decode(self, raw: Any) -> Block:
        """One block as samples in -1..1, or as the whole numbers that are stored. Pure."""
        return Block(self._samples(raw))

    @property
    def seekable(self) -> BlockSource | None:
        """The samples as blocks that can be read from any of them on; None if they cannot."""
        return None

    @property
    def size(self) -> int:
        """Bytes of all samples, as far as they are known."""
        details = self.details
        samples = (details.frames or 0) * details.channels
        return samples * details.bits // 8

    @abstractmethod
    def _samples(self, raw: Any) -> AnyArray:
        """The samples of an undecoded block, (n, channels)."""

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if self._owned:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _describe(self, details: AudioDetails) -> None:
        full_scale = 1.0
        if details.subtype not in FLOATS:
            # Whole numbers end one step below 1: what is normalised to the largest is not clipped.
            full_scale -= 2.0 ** (1 - details.bits)
        if details.frames == 0:
            self.warnings.append(f"{self._name}: holds no samples")
        self.details = details
        self.signal = Signal(
            medium=AUDIO,
            holds_missing=False,
            shape=(details.frames,),
            channels=AUDIO.names_of(details.channels),
            rate=float(details.rate),
            speakers=speakers_of(details.mask, details.channels),
            full_scale=full_scale,
            bits=32 if details.bits <= _SHORT_SAMPLE else 53,
        )

    @property
    def _block_frames(self) -> int:
        frames, longest = self.details.frames, _BLOCK_SAMPLES // self.details.channels
        if frames is not None and frames < _SHORT:
            longest = min(longest, _SHORT_BLOCK_FRAMES)
        return max(1024, longest)

    def _report(self, problem: str) -> None:
        """Warn of what a damaged file lacks, or raise InputError if the user is strict."""
        message = f"{self._name}: {problem}"
        if self._strict:
            raise InputError(
                message, hint="without --strict this is a warning, and what is there is filtered"
            )
        self.warnings.append(Loss(message))

    def _report_truncated(self, promised: int, present: int, rate: int) -> None:
        """Warn of a file that ends too early; `promised` and `present` count frames.

        Raises InputError if nothing is there: an empty output would look like a success.
        """
        if present == 0:
            raise InputError(
                f"{self._name}: {promised} frames promised, and not one can be read",
                hint=NOTHING_THERE,
            )
        self._report(
            f"is truncated: {promised} frames promised, {present} there ({present / rate:.6g} s)"
        )


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
