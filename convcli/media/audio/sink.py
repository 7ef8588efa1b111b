"""Samples to a sound file or a pipe: rounded, never floored; what did not fit is counted, never hidden."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self, cast

import numpy as np

from convcli.errors import InputError, OutputError
from convcli.media.audio.formats import FLOATS, LOSSY, Coding, bits_of, choose_coding
from convcli.media.audio.samples import Dither, Extremes, Grid, decibels
from convcli.media.audio.tags import WAV_KINDS, plan_metadata
from convcli.media.audio.wav import WIDTHS, WavHeader
from convcli.media.audio.writers import CodecWriter, WavWriter, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.media.audio.details import AudioDetails
    from convcli.media.audio.samples import Numbers
    from convcli.media.audio.writers import Stored
    from convcli.signals import AnyRows, Array, Signal

OnClip = Literal["warn", "error", "normalize"]
_SPOOL_BYTES = 1 << 22


@dataclass(frozen=True)
class EncodedAudio:
    """A block on its way out: stored samples (or, to be scaled or dithered, bare ones), its ledger, its first clip."""

    stored: Stored
    frames: int
    extremes: Extremes
    clips_at: str | None


class AudioSink:
    """A Sink of `(n, channels)` samples in -1..1. Read `warnings` and `facts()` after `close()`.

    target : a path (whatever its suffix: `format` decides) or a stream, which may be a pipe and is left open
    signal : what is written: rate, channels, and the frames if known · like : the input, kept where nothing is asked
    format, subtype : libsndfile's names in any case, or None for the input's
    dither : TPDF also where the bit depth does not fall · seed : of the dither
    on_clip : count, refuse, or scale the whole to full scale if something would clip
    name : what the output is called in errors
    """

    def __init__(
        self,
        target: Path | BinaryIO,
        *,
        signal: Signal,
        like: AudioDetails,
        format: str | None = None,
        subtype: str | None = None,
        dither: bool = False,
        seed: int = 0,
        on_clip: OnClip = "warn",
        name: str | None = None,
    ) -> None:
        self.warnings: list[str] = []
        self._name = name or (str(target) if isinstance(target, Path) else "standard output")
        self._signal, self._like, self._on_clip = signal, like, on_clip
        self.coding = choose_coding(
            like=(like.format, like.subtype), format=format, subtype=subtype
        )
        self._grid = Grid.of(self.coding.subtype)
        self._dither = Dither(seed) if _dithers(like, self.coding, asked=dither) else None
        self._rate = self._whole_rate()
        self._extremes = Extremes.none(len(signal.channels))
        self._frames, self._gain = 0, 1.0
        self._writer = self._open(target)
        self._spool: BinaryIO | None = None
        if on_clip == "normalize" and self.coding.subtype not in FLOATS:
            import tempfile

            self._spool = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 closed by close and discard

    def _whole_rate(self) -> int:
        wanted = self._signal.rate or float(self._like.rate)
        rate = max(1, round(wanted))
        if rate != wanted:
            self.warnings.append(
                f"a sound file holds a whole sampling rate: {wanted:.10g} Hz is written as {rate} Hz"
            )
        return rate

    def _open(self, target: Path | BinaryIO) -> Writer:
        coding, like, channels = self.coding, self._like, len(self._signal.channels)
        if coding.note:
            self.warnings.append(coding.note)
        metadata = plan_metadata(
            source=like.format,
            target=coding.format,
            tags=like.tags,
            chunks=like.chunks,
            resampled=self._rate / like.rate,
        )
        if metadata.lost:
            self.warnings.append(
                f"{coding.format} output does not keep: {', '.join(metadata.lost)}"
            )
        with self._writing():
            if coding.format in WAV_KINDS and coding.subtype in WIDTHS:
                # More than two channels want the extensible header; a WAV that did without goes on so.
                wide = coding.format == "WAV" and like.format not in WAV_KINDS and channels > 2
                header = WavHeader(
                    format="WAVEX" if wide else coding.format,
                    subtype=coding.subtype,
                    rate=self._rate,
                    channels=channels,
                    mask=like.mask if channels == like.channels else 0,
                    chunks=metadata.chunks,
                )
                return WavWriter(target, header, frames=self._signal.shape[0])
            endian = like.endian if coding.format == like.format else "FILE"
            return CodecWriter(
                target, coding, rate=self._rate, channels=channels, endian=endian, metadata=metadata
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """What the system says against writing, in our words; a closed pipe is the caller's to end quietly."""
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"cannot write {self._name}: {error.strerror or error}") from error

    def encode(self, y: Array, rows: AnyRows) -> EncodedAudio:
        """Round and store a block. Pure. InputError where the result is no number: a click is never written."""
        extremes = Extremes.of(y, self._grid) if len(y) else Extremes.none(y.shape[1])
        if not extremes.finite or (self.coding.subtype in FLOATS and extremes.clipped.any()):
            self._refuse_no_number(y, rows)
        clips_at = None
        if self._on_clip == "error" and extremes.clipped.any():
            low, high = self._grid.limits
            clips_at = self._place((y < low) | (y > high), rows)
        if self._spool is not None or self._dither is not None:
            return EncodedAudio(np.ascontiguousarray(y, np.float64), len(y), extremes, clips_at)
        rounded = self._grid.round(y, fits=not extremes.clipped.any())
        return EncodedAudio(self._writer.store(rounded), len(y), extremes, clips_at)

    def _refuse_no_number(self, y: Array, rows: AnyRows) -> None:
        place = self._place(~(np.abs(y) <= self._grid.high), rows)
        raise InputError(
            f"the result is not a number at {place}",
            hint="the input holds NaN or inf there, or a step made it (log, a division, an overflow)",
        )

    def _place(self, wrong: Any, rows: AnyRows) -> str:
        frame, channel = np.argwhere(wrong)[0]
        return (
            f"{int(rows[frame]) / self._like.rate:.6g} s, channel {self._signal.channels[channel]}"
        )

    def write(self, encoded: EncodedAudio) -> None:
        """Append a block. OutputError where the system refuses, or where something clips and that is refused."""
        self._extremes = self._extremes.joined(encoded.extremes)
        self._frames += encoded.frames
        if encoded.clips_at is not None:
            peak = decibels(float(encoded.extremes.peak.max())) or 0.0
            raise OutputError(
                f"{self._name}: the result clips at {encoded.clips_at} (peak {peak:+.2f} dBFS)",
                hint=f"add gain:{-np.ceil(peak * 10 + 1) / 10:g}dB, or use --on-clip normalize",
            )
        with self._writing():
            if self._spool is not None:
                self._spool.write(cast("Numbers", encoded.stored).data)
            else:
                self._pass_on(encoded.stored)

    def _pass_on(self, stored: Stored) -> None:
        if self._dither is not None:
            y = cast("Numbers", stored)
            stored = self._writer.store(self._grid.round(y, noise=self._dither.noise(*y.shape)))
        self._writer.write(stored)

    def close(self) -> None:
        """Finish the file: scale and write what waited, set the header, check that all of it arrived."""
        try:
            with self._writing():
                if self._spool is not None:
                    self._unspool(self._spool)
                warning = self._writer.finish()
        except BaseException:
            self.discard()
            raise
        if warning:
            self.warnings.append(warning)
        self._warn_of_clipping()

    def _unspool(self, spool: BinaryIO) -> None:
        """The second pass of normalize."""
        low, high = float(self._extremes.low.min()), float(self._extremes.high.max())
        self._gain = self._grid.gain_to_fit(low, high)
        channels = len(self._signal.channels)
        spool.seek(0)
        while raw := spool.read(_SPOOL_BYTES // (8 * channels) * 8 * channels):
            y = np.frombuffer(raw, np.float64).reshape(-1, channels)
            scaled = y * self._gain if self._gain != 1 else y
            self._pass_on(
                scaled if self._dither is not None else self._writer.store(self._grid.round(scaled))
            )
        spool.close()

    def _warn_of_clipping(self) -> None:
        total = int(self._extremes.clipped.sum())
        if not total:
            return
        peak = decibels(float(self._extremes.peak.max())) or 0.0
        if self._gain != 1:
            change = decibels(self._gain) or 0.0
            self.warnings.append(
                f"scaled by {change:+.2f} dB: the peak of {peak:+.2f} dBFS would have clipped"
            )
            return
        pairs = zip(self._signal.channels, self._extremes.clipped, strict=True)
        counts = ", ".join(f"{channel} {count}" for channel, count in pairs if count)
        said = "sample was" if total == 1 else "samples were"
        self.warnings.append(f"{total} {said} clipped ({counts}; peak {peak:+.2f} dBFS)")

    def discard(self) -> None:
        """Let go of everything after an error; what was written is not finished."""
        if self._spool is not None:
            self._spool.close()
        self._writer.discard()

    def facts(self) -> dict[str, Any]:
        """What was written, for the report: plain values only."""
        channels, peaks = self._signal.channels, self._extremes.peak
        clipped = (
            self._extremes.clipped if self._gain == 1 else np.zeros(len(channels), np.int64)
        )  # scaled, not clipped
        return {
            "format": self.coding.format,
            "subtype": self.coding.subtype,
            "rate": self._rate,
            "channels": list(channels),
            "frames": self._frames,
            "clipped": {c: int(n) for c, n in zip(channels, clipped, strict=True)},
            "peak_dbfs": {c: decibels(float(p)) for c, p in zip(channels, peaks, strict=True)},
            "normalized_by_db": decibels(self._gain),
            "dither": "TPDF" if self._dither is not None else None,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def _dithers(like: AudioDetails, coding: Coding, *, asked: bool) -> bool:
    """Only plain whole numbers can be dithered: the steps of a companded or lossy coding are not even."""
    plain = coding.subtype.startswith(("PCM_", "ALAC_")) and coding.subtype not in LOSSY
    return plain and (asked or bits_of(coding.subtype) < like.bits)
