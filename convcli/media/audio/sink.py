"""Samples written to a sound file or a pipe: rounded to the nearest, and clipped ones counted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self, cast

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError, OutputError, RequestError
from convcli.losses import Loss
from convcli.media.audio.bitrate import RequestedRate, encoder_settings
from convcli.media.audio.formats import (
    FLOATS,
    LOSSY,
    WAV_KINDS,
    WAVE_64,
    Coding,
    bits_of,
    choose_coding,
    container_of,
)
from convcli.media.audio.metadata.carry import Shift, Speakers, carry_metadata
from convcli.media.audio.samples import Dither, Extremes, Grid, decibels
from convcli.media.audio.wav import RF64_MARK, SUBFORMAT, WIDTHS, WavHeader
from convcli.media.audio.wav_writer import Wave64Header, WavWriter
from convcli.media.files import FileSink, UndividedError
from convcli.media.replacing import only_writing
from convcli.media.scratch import scratch
from convcli.speakers import mask_of

if TYPE_CHECKING:
    from convcli.array_types import AnyArray
    from convcli.media.audio.bitrate import BitRate
    from convcli.media.audio.metadata.carry import Metadata
    from convcli.media.audio.reader import AudioDetails
    from convcli.media.audio.sndfile_writer import SndFileWriter
    from convcli.media.audio.wav_writer import Stored
    from convcli.media.division import PartOfFile
    from convcli.places import Place
    from convcli.signals import AnyRows, Array, Signal

_SPOOL_BYTES = 1 << 22
# The largest rate that libsndfile reads.
_LARGEST_READ_RATE = (1 << 31) - 1
_HIGHEST_RATE = (1 << 32) - 1
_FULL_SCALE_OF_16_BITS = 1 << 15
_LONGEST_FRAME = (1 << 16) - 1  # in bytes, of a WAV


@dataclass(frozen=True, eq=False, kw_only=True)
class AudioOptions:
    """How sound is written.

    format, subtype : libsndfile's names in upper or lower case, or None for the input's
    dither : add triangular (TPDF) dither even if the bit depth does not fall
    seed : of the random numbers of the dither
    on_clip : count clipped samples (warn), refuse them (error), or scale everything so that none
        clips (normalize)
    bitrate, quality : of lossy codings, in bits per second and from 0 to 10; None for the input's
    """

    format: str | None = None
    subtype: str | None = None
    dither: bool = False
    seed: int = 0
    on_clip: Literal["warn", "error", "normalize"] = "warn"
    bitrate: float | None = None
    quality: float | None = None

    def requested_rate(self, kept: BitRate | None) -> RequestedRate:
        """What is asked of a lossy coding; `kept` is the bit rate of the input."""
        return RequestedRate(bitrate=self.bitrate, quality=self.quality, kept=kept)


@dataclass(frozen=True)
class EncodedAudio:
    """An output block that is ready to be written.

    samples : stored ones, or unrounded float64 ones if they are to be scaled or dithered in order
    numbers : of a coding with 16 bits what is stored, as int16; None of others
    clips_at : time and channel of the first clipped sample, where clipping is refused
    """

    samples: Stored
    frames: int
    extremes: Extremes
    clips_at: str | None
    numbers: AnyArray | None = None


class AudioSink(FileSink):
    """A Sink of `(n, channels)` samples in -1..1. Read `warnings` and `facts()` after `close()`.

    target : a path (whatever its suffix: the format decides) or a stream, which is left open
    signal : rate, channels and, if known, the number of frames that are written
    like : the input, whose format and tags are kept where `options` ask for no other
    name : the output in errors; None for `target`, or standard output
    part : the part of the file that is written; None for the whole
    """

    # The writer of the file, when other sinks write parts of it.
    _shared: WavWriter

    def __init__(
        self,
        target: Path | BinaryIO,
        *,
        signal: Signal,
        like: AudioDetails,
        options: AudioOptions | None = None,
        name: Place | None = None,
        part: PartOfFile | None = None,
    ) -> None:
        options = options or AudioOptions()
        self.warnings: list[str] = []
        self._name = target if name is None and isinstance(target, Path) else name
        self._signal = signal
        self._like = like
        self._mask = mask_of(signal, like.mask, like.channels)
        self._long_mark = _long_mark_of(like, options)
        self._refuses_clipping = options.on_clip == "error"
        self.coding = choose_coding(
            like=(like.format, like.subtype), format=options.format, subtype=options.subtype
        )
        self._wanted = options.requested_rate(like.bit_rate)
        self._bits = _valid_bits(like, self.coding)
        self._grid = Grid.of(self.coding.subtype, bits=self._bits)
        self._dither = self._dither_of(part, options)
        self._rate = self._whole_rate()
        self._extremes = Extremes.none(len(signal.channels))
        self._frames = 0
        self._gain = 1.0
        self._part = part
        self._writer = self._open(target)
        self._spool = self._spool_of(options)

    def _dither_of(self, part: PartOfFile | None, options: AudioOptions) -> Dither | None:
        """The dither of the samples of a part, or of all; None if they are not dithered."""
        if not _dithers(self._like, self.coding, asked=options.dither):
            if options.dither:
                coding = f"{self.coding.format} {self.coding.subtype}"
                self.warnings.append(
                    f"--dither does nothing: samples of {coding} have no equal steps"
                )
            return None
        dither = Dither(options.seed)
        if part is not None:
            dither.skip(part.first, len(self._signal.channels))
        return dither

    def _spool_of(self, options: AudioOptions) -> BinaryIO | None:
        """The file that samples wait in until the peak of all is known; None if they do not."""
        if options.on_clip != "normalize" or self.coding.subtype in FLOATS:
            return None
        spool, _ = scratch()
        return spool

    def _whole_rate(self) -> int:
        wanted = self._signal.rate or float(self._like.rate)
        rate = max(1, round(wanted))
        if rate > _HIGHEST_RATE:
            raise RequestError(
                f"a sound file holds at most {_HIGHEST_RATE} Hz, not {rate} Hz",
                hint="add a resample: step",
            )
        if rate != wanted:
            text = (
                "a sound file holds a whole sampling rate: "
                f"{wanted:.10g} Hz is written as {rate} Hz"
            )
            self.warnings.append(Loss(text))
        return rate

    def _open(self, target: Path | BinaryIO) -> WavWriter | SndFileWriter:
        coding, like = self.coding, self._like
        if coding.note:
            self.warnings.append(Loss(coding.note))
        channels = len(self._signal.channels)
        speakers = Speakers(channels=channels, mask=self._mask)
        metadata = carry_metadata(like, coding.format, self._shift(), speakers)
        if metadata.lost:
            lost = ", ".join(metadata.lost)
            self.warnings.append(Loss(f"{coding.format} output does not keep: {lost}"))
        if metadata.measured:
            measured = ", ".join(metadata.measured)
            self.warnings.append(f"tags are kept that hold the loudness of the input: {measured}")
        settings = encoder_settings(coding, self._wanted, rate=self._rate, channels=channels)
        with only_writing(self._name):
            if self._writes_bytes(target):
                header = self._wav_header(metadata)
                frames = self._signal.shape[0]
                return WavWriter(target, header, frames=frames, part=self._part)
            from convcli.media.audio.sndfile_writer import SndFileWriter, SoundLayout

            layout = SoundLayout(
                coding=coding,
                rate=self._rate,
                channels=channels,
                bits=self._bits,
                endian=like.endian if coding.format == like.format else "FILE",
                settings=settings,
            )
            return SndFileWriter(target, layout, metadata)

    def _writes_bytes(self, target: Path | BinaryIO) -> bool:
        """Whether the sound is written without libsndfile."""
        coding = self.coding
        if coding.subtype not in WIDTHS or self._stays_big_endian:
            return False
        if coding.format == WAVE_64:
            # Its header needs the number of frames, which a pipe cannot get later. libsndfile
            # refuses the rates that it does not read.
            has_frames = isinstance(target, Path) or self._signal.shape[0] is not None
            return has_frames and self._rate <= _LARGEST_READ_RATE
        return coding.format in WAV_KINDS

    @property
    def _stays_big_endian(self) -> bool:
        """Whether a big-endian WAV stays one: libsndfile writes it."""
        return self._like.endian == "BIG" and self.coding.format == self._like.format

    def _shift(self) -> Shift:
        """How positions in the metadata of the input are moved."""
        signal = self._signal
        return Shift(
            rate=self._rate,
            skipped=signal.skipped,
            ratio=self._rate / self._like.rate,
            frames=signal.shape[0],
        )

    def _wav_header(self, metadata: Metadata) -> WavHeader:
        like, form, channels = self._like, self.coding.format, len(self._signal.channels)
        keeps_kind = channels == like.channels and form != WAVE_64
        frame_bytes = channels * WIDTHS[self.coding.subtype]
        if frame_bytes > _LONGEST_FRAME:
            raise RequestError(
                f"{form} with {self.coding.subtype} cannot hold {channels} channels",
                hint="choose another --subtype with fewer bits",
            )
        # More than two channels need the extensible header; a WAV that did without keeps its own.
        if form == "WAV" and like.format not in WAV_KINDS and channels > 2:
            form = "WAVEX"
        kind = Wave64Header if form == WAVE_64 else WavHeader
        return kind(
            format=form,
            subtype=self.coding.subtype,
            rate=self._rate,
            channels=channels,
            bits=self._bits,
            mask=self._mask,
            kind_end=(like.kind_end if keeps_kind else None) or SUBFORMAT,
            long_mark=self._long_mark,
            chunks=metadata.chunks,
        )

    def encode(self, y: Array, rows: AnyRows) -> EncodedAudio:
        """Round and store a block. Pure. InputError if a sample is not a finite number."""
        extremes = Extremes.none(y.shape[1])
        if len(y):
            extremes = Extremes.of(y, self._grid)
        clips = bool(extremes.clipped.any())
        if not extremes.finite or (self.coding.subtype in FLOATS and clips):
            self._refuse_not_a_number(y, rows)
        clips_at = None
        if self._refuses_clipping and clips:
            low, high = self._grid.limits
            clips_at = self._place((y < low) | (y > high), rows)
        if self._spool is not None or self._dither is not None:
            unrounded = np.ascontiguousarray(y, np.float64)
            return EncodedAudio(unrounded, len(y), extremes, clips_at)
        numbers = self._grid.round(y, fits=not clips)
        samples = self._writer.store(numbers)
        drawn = numbers if self._grid.full == _FULL_SCALE_OF_16_BITS else None
        return EncodedAudio(samples, len(y), extremes, clips_at, drawn)

    def stored(self, encoded: EncodedAudio) -> AnyArray | None:
        """The samples of a block as int16, if that is what the file holds.

        To draw those takes half the time of drawing the float64 samples that were rounded.
        """
        return encoded.numbers

    def _refuse_not_a_number(self, y: Array, rows: AnyRows) -> None:
        place = self._place(~(np.abs(y) <= self._grid.high), rows)
        raise InputError(
            f"the result is not a number at {place}",
            hint="the input holds NaN or inf there, or a step made it "
            "(log, a division, an overflow)",
        )

    def _place(self, wrong: Any, rows: AnyRows) -> str:
        """Time and channel of the first sample that is marked in `wrong`, `(n, channels)`."""
        frame, channel = np.argwhere(wrong)[0]
        seconds = int(rows[frame]) / self._like.rate
        return f"{seconds:.6g} s, channel {self._signal.channels[channel]}"

    def write(self, encoded: EncodedAudio) -> None:
        """Append a block. OutputError if the system refuses, or if clipping is refused."""
        self._extremes = self._extremes.joined(encoded.extremes)
        self._frames += encoded.frames
        if encoded.clips_at is not None:
            self._refuse_clipping(encoded)
        with only_writing(self._name):
            if self._spool is not None:
                self._spool.write(cast("AnyArray", encoded.samples).data)
            elif self._dither is not None:
                self._write_rounded(cast("AnyArray", encoded.samples))
            else:
                self._writer.write(encoded.samples)

    def _refuse_clipping(self, encoded: EncodedAudio) -> None:
        largest = float(encoded.extremes.peak.max())
        peak = decibels(largest) or 0.0
        # The peak rounded up to tenths of a dB, and a tenth more.
        tenths = np.ceil(peak * 10 + 1)
        gain = -tenths / 10
        name = self._name or "standard output"
        raise OutputError(
            f"{name}: the result clips at {encoded.clips_at} (peak {peak:+.2f} dBFS)",
            hint=f"add gain:{gain:g}dB, or use --on-clip normalize",
        )

    def _write_rounded(self, y: Array) -> None:
        """Add the dither, if any, and write the next samples."""
        noise = None
        if self._dither is not None:
            noise = self._dither.noise(*y.shape)
        self._writer.write(self._writer.store(self._grid.round(y, noise=noise)))

    # --- parts ---

    def parted(self) -> Self:
        """The sink for blocks that other sinks write. UndividedError if there are none."""
        if self._spool is not None:
            raise UndividedError("--on-clip normalize needs the peak of the whole result")
        writer = self._writer.shared
        if writer is None or self._signal.shape[0] is None:
            raise UndividedError(
                f"{self.coding.format} is written from its beginning to its end; "
                "-o NAME.wav is written in parts, beyond 4 GB as RF64, and so is -o NAME.w64"
            )
        self._shared = writer
        return self

    def reserve(self) -> None:
        """Give the file its full size, before parts of it are written."""
        with only_writing(self._name):
            self._shared.reserve()

    @property
    def written_part(self) -> tuple[int, Extremes]:
        """How many frames were written, and their extremes."""
        return self._frames, self._extremes

    def add_part(self, written: tuple[int, Extremes], place: Path) -> None:  # noqa: ARG002 -- it is in the file
        """Count the samples that the sink of the next part has written into the file."""
        frames, extremes = written
        self._shared.skip(frames)
        self._frames += frames
        self._extremes = self._extremes.joined(extremes)

    def close(self) -> None:
        """Write samples that wait to be scaled, complete the file, and check that it arrived."""
        try:
            with only_writing(self._name):
                if self._spool is not None:
                    self._write_normalized(self._spool)
                warnings = self._writer.finish()
        except BaseException:
            self.discard()
            raise
        self.warnings += warnings
        self._warn_of_clipping()

    def _write_normalized(self, spool: BinaryIO) -> None:
        """Write the spooled samples with the gain that brings their peak to full scale."""
        low, high = float(self._extremes.low.min()), float(self._extremes.high.max())
        self._gain = self._grid.gain_to_fit(low, high)
        channels = len(self._signal.channels)
        frame_bytes = 8 * channels
        size = _SPOOL_BYTES // frame_bytes * frame_bytes
        spool.seek(0)
        while raw := spool.read(size):
            y = np.frombuffer(raw, np.float64).reshape(-1, channels)
            if self._gain != 1:
                y = y * self._gain
            self._write_rounded(y)
        spool.close()

    def _warn_of_clipping(self) -> None:
        total = int(self._extremes.clipped.sum())
        if not total:
            return
        largest = float(self._extremes.peak.max())
        peak = decibels(largest) or 0.0
        if self._gain != 1:
            change = decibels(self._gain) or 0.0
            self.warnings.append(
                f"scaled by {change:+.2f} dB: the peak of {peak:+.2f} dBFS would have clipped"
            )
            return
        pairs = zip(self._signal.channels, self._extremes.clipped, strict=True)
        counts = ", ".join(f"{channel} {count}" for channel, count in pairs if count)
        verb = "sample was" if total == 1 else "samples were"
        self.warnings.append(f"{total} {verb} clipped ({counts}; peak {peak:+.2f} dBFS)")

    def discard(self) -> None:
        """Close all files after an error, without finishing the output."""
        if self._spool is not None:
            self._spool.close()
        self._writer.discard()

    def facts(self) -> dict[str, Any]:
        """What was written, for the report: plain values only."""
        channels = self._signal.channels
        clipped = self._extremes.clipped.tolist()
        if self._gain != 1:
            clipped = [0] * len(channels)  # scaled instead
        # Samples of a lossy coding have no bits of their own.
        is_lossy = self.coding.subtype in LOSSY
        bits = None if is_lossy else self._bits or bits_of(self.coding.subtype)
        peaks = [decibels(peak) for peak in self._extremes.peak.tolist()]
        return {
            "format": self.coding.format,
            "subtype": self.coding.subtype,
            "bits": bits,
            "rate": self._rate,
            "channels": list(channels),
            "frames": self._frames,
            "clipped": dict(zip(channels, clipped, strict=True)),
            "peak_dbfs": dict(zip(channels, peaks, strict=True)),
            "normalized_by_db": decibels(self._gain),
            "dither": None if self._dither is None else "TPDF",
            "seed": None if self._dither is None else self._dither.seed,
        }


def _dithers(like: AudioDetails, coding: Coding, *, asked: bool) -> bool:
    """Whether samples are dithered: on request, or where the bit depth falls."""
    # The steps of companded and lossy codings are not even.
    is_plain = coding.subtype.startswith(("PCM_", "ALAC_")) and coding.subtype not in LOSSY
    loses_bits = bits_of(coding.subtype) < like.bits
    return is_plain and (asked or loses_bits)


def _long_mark_of(like: AudioDetails, options: AudioOptions) -> bytes:
    """The mark of a file with sizes of 64 bits: that of the input, unless RF64 is asked for."""
    asks_for_rf64 = (options.format or "").upper() == "RF64"
    return RF64_MARK if asks_for_rf64 or like.long_mark is None else like.long_mark


def _valid_bits(like: AudioDetails, coding: Coding) -> int | None:
    """Bits of a sample, if the input uses fewer than its bytes have and the output can say so."""
    formats = {like.format, coding.format}
    is_told = formats <= WAV_KINDS or (len(formats) == 1 and container_of(coding.format).tells_bits)
    is_less = 1 < like.bits < bits_of(coding.subtype)
    return like.bits if is_told and is_less and like.subtype == coding.subtype else None
