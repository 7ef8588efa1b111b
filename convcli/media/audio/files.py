"""Sound files: how they are recognised, opened and written."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from convcli.dataclass import dataclass
from convcli.media.audio.medium import AUDIO
from convcli.media.files import Files, OpenedFile, UndividedError, format_contradiction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from convcli.media.audio.sink import AudioOptions, AudioSink
    from convcli.media.audio.source import AudioSource
    from convcli.media.division import Division, PartOfFile
    from convcli.places import Place
    from convcli.signals import Medium, Signal, Source


@dataclass(frozen=True, kw_only=True)
class AudioFiles(Files):
    """Sound files with the options for reading and writing them.

    options : how sound is written; None for the defaults
    strict : a truncated file is an error instead of a warning
    """

    medium: ClassVar[Medium] = AUDIO
    command: ClassVar[str] = "audio"

    options: AudioOptions | None = None
    strict: bool = False

    @staticmethod
    def has_suffix(path: Place) -> bool:
        """Whether the suffix of `path` belongs to a sound file."""
        from convcli.media.audio import decoder
        from convcli.media.audio.formats import SUFFIXES

        suffix = path.suffix.lower()
        return suffix in SUFFIXES or suffix in decoder.DECODED_SUFFIXES

    @staticmethod
    def begins_with(head: bytes) -> bool:
        """Whether `head` is the beginning of a sound file."""
        from convcli.media.audio.decoder import is_decoded
        from convcli.media.audio.formats import FIRST_BYTES

        if is_decoded(head[:12]):
            return True
        return head.startswith(FIRST_BYTES) or head[8:12] == b"WAVE"

    @contextmanager
    def open(
        self, path: Path | None, *, stdin: BinaryIO | None, output: Place | None = None
    ) -> Iterator[OpenedAudio]:
        """Open the sound in `path`, or on `stdin`. InputError says why it cannot be read."""
        from convcli.media.audio.source import open_audio

        options = self._options_for(output)
        with open_audio(path, stdin=stdin, strict=self.strict) as source:
            yield OpenedAudio(source, options, output)

    def _options_for(self, output: Place | None) -> AudioOptions:
        """The options, with the format that the suffix of `output` asks for if nothing else does.

        Standard output, devices and pipes get the format of the input.
        """
        from convcli.media.audio.formats import is_format_of, sound_format
        from convcli.media.audio.sink import AudioOptions
        from convcli.media.replacing import is_special

        options = self.options or AudioOptions()
        asked = options.format
        if asked is not None and output is not None and not is_format_of(asked, output):
            raise format_contradiction(asked, output)
        if options.format is not None or output is None or is_special(output):
            return options
        return replace(options, format=sound_format(output))


@dataclass(frozen=True, eq=False)
class OpenedAudio(OpenedFile):
    """An open sound file.

    options : how the result is written
    output : where the result goes, None for standard output
    """

    source: AudioSource
    options: AudioOptions
    output: Place | None

    @property
    def sources(self) -> Sequence[Source[Any]]:
        """The samples, as the only page."""
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

    def sink(
        self, place: Path | BinaryIO, pages: Sequence[Signal], *, label: str, unchanged: bool
    ) -> AudioSink:
        """The sink for the filtered sound."""
        return self._sink(place, pages, None)

    def division(self) -> Division:
        """How the sound is cut into parts: at blocks of frames, if it needs no codec."""
        from convcli.media.block_parts import BlockDivision

        blocks = self.source.seekable
        if blocks is None:
            name = self.source.details.format
            raise UndividedError(
                f"{name} is decoded from its beginning to its end; WAV, W64, AIFF, AU and CAF "
                "without a codec are cut"
            )
        return BlockDivision(source=blocks, size=self.source.size, make_sink=self._sink)

    def _sink(
        self, place: Path | BinaryIO, pages: Sequence[Signal], part: PartOfFile | None
    ) -> AudioSink:
        """The sink for the whole sound, or for a part of it."""
        from convcli.media.audio.sink import AudioSink

        (signal,) = pages
        return AudioSink(
            place,
            signal=signal,
            like=self.source.details,
            options=self.options,
            name=self.output,
            part=part,
        )
