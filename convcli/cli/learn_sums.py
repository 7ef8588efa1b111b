"""`convcli learn --partial` and `--merge`: one filter, learned by several machines."""

from __future__ import annotations

import io
import tempfile
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, ClassVar, cast

from convcli.batch.listing import STDIN
from convcli.batch.units import Unit
from convcli.cli import print_message, say
from convcli.cli.learn_inputs import files_of_pairs, named_pairs, open_inputs, opened_pair
from convcli.cli.opening import name_input
from convcli.cli.progress import Progress
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.media.remote import text_of
from convcli.places import place_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.batch.run_units import Work
    from convcli.cli.learn_inputs import LearnInputs, PlacePair
    from convcli.cli.learn_options import LearnOptions
    from convcli.learning.learned_model import LearnedModel
    from convcli.learning.partial_sums import SumsFile
    from convcli.learning.task import Task
    from convcli.media.files import Files
    from convcli.places import Place

SUFFIX = ".npz"

# Most shares that a warning names.
MOST_NAMED = 5


def check_sums(options: LearnOptions) -> None:
    """Raise RequestError for options that cannot be combined with --partial or --merge."""
    if options.partial is None and not options.merge:
        if options.shard is not None:
            raise RequestError(
                "--shard learns from a part of the inputs", hint="--shard 1/4 --partial sums.1.npz"
            )
        if options.cluster is not None and options.layers is not None:
            raise RequestError(
                "--cluster is for filters that are solved for",
                hint="a network is trained on one machine: --layers alone",
            )
        return
    if options.layers is not None:
        raise RequestError(
            "--partial and --merge are for filters that are solved for",
            hint="a network is trained on one machine: --layers alone",
        )
    if options.cluster is not None:
        raise RequestError(
            "--cluster adds up the sums of all inputs by itself",
            hint="without --partial and --merge",
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
            windows = write_sums(task, inputs.pairs, file, progress.advance, share=inputs.share)
    finally:
        progress.close()
    if not options.quiet:
        units = plural(len(inputs.pairs), "input")
        say(f"{visible(str(place))}: sums over {windows:,} windows of {units}")
        for warning in inputs.late_warnings():
            print_message(warning, kind="warning")


def merged_from_files(options: LearnOptions) -> tuple[Task, LearnedModel]:
    """The model of all files of sums, and the task that they were made for."""
    from convcli.learning.partial_sums import merged_model, missing_shares

    files = [read_sums_of(place) for place in options.paths]
    missing = missing_shares(files)
    if missing and not options.quiet:
        shares = ", ".join(f"--shard {share}" for share in missing[:MOST_NAMED])
        more = ", ..." if len(missing) > MOST_NAMED else ""
        print_message(f"the sums of {shares}{more} are missing", kind="warning")
    return files[0].task, merged_model(files, options.ridge)


def read_sums_of(place: Place) -> SumsFile:
    """A file of sums over signals of any medium."""
    from convcli.learning.partial_sums import read_sums
    from convcli.media.audio.medium import AUDIO
    from convcli.media.images.medium import IMAGE
    from convcli.signals import TABLE

    mediums = {medium.name: medium for medium in (AUDIO, IMAGE, TABLE)}
    return read_sums(place, mediums)


# -------------------------------------------------------------------------------------- a cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class PairUnit(Unit):
    """An input with its target as a unit of work; target : None where there is none."""

    target: str | None


@dataclass(frozen=True)
class InputSums:
    """The content of a file of sums over one input, and the warnings about the input."""

    content: bytes
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class SumsWork:
    """Adds up the sums over one input. It can be pickled.

    files : how inputs are opened
    task : what is learned
    retries : how often an input is tried again after an error that may pass
    """

    files: Files
    task: Task
    retries: int = 0
    runs_network: ClassVar[bool] = False

    def refuse(self, unit: Unit) -> None:
        """Accept every unit: no file is written."""

    def run(self, unit: PairUnit) -> InputSums:
        """The sums over the input of the unit."""
        from convcli.learning.partial_sums import write_sums

        target = None if unit.target is None else place_of(unit.target)
        file = io.BytesIO()
        with ExitStack() as held:
            pair = opened_pair((place_of(unit.name), target), held)
            inputs = open_inputs([pair], self.files, held, quiet=True)
            write_sums(self.task, inputs.pairs, file, lambda _: None)
            warnings = tuple(inputs.all_warnings())
        return InputSums(file.getvalue(), warnings)


def learned_on_cluster(options: LearnOptions, held: ExitStack) -> tuple[Task, LearnedModel]:
    """The task, and the model of all inputs, whose sums are made on a Dask cluster."""
    from convcli.cli.learn_task import task_of
    from convcli.learning.partial_sums import merged_model

    named = named_pairs(options)
    units = [_pair_unit(number, pair) for number, pair in enumerate(named, 1)]
    first = opened_pair(named[0], held)
    files = files_of_pairs(options, [first])
    opened = open_inputs([first], files, held, quiet=True)
    task = task_of(options, opened.pairs[0].source.signal)
    work = SumsWork(files=files, task=task, retries=options.retries)
    folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="convcli-")))
    _collect_sums(options, work, units, folder)
    found = [read_sums_of(_sums_place(folder, unit)) for unit in units]
    return task, merged_model(found, options.ridge)


def _collect_sums(
    options: LearnOptions, work: SumsWork, units: Sequence[PairUnit], folder: Path
) -> None:
    """Carry units out on a cluster, write their sums to files in a folder, and print warnings.

    The first error ends the run: the filter is that of all inputs.
    """
    from convcli.batch.cluster import ClusterRunner
    from convcli.batch.run_units import outcomes
    from convcli.cli.progress import RetryNotes
    from convcli.running.workers import cores

    processes = min(cores(), len(units))
    address = options.cluster or ""
    retry_notes = RetryNotes(quiet=options.quiet)
    runner = ClusterRunner(
        cast("Work", work),
        address,
        processes=processes,
        stopping=Event(),
        on_retry=retry_notes,
    )
    progress = Progress(len(units), shown=not options.quiet)
    warnings: list[str] = []
    try:
        for outcome in outcomes(runner, units):
            if outcome.error is not None:
                raise name_input(outcome.error, outcome.unit.label)
            sums = cast("InputSums", outcome.facts)
            _sums_place(folder, outcome.unit).write_bytes(sums.content)
            warnings += sums.warnings
            progress.advance(1)
    finally:
        progress.close()
        retry_notes.close()
    if not options.quiet:
        for warning in warnings:
            print_message(warning, kind="warning")


def _sums_place(folder: Path, unit: Unit) -> Path:
    return folder / f"{unit.number}{SUFFIX}"


def _pair_unit(number: int, pair: PlacePair) -> PairUnit:
    source, target = pair
    if str(source) == STDIN:
        raise RequestError("standard input cannot be sent to a cluster", hint="name a file")
    name = text_of(source)
    return PairUnit(
        number=number,
        name=name,
        relative=name,
        target=None if target is None else text_of(target),
    )
