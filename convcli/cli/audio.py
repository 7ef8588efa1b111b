"""`convcli audio`."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import typer

from convcli.cli.batch import Batch
from convcli.cli.options import Request, examples, suffix_of, with_request
from convcli.media.audio.medium import AUDIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from convcli.media.audio.sink import AudioSink
    from convcli.media.audio.source import AudioSource
    from convcli.planning.grammar import Call
    from convcli.planning.plan import Plan
    from convcli.signals import Medium, Source


@dataclass(frozen=True, kw_only=True)
class AudioAdapter:
    """How sound files are opened and written."""

    format: str | None
    subtype: str | None
    dither: bool
    seed: int
    on_clip: Literal["warn", "error", "normalize"]
    tail: bool
    strict: bool
    medium: Medium = AUDIO
    command: str = "audio"
    stepwise: bool = False

    @contextmanager
    def open(
        self, path: Path | None, output: Path | None, calls: tuple[Call, ...]
    ) -> Iterator[OpenedAudio]:
        """The sound in `path`, or on standard input."""
        from convcli.media.audio.formats import format_of
        from convcli.media.audio.source import open_audio
        from convcli.media.outputs import is_special

        # A device or a pipe gets the format of the input, as standard output does.
        wanted = self.format
        if wanted is None and output is not None and not is_special(output):
            wanted = format_of(output)
        stdin = sys.stdin.buffer if path is None else None
        with open_audio(path, stdin=stdin, strict=self.strict) as source:
            yield OpenedAudio(source, self, wanted)


@dataclass
class OpenedAudio:
    """A sound file."""

    source: AudioSource
    adapter: AudioAdapter
    format: str | None

    @property
    def warnings(self) -> list[str]:
        return self.source.warnings

    @property
    def sources(self) -> Sequence[Source[Any]]:
        return [self.source]

    def details(self) -> Mapping[str, object]:
        details = self.source.details
        return {name: getattr(details, name) for name in ("format", "subtype", "bits", "tags")}

    def check(self, plan: Plan) -> None:
        """Every chain suits sound."""

    def sink(self, place: Path | BinaryIO, plans: Sequence[Plan], name: str) -> AudioSink:
        from convcli.media.audio.sink import AudioOptions, AudioSink

        (plan,) = plans
        signal = plan.result
        if self.adapter.tail and signal.shape[0] is not None and plan.signal.shape[0] is not None:
            length = plan.chain.count(0, plan.signal.shape[0] + plan.chain.reach[0].before)
            signal = replace(signal, shape=(length,))
        return AudioSink(
            place,
            signal=signal,
            like=self.source.details,
            options=AudioOptions(
                format=self.format,
                subtype=self.adapter.subtype,
                dither=self.adapter.dither,
                seed=self.adapter.seed,
                on_clip=self.adapter.on_clip,
            ),
            name=name,
        )

    def next_page(self, sink: Any) -> None:
        """A sound file has but one."""


@with_request
def audio(
    request: Request,
    *,
    tail: Annotated[bool, typer.Option("--tail", help="Keep what rings on after the end.")] = False,
    format: Annotated[
        str | None,
        typer.Option(
            help="Format of the output: wav, flac, ogg, mp3, aiff, ...", show_default=False
        ),
    ] = None,
    subtype: Annotated[
        str | None,
        typer.Option(help="Coding of the samples: pcm_16, pcm_24, float, ...", show_default=False),
    ] = None,
    dither: Annotated[
        bool,
        typer.Option("--dither", help="TPDF dither; without it only where the bit depth falls."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the dither.")] = 0,
    on_clip: Annotated[
        Literal["warn", "error", "normalize"],
        typer.Option(help="What to do where samples exceed full scale."),
    ] = "warn",
    strict: Annotated[
        bool, typer.Option("--strict", help="A truncated file is an error, not a warning.")
    ] = False,
) -> int:
    """Filter sound files: WAV, FLAC, OGG, MP3, AIFF and all else that libsndfile reads.

    Format, rate, bit depth and tags are kept unless asked otherwise. Samples are rounded, and clipped ones counted.
    Frequencies are in Hz (3.4k), lengths in samples (64) or time (20ms). WAV goes through pipes both ways.
    """
    adapter = AudioAdapter(
        format=format,
        subtype=subtype,
        dither=dither,
        seed=seed,
        on_clip=on_clip,
        tail=tail,
        strict=strict,
    )
    return Batch(replace(request, suffix=suffix_of(format)), adapter).run()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        name="audio",
        epilog=examples(
            "convcli audio 'lowpass:3.4k | downsample:2' talk.wav -o narrow.wav",
            "convcli audio ir:hall.wav,wet=0.3 --tail voice.flac -o reverb.flac",
            "ffmpeg -v error -i film.mp4 -f wav - | convcli audio highpass:80 -o - | sox -t wav - out.ogg",
        ),
    )(audio)
