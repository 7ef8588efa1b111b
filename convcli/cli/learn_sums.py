"""`convcli learn --partial` and `--merge`: one filter, learned by several machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.cli import say
from convcli.cli.progress import Progress
from convcli.errors import RequestError

if TYPE_CHECKING:
    from convcli.cli.learn_inputs import LearnInputs
    from convcli.cli.learn_options import LearnOptions
    from convcli.learning.model_file import LearnedModel
    from convcli.learning.task import Task
    from convcli.places import Place

SUFFIX = ".npz"


def check_sums(options: LearnOptions) -> None:
    """Raise RequestError for options that cannot be combined with --partial or --merge."""
    if options.partial is None and not options.merge:
        if options.shard is not None:
            raise RequestError(
                "--shard learns from a part of the inputs", hint="--shard 1/4 --partial sums.1.npz"
            )
        return
    if options.layers is not None:
        raise RequestError(
            "--partial and --merge are for filters that are solved for",
            hint="a network is trained on one machine: --layers alone",
        )
    if options.partial is not None and options.merge:
        raise RequestError("--partial writes sums and --merge reads them", hint="one of both")
    if options.partial is not None:
        _check_partial(options, options.partial)
    elif not _is_plain_merge(options):
        raise RequestError(
            "--merge reads what is learned from the files of sums",
            hint="convcli learn --merge sums.*.npz -o model.safetensors; --ridge may be added",
        )


def _check_partial(options: LearnOptions, partial: Place) -> None:
    if options.output is not None:
        raise RequestError(
            "--partial writes sums, and no model yet", hint="--merge makes one of all sums: -o"
        )
    if partial.suffix.lower() != SUFFIX:
        raise RequestError(f"--partial expects a file such as sums.npz, got {partial}")


def _is_plain_merge(options: LearnOptions) -> bool:
    """Whether no option sets what the files of sums determine."""
    settings = (
        options.taps,
        options.target,
        options.ahead,
        options.delay,
        options.noise,
        options.bias,
        options.align,
        options.shard,
    )
    flags = options.blind or options.mix or options.on != "levels"
    return not flags and all(value is None for value in settings) and str(options.paths[0]) != "-"


def write_partial(options: LearnOptions, task: Task, inputs: LearnInputs, place: Place) -> None:
    """Write the sums over each input to the file of --partial, and say how many there are."""
    from convcli.learning.partial_sums import write_sums
    from convcli.media.replacing import atomic
    from convcli.report.words import visible
    from convcli.units import plural

    progress = Progress(inputs.size, shown=not options.quiet)
    try:
        with atomic(place) as path, path.open("wb") as file:
            windows = write_sums(task, inputs.pairs, file, progress.advance)
    finally:
        progress.close()
    if not options.quiet:
        units = plural(len(inputs.pairs), "input")
        say(f"{visible(str(place))}: sums over {windows:,} windows of {units}")


def merged(options: LearnOptions) -> tuple[Task, LearnedModel]:
    """The model of all files of sums, and the task that they were made for."""
    from convcli.learning.partial_sums import merged_model, read_sums
    from convcli.media.audio.medium import AUDIO
    from convcli.media.images.medium import IMAGE
    from convcli.signals import TABLE

    mediums = {medium.name: medium for medium in (AUDIO, IMAGE, TABLE)}
    files = [read_sums(place, mediums) for place in options.paths]
    return files[0].task, merged_model(files, options.ridge)
