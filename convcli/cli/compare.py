"""The command `convcli compare`: measure how two signals differ, or the files of two folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from convcli.cli.compare_options import CompareRun, CompareTable, LimitOptions, ResultFormat
from convcli.cli.compare_pairs import Pairs, pairs_of
from convcli.cli.comparing import Comparing
from convcli.cli.filter_command import exit_code_of
from convcli.cli.groups import command
from convcli.cli.results import report_runs, write_result
from convcli.errors import RequestError
from convcli.facts import RunFacts
from convcli.places import Place, place_of

if TYPE_CHECKING:
    from collections.abc import Sequence


@command(
    "compare",
    "convcli compare talk.wav out.wav",
    "convcli compare cat.png out.png --fail-below ssim=0.98",
    "convcli compare expected/ out/ --fail-above rms=1e-3 --csv > differences.csv",
    "convcli csv sma:3 vix.csv | convcli compare vix.csv - -c close --json",
    "convcli compare clean.wav out.wav --report difference.html",
)
def compare(
    a: Annotated[
        Place,
        typer.Argument(parser=place_of, metavar="A", help="The reference: a file, a folder or -."),
    ],
    b: Annotated[
        Place, typer.Argument(parser=place_of, metavar="B", help="What is compared with it.")
    ],
    *,
    limits: LimitOptions,
    format: ResultFormat,
    table: CompareTable,
    run: CompareRun,
) -> int:
    """Measure how two signals of a kind differ, or all files that two folders have in common.

    RMS and largest difference with its place, SNR, correlation, the delay of B (found between
    samples) and the difference of the spectra; PSNR and SSIM of pictures; each column of a table by
    itself. Two missing values are equal. The SNR of equal signals is infinite (null in JSON). With
    a limit, samples that only one of the two has make the run fail too, unless --fail-above
    unmatched=N allows them. Exit code 1 if a limit is broken.
    """
    from convcli.checking.limits import broken_limits, parse_limits

    asked = parse_limits(limits.fail_above or (), limits.fail_below or ())
    format.check()
    if table.by:
        raise RequestError("--by is not needed: rows are compared with the rows beside them")
    pairs = pairs_of(a, b)
    run.check_places([*pairs.paths()], several=pairs.of_folders)
    comparing = Comparing(table=table.compared_options(), run=run, limits=asked)
    runs = comparing.compare_all(pairs)
    # Files come first: the reader of standard output may close it early.
    if runs:
        _draw_comparisons(runs, run)
    _write_comparisons(runs, pairs, format)
    broken = []
    for each in runs:
        if each.comparison is not None:
            broken += list(broken_limits(each.comparison, asked))
    if asked:
        broken += pairs.alone_texts
    return max(comparing.worst, exit_code_of(broken))


def _write_comparisons(runs: Sequence[RunFacts], pairs: Pairs, format: ResultFormat) -> None:
    """Write the comparisons to standard output."""
    from convcli.report.as_csv import comparisons_csv
    from convcli.report.as_json import comparisons_json
    from convcli.report.comparison import comparison_lines

    found = [run.comparison for run in runs if run.comparison is not None]
    if not found:
        return
    if format.json:
        write_result(comparisons_json(runs, list(map(str, pairs.alone))))
    elif format.csv:
        write_result(comparisons_csv(found))
    else:
        write_result("".join(f"{line}\n" for line in comparison_lines(found)))


def _draw_comparisons(runs: Sequence[RunFacts], run: CompareRun) -> None:
    """Write the report and the drawing that were asked for."""
    report_runs(runs, run.report)
    if run.plot is not None:
        from convcli.media.replacing import atomic
        from convcli.report.plots import run_rows_of_figures, write_plot
        from convcli.report.words import run_title

        rows = run_rows_of_figures(runs[0])
        title = run_title(runs[0])
        write_plot(rows, run.plot, title=title, atomic=atomic, empty="no samples to compare")
