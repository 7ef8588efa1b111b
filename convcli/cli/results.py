"""Reports, models and text results: where they may go, and how text is written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from convcli.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from convcli.facts import RunFacts
    from convcli.media.refusals import RealPaths
    from convcli.places import Place


def given_words() -> tuple[str, ...]:
    """The command line, for reports, without the secrets of URLs."""
    from convcli.media.remote import without_secrets

    return ("convcli", *(without_secrets(word) for word in sys.argv[1:]))


def refuse_report(report: Place | None, inputs: Iterable[Place | None], *, force: bool) -> None:
    """Refuse a report before any work begins; None: there is none.

    Raises RequestError if its format is unknown, if it is one of the inputs, or if it exists and
    `force` is not set; OutputError if its folder does not exist.
    """
    if report is None:
        return
    from convcli.report.files import check_report

    check_report(report)
    refuse_place(report, "report", inputs, force=force)


def refuse_plot(plot: Place | None, inputs: Iterable[Place | None], *, force: bool) -> None:
    """Refuse a drawing before any work begins, as a report; also where matplotlib is missing."""
    if plot is None:
        return
    from convcli.report.plots import check_plot

    check_plot(plot)
    refuse_place(plot, "drawing", inputs, force=force)


def refuse_place(
    place: Place, noun: str, inputs: Iterable[Place | None], *, force: bool, hint: str = ""
) -> None:
    """Refuse to write a file over an input, or over any file if `force` is not set.

    noun : what the file is called in messages
    hint : what to do about a file that exists

    Raises RequestError; OutputError if the folder of the file does not exist.
    """
    from convcli.media.refusals import place_exists, refuse_missing_parent, same_place

    refuse_missing_parent(place)
    if not place_exists(place):
        return
    if any(same_place(place, path) for path in inputs if path is not None):
        raise RequestError(f"the {noun} {place} is one of the inputs", hint="give it another name")
    if not force:
        raise RequestError(f"the {noun} {place} exists already", hint=hint or "--force replaces it")


def refuse_shared_places(
    places: Mapping[str, Place | None], outputs: Iterable[Place | None] = ()
) -> None:
    """Refuse two options that name one file or object, by any spelling or link.

    places : what each option names; None where the option is not given
    outputs : what -o names

    Raises RequestError. Devices may be shared, and so may standard output.
    """
    from convcli.media.refusals import RealPaths

    real_paths = RealPaths()
    options: dict[object, str] = {}
    for option, place in places.items():
        key = _key_of(place, real_paths)
        if key is None:
            continue
        other = options.setdefault(key, option)
        if other != option:
            raise _shared_place(other, option, place)
    if not options:
        return
    for output in outputs:
        shared = options.get(_key_of(output, real_paths))
        if shared is not None:
            raise _shared_place("-o", shared, output)


def _key_of(place: Place | None, real_paths: RealPaths) -> object:
    """What all names of a file have in common; None for standard output and devices."""
    from convcli.media.remote import text_of

    if place is None or str(place) == "-":
        return None
    return real_paths.key(text_of(place))


def _shared_place(one: str, other: str, place: Place | None) -> RequestError:
    return RequestError(f"{one} and {other} are both {place}", hint="give one of them another name")


def own_place(output: Place, inputs: Sequence[Place | None], *, force: bool, example: str) -> Place:
    """The path of an output that is not a filtered input, such as a model or a list of hits.

    Every refusal that is possible before the work happens here.

    example : a file name for the hint
    """
    from convcli.media.output_names import plan_output
    from convcli.media.remote import text_of

    place = None
    try:
        for path in inputs:
            place = plan_output(path, text_of(output), force=force)
    except RequestError as error:
        # The hints of plan_output are about filtered inputs, except the one about --force.
        if "--force" in (error.hint or ""):
            raise
        hint = f"-o {example} writes a file of its own"
        raise error.reworded(error.message, hint) from error.__cause__
    return place or output


def report_runs(runs: Sequence[RunFacts], place: Place | None) -> None:
    """Write the facts of runs as a report, if one was asked for."""
    if place is None:
        return
    from convcli.media.replacing import atomic
    from convcli.report.files import write_report

    write_report(runs, place, atomic=atomic)


def write_result(text: str, place: Place | None = None) -> None:
    """Write `text` to `place`, or to standard output; bytes of file names stay as they are.

    The suffix of `place` may ask for compression, as in `places.csv.gz`.
    """
    data = text.encode("utf-8", "surrogateescape")
    if place is not None:
        from convcli.media.outputs import open_output
        from convcli.media.tables.compression import compressed, compression_of_suffix
        from convcli.signals import TABLE

        compression = compression_of_suffix(place)
        if compression is not None:
            data = compressed(data, compression)
        with open_output(place, medium=TABLE) as file:
            if isinstance(file, Path):
                file.write_bytes(data)
            else:
                file.write(data)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
