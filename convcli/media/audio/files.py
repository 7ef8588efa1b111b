"""Sound files: how they are recognised, opened and written."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal

from convcli.media.audio.medium import AUDIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from convcli.media.audio.sink import AudioSink
    from convcli.media.audio.source import AudioSource
    from convcli.signals import Medium, Signal, Source

# First bytes of FLAC, Ogg, MP3 with and without ID3, AIFF, CAF and AU. WAV says so in bytes 8 to 11.
_BEGINNINGS = (b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf3", b"FORM", b"caff", b".snd")


@dataclass(frozen=True, kw_only=True)
class AudioFiles:
    """Sound files with the options for reading and writing them.

    format, subtype : container and coding of the samples; None keeps those of the input
    dither, seed : TPDF dither even if the bit depth does not fall, and the seed of its noise
    on_clip : what happens to samples beyond full scale
    strict : a truncated file is an error instead of a warning
    """

    medium: ClassVar[Medium] = AUDIO
    command: ClassVar[str] = "audio"

    format: str | None = None
    subtype: str | None = None
    dither: bool = False
    seed: int = 0
    on_clip: Literal["warn", "error", "normalize"] = "warn"
    strict: bool = False

    @staticmethod
    def has_suffix(path: Path) -> bool:
        """Whether the suffix of `path` belongs to a sound file."""
        from convcli.media.audio.formats import SUFFIXES

        return path.suffix.lower() in SUFFIXES

    @staticmethod
    def begins_with(head: bytes) -> bool:
        """Whether `head` is the beginning of a sound file."""
        return head.startswith(_BEGINNINGS) or head[8:12] == b"WAVE"

    @contextmanager
    def open(
        self, path: Path | None, *, stdin: BinaryIO | None, output: Path | None = None
    ) -> Iterator[OpenedAudio]:
        """Open the sound in `path`, or on `stdin`. InputError says why it cannot be read."""
        from convcli.media.audio.source import open_audio

        format = self._format_of(output)
        with open_audio(path, stdin=stdin, strict=self.strict) as source:
            yield OpenedAudio(source, self, format, output)

    def _format_of(self, output: Path | None) -> str | None:
        """The format asked for; None keeps that of the input, as standard output and devices do."""
        from convcli.media.audio.formats import format_of
        from convcli.media.replacing import is_special

        if self.format is not None or output is None or is_special(output):
            return self.format
        return format_of(output)


@dataclass(frozen=True)
class OpenedAudio:
    """An open sound file.

    format : the format of the output, None for that of the input
    output : where the result goes, None for standard output
    """

    source: AudioSource
    files: AudioFiles
    format: str | None
    output: Path | None

    @property
    def sources(self) -> Sequence[Source[Any]]:
        """The only page."""
        return [self.source]

    @property
    def warnings(self) -> Sequence[str]:
        """Everything that is odd about the file, as far as it was read."""
        return self.source.warnings

    def details(self) -> Mapping[str, object]:
        """Format, coding, bit depth and tags."""
        details = self.source.details
        return {
            "format": details.format,
            "subtype": details.subtype,
            "bits": details.bits,
            "tags": details.tags,
        }

    def check(self, result: Signal, *, keeps_shape: bool) -> None:
        """Accept every result."""

    def sink(
        self, place: Path | BinaryIO, pages: Sequence[Signal], *, label: str, unchanged: bool
    ) -> AudioSink:
        """The sink for the filtered sound."""
        from convcli.media.audio.sink import AudioSink

        (signal,) = pages
        files = self.files
        return AudioSink(
            place,
            signal=signal,
            like=self.source.details,
            format=self.format,
            subtype=files.subtype,
            dither=files.dither,
            seed=files.seed,
            on_clip=files.on_clip,
            name="standard output" if self.output is None else str(self.output),
        )
