"""Sound files read by libsndfile, with warnings about truncated ones, of which it says nothing."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import soundfile

from convcli.errors import InputError
from convcli.losses import Loss, reworded
from convcli.media.audio import wav
from convcli.media.audio.bitrate import bit_rate_of
from convcli.media.audio.declared_length import file_end, samples_end
from convcli.media.audio.formats import (
    FIRST_BYTES,
    MPEG,
    SUFFIXES,
    WAV_KINDS,
    bits_of,
    container_of,
    exchange_type,
    is_even,
)
from convcli.media.audio.header_repair import (
    HeaderRepair,
    RepairedFile,
    flac_frames_left,
    has_flac_frames,
    repair_for,
)
from convcli.media.audio.metadata import ogg
from convcli.media.audio.metadata.riff import frames_of_blocks, other_rifx_chunks
from convcli.media.audio.reader import NOTHING_THERE, AudioDetails, AudioSource, reading
from convcli.media.audio.voc import unread_voc
from convcli.media.block_parts import equal_lengths
from convcli.sndfile import SAMPLE_DUMP, Sound, WatchedFile, messages_muted, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.array_types import AnyArray
    from convcli.media.audio.metadata.container import Chunk

# A block that cannot be read as a whole is read again in pieces of this many frames.
_SALVAGE_FRAMES = 1024
# libsndfile gives this length, or a larger one, where it does not know it.
_UNKNOWN_FRAMES = 1 << 62
_VOC = b"Creative Voi"
# Codings of a WAV that store blocks of frames.
_BLOCK_CODECS = frozenset({"MS_ADPCM", "IMA_ADPCM", "GSM610"})
# Bytes of a sample in codings that give each sample as many.
_SAMPLE_BYTES = {**wav.WIDTHS, "PCM_S8": 1, "ULAW": 1, "ALAW": 1}


class SndFile(AudioSource):
    """A sound file of any format that libsndfile reads.

    `file` is unbuffered: libsndfile and the readers of metadata share one position.
    """

    def __init__(self, file: BinaryIO, name: str, *, strict: bool) -> None:
        super().__init__(file, name, strict=strict)
        with reading(name):
            file.seek(0)
            prefix = file.read(12)
            unread = _unread_kind(file, prefix)
            if unread is not None:
                raise InputError(f"{name}: {unread} is not read", hint=_conversion_of(name, "sox"))
            self._repair = repair_for(file, prefix)
        self._sound = self._open()
        self._is_rifx = prefix.startswith(b"RIFX")
        self._spent = False
        self._type = exchange_type(self._sound.subtype)
        self._muted = messages_muted if self._sound.subtype in MPEG else nullcontext
        with reading(name):
            self._describe(self._read_details())
            lack = _missing_end(file, prefix)
            missing = self._missing_frames()
        self._is_whole = lack is None and missing == 0 and self._repair is None
        self._report_end(lack, missing)
        self._warn_of_repair(self._repair or HeaderRepair())
        if self._is_rifx:
            self._warn_of_big_endian_chunks()

    def _report_end(self, lack: str | None, missing: int) -> None:
        """Warn of a file that is cut off.

        lack : what it lacks according to its header
        missing : how many frames that are, if that is known
        """
        frames, rate = self.details.frames, self.details.rate
        if missing and frames is not None:
            self._report_truncated(frames + missing, frames, rate)
            return
        if lack is None:
            return
        if frames == 0:
            raise InputError(f"{self._name}: holds no samples: {lack}", hint=NOTHING_THERE)
        self._report(f"is truncated: {lack}")

    def _warn_of_repair(self, repair: HeaderRepair) -> None:
        if repair.note is not None:
            self.warnings.append(reworded(repair.note, f"{self._name}: {repair.note}"))
        if repair.loss is not None:
            self._report(repair.loss)

    def _warn_of_big_endian_chunks(self) -> None:
        """Name the metadata that libsndfile does not pass on from a big-endian WAV."""
        with reading(self._name), _position_kept(self._file):
            names = other_rifx_chunks(self._file)
        if names:
            listed = ", ".join(names)
            text = f"{self._name}: metadata of a big-endian WAV (RIFX) are not kept: {listed}"
            self.warnings.append(Loss(text))

    def _missing_frames(self) -> int:
        """How many frames the header promises that are not there, if frames have equal sizes."""
        details = self.details
        frame_bytes = details.channels * _SAMPLE_BYTES.get(details.subtype, 0)
        with _position_kept(self._file):
            size = self._file.seek(0, os.SEEK_END)
            missing_bytes = samples_end(self._file, frame_bytes) - size
        if frame_bytes == 0 or missing_bytes <= 0:
            return 0
        return -(-missing_bytes // frame_bytes)

    def _open(self) -> Sound:
        self._watched = WatchedFile(self._file)
        with reading(self._name):
            self._file.seek(0)
        if self._repair is not None:
            self._watched = RepairedFile(self._file, self._repair)
        try:
            with messages_muted():
                return Sound(self._watched)
        except (soundfile.LibsndfileError, TypeError) as error:
            self._raise_read_error()
            raise InputError(
                f"{self._name}: is not a sound file that can be read: {reason_of(error)}",
                hint=self._hint_for_unknown(),
            ) from error

    def _hint_for_unknown(self) -> str:
        """What to do with a file that libsndfile does not open, by its first bytes."""
        with reading(self._name):
            self._file.seek(0)
            head = self._file.read(12)
        if head.startswith(FIRST_BYTES) or head[8:12] == b"WAVE":
            return f"if it is whole, another program may know it: {_conversion_of(self._name)}"
        formats = dict.fromkeys(name.lower() for name in SUFFIXES.values() if name != "RAW")
        return (
            f"known: {' '.join(formats)}; ffmpeg knows more, and samples without a header "
            "get one by sox -t raw -r 44100 -e signed -b 16 -c 2 in.raw out.wav"
        )

    def _raise_read_error(self) -> None:
        """Raise InputError if the system could not read; libsndfile takes that for the end."""
        if self._watched.error is not None:
            with reading(self._name):
                raise self._watched.error

    def _read_details(self) -> AudioDetails:
        sound = self._sound
        chunks = self._metadata()
        tags = container_of(sound.format).tags(chunks, sound.copy_metadata())
        tag_bytes = sum(len(chunk.body) for chunk in chunks)
        if self._repair is not None:
            tag_bytes += self._repair.left_out_bytes
        with _position_kept(self._file):
            frames = self._count_frames()
            bit_rate = bit_rate_of(self._file, sound, frames=frames, tag_bytes=tag_bytes)
            told_bits = container_of(sound.format).sample_bits(self._file)
            mask = self._speaker_mask(chunks)
        bits = bits_of(sound.subtype)
        if told_bits is not None and sound.subtype.startswith("PCM_"):
            bits = min(bits, told_bits)
        return AudioDetails(
            format=sound.format,
            subtype=sound.subtype,
            rate=sound.samplerate,
            channels=sound.channels,
            frames=frames,
            bits=bits,
            endian="BIG" if self._is_rifx else sound.endian,
            mask=mask,
            tags=tags,
            chunks=chunks,
            bit_rate=bit_rate,
        )

    def _count_frames(self) -> int | None:
        """The number of frames; None if it is not known."""
        sound = self._sound
        if self._repair is not None and self._repair.frames is not None:
            return self._repair.frames
        if sound.frames >= _UNKNOWN_FRAMES:
            return None
        if sound.format in WAV_KINDS and sound.subtype in _BLOCK_CODECS:
            return frames_of_blocks(self._file, sound.channels, sound.frames)
        return int(sound.frames)

    def _metadata(self) -> tuple[Chunk, ...]:
        with _position_kept(self._file):
            try:
                return container_of(self._sound.format).read(self._file)
            except ValueError as error:
                self._report(f"its tags are damaged and are not kept: {error}")
                return ()

    def _speaker_mask(self, chunks: tuple[Chunk, ...]) -> int:
        sound = self._sound
        with suppress(ValueError, IndexError):  # the file is damaged; it is read as far as it goes
            return container_of(sound.format).speaker_mask(self._file, chunks, sound.channels)
        return 0

    def pieces(self) -> Iterator[AnyArray]:
        """Yield whole-number or floating samples as libsndfile gives them, `(n, channels)`."""
        details = self.details
        if self._spent:
            self._reopen()  # some codecs cannot seek
        self._spent = True
        size, done = self._block_frames, 0
        while True:
            block = self._next_block(done)
            done += len(block)
            if len(block):
                yield block
            if len(block) < size:
                break
        if done == 0 and details.frames is None:
            self._refuse_noise()
        if details.frames is not None and done < details.frames:
            self._report_truncated(details.frames, done, details.rate)
        elif details.format == "FLAC" and (self._repair is None or self._repair.loss is None):
            self._report_rest(done)

    @property
    def seekable(self) -> SndFile | None:
        """The file itself, if its blocks can be read in any order; None if it needs a codec."""
        details = self.details
        if not self._is_whole or not details.frames:
            return None
        return self if is_even(details.format, details.subtype) else None

    @property
    def block_lengths(self) -> Sequence[int]:
        """How many frames each block has."""
        return equal_lengths(self.details.frames or 0, self._block_frames)

    def blocks(self, wanted: range) -> Iterator[AnyArray]:
        """Yield consecutive blocks of `pieces`."""
        lengths = self.block_lengths
        done = wanted.start * self._block_frames
        self._sound.seek(done)
        self._spent = True
        for number in wanted:
            block = self._next_block(done)
            if len(block) < lengths[number]:
                raise InputError(f"{self._name}: became shorter while it was read")
            done += len(block)
            yield block

    def _report_rest(self, done: int) -> None:
        """Warn of frames of a FLAC file behind the first `done` ones, all that it counts."""
        with reading(self._name), _position_kept(self._file):
            left = flac_frames_left(self._file, done)
        if left:
            self._report(f"counts {done} frames: the {left} frames behind them are left out")

    def _refuse_noise(self) -> None:
        """Raise InputError if a FLAC without a length has bytes behind its header, but no frame."""
        with reading(self._name), suppress(ValueError):
            if has_flac_frames(self._file):
                raise InputError(f"{self._name}: not one sample can be read", hint=NOTHING_THERE)

    def _next_block(self, done: int) -> AnyArray:
        """Read the block after the first `done` frames."""
        details, size = self.details, self._block_frames
        if details.frames is not None:
            size = min(size, details.frames - done)
        space = np.empty((size, details.channels), self._type)
        try:
            with self._muted():
                block: AnyArray = self._sound.read(out=space)
        except soundfile.LibsndfileError as error:
            self._raise_read_error()
            block = self._salvage(done, space)
            if self._last_sample_is_readable():
                seconds = (done + len(block)) / details.rate
                raise InputError(
                    f"{self._name}: is damaged at {seconds:.6g} s: {reason_of(error)}"
                ) from error
        self._raise_read_error()
        return block

    def _salvage(self, start: int, space: AnyArray) -> AnyArray:
        """Read small pieces of a block that failed as a whole, up to the first one that fails."""
        done = 0
        with suppress(soundfile.LibsndfileError), self._muted():
            self._reopen()
            self._skip(start)
            while done < len(space):
                piece = self._sound.read(out=space[done : done + _SALVAGE_FRAMES])
                if len(piece) == 0:
                    break
                done += len(piece)
        return space[:done]

    def _skip(self, frames: int) -> None:
        """Go to a frame; where seeking fails, which can be far from the damage, by reading."""
        with suppress(soundfile.LibsndfileError):
            self._sound.seek(frames)
            return
        self._reopen()
        while frames > 0:
            piece = self._sound.read(min(frames, _SALVAGE_FRAMES), self._type, always_2d=True)
            if len(piece) == 0:
                return
            frames -= len(piece)

    def _last_sample_is_readable(self) -> bool:
        """Whether the file is damaged within, not cut off."""
        last = max(0, (self.details.frames or 1) - 1)
        with suppress(soundfile.LibsndfileError), self._muted():
            self._sound.seek(last)
            return len(self._sound.read(1, "int16", always_2d=True)) == 1
        return False

    def _reopen(self) -> None:
        self._close_sound()
        self._sound = self._open()

    def _close_sound(self) -> None:
        # An error of reading was reported before, or has no consequence.
        with suppress(soundfile.LibsndfileError):
            self._sound.close()

    def _samples(self, raw: AnyArray) -> AnyArray:
        return raw if raw.dtype.kind == "i" else raw.astype(np.float64, copy=False)

    def close(self) -> None:
        """Close the file and libsndfile's view of it."""
        self._close_sound()
        super().close()


@contextmanager
def _position_kept(file: BinaryIO) -> Iterator[None]:
    """Restore the position in the file, which belongs to libsndfile."""
    place = file.tell()
    try:
        yield
    finally:
        file.seek(place)


def _unread_kind(file: BinaryIO, prefix: bytes) -> str | None:
    """The kind of a file that libsndfile would misread, or None."""
    if prefix.startswith(SAMPLE_DUMP):
        return "a MIDI sample dump (SDS)"
    return unread_voc(file) if prefix.startswith(_VOC) else None


def _conversion_of(name: str, *program: str) -> str:
    """A command that makes a FLAC of a file, or a WAV of a FLAC."""
    import shlex
    from pathlib import Path

    suffix = ".wav" if name.lower().endswith(".flac") else ".flac"
    output = Path(name).with_suffix(suffix).name
    return shlex.join([*(program or ("ffmpeg", "-i")), name, output])


def _missing_end(file: BinaryIO, prefix: bytes) -> str | None:
    """Describe what the file lacks according to its header, if anything."""
    with _position_kept(file):
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        promised = file_end(file.read(24))
        lacks_page = prefix.startswith(b"OggS") and not ogg.is_complete(file)
    if lacks_page:
        return "its last Ogg page is missing"
    if promised > size:
        return f"its header promises {promised} bytes, {size} are there"
    return None
