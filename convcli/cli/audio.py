"""The command `convcli audio`: filter sound files. `convcli/cli/app.py` adds it."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from convcli.cli import options
from convcli.cli.filter_command import FilterCommand
from convcli.cli.groups import command
from convcli.cli.options import Request, RunOptions, suffix_of
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.media.audio.files import AudioFiles
from convcli.signals import Align, Edge


@dataclass(frozen=True, eq=False, kw_only=True)
class SoundOptions:
    """How sound files are read and written."""

    tail: Annotated[
        bool, typer.Option("--tail", help="Let the output go on until the filter has rung out.")
    ] = False
    format: Annotated[
        str | None, typer.Option(help="Format of the output: wav, flac, ogg, mp3, aiff, ...")
    ] = None
    subtype: Annotated[
        str | None, typer.Option(help="Coding of the samples: pcm_16, pcm_24, float, ...")
    ] = None
    dither: Annotated[
        bool,
        typer.Option("--dither", help="Add TPDF dither even where the bit depth does not fall."),
    ] = False
    seed: Annotated[int, typer.Option(min=0, help="Seed of the dither.")] = 0
    on_clip: Annotated[
        Literal["warn", "error", "normalize"],
        typer.Option(help="What to do where samples exceed full scale."),
    ] = "warn"
    bitrate: Annotated[
        str | None,
        typer.Option(
            metavar="BITS",
            help="Bit rate of MP3, Vorbis and Opus: 192k. By default a lossy input keeps its own.",
        ),
    ] = None
    quality: Annotated[
        float | None,
        typer.Option(
            min=0, max=10, help="Quality of MP3 and Vorbis at a varying bit rate; 10 is best."
        ),
    ] = None
    strict: Annotated[
        bool, typer.Option("--strict", help="A truncated file is an error, not a warning.")
    ] = False


@dataclass(frozen=True, eq=False, kw_only=True)
class SoundRun(RunOptions):
    """How a filter is applied to sounds."""

    edge: Annotated[
        Edge | None, options.edge_option("zero; edge where the rate changes without --tail")
    ] = None
    align: Annotated[Align | None, options.align_option("center")] = None


@command(
    "audio",
    "convcli audio 'lowpass:3.4k | downsample:2' talk.wav -o narrow.wav",
    "convcli audio 'notch:50,harmonics=8 | mono' talk.wav -o clean.wav",
    "convcli audio ir:hall.wav,wet=0.3 --tail voice.flac -o reverb.flac",
    "convcli audio lowpass:3.4k 'in/**/*.wav' -o out/ --ledger run.jsonl --resume",
    "ffmpeg -v error -i film.mp4 -f wav - | convcli audio highpass:80 -o - | sox -t wav - out.ogg",
)
def audio(request: Request, sound: SoundOptions, run: SoundRun) -> int:
    """Filter sound files: WAV, FLAC, OGG, MP3, AIFF and all else that libsndfile reads.

    Format, rate, bit depth and tags are kept unless asked otherwise. Samples are rounded, and
    clipped ones counted. Frequencies are in Hz (3.4k), lengths in samples (64) or time (20ms). WAV
    goes through pipes both ways.
    """
    from convcli.media.audio.bitrate import parse_bitrate
    from convcli.media.audio.sink import AudioOptions

    if sound.bitrate is not None and sound.quality is not None:
        raise RequestError("--bitrate and --quality contradict each other", hint="choose one")
    audio_options = AudioOptions(
        format=sound.format,
        subtype=sound.subtype,
        dither=sound.dither,
        seed=sound.seed,
        on_clip=sound.on_clip,
        bitrate=None if sound.bitrate is None else parse_bitrate(sound.bitrate),
        quality=sound.quality,
    )
    return FilterCommand(
        request=request,
        options=run,
        files=AudioFiles(options=audio_options, strict=sound.strict),
        suffix=suffix_of(sound.format),
        tail=sound.tail,
    ).run()
