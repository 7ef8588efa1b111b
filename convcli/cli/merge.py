"""The command `convcli merge`: the ledgers of several machines become one."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from convcli import __version__
from convcli.cli import options, print_message, say
from convcli.cli.batch_options import failed_option
from convcli.cli.groups import command
from convcli.cli.opening import read_input
from convcli.cli.results import (
    given_words,
    own_place,
    refuse_place,
    refuse_report,
    refuse_shared_places,
    report_runs,
)
from convcli.dataclass import dataclass
from convcli.errors import ConditionError
from convcli.facts import RunFacts
from convcli.places import Place, place_of

if TYPE_CHECKING:
    from pathlib import Path

    from convcli.batch.merging import MergedLedgers
    from convcli.batch.part_units import NotedParts
    from convcli.facts.batch import BatchFacts


@dataclass(frozen=True, kw_only=True)
class MergeOptions:
    """Where the merged ledger, the list of failures and the report go."""

    output: Annotated[
        Place | None,
        options.file_option(
            "-o",
            "--output",
            help="Write one line for each input to a file.",
            show_default="standard output",
        ),
    ] = None
    failed: Annotated[Place | None, failed_option()] = None
    force: options.Force = False
    report: options.Report = None
    quiet: options.Quiet = False
    debug: options.Debug = False

    @property
    def written(self) -> Place | None:
        """Where the merged ledger goes; None is standard output."""
        return None if str(self.output) == "-" else self.output

    @property
    def other_places(self) -> dict[str, Place | None]:
        """The places of the other outputs, by their options."""
        return {"--failed": self.failed, "--report": self.report}


@command(
    "merge",
    "convcli merge run.1.jsonl run.2.jsonl -o all.jsonl",
    "convcli merge run.*.jsonl --report run.html --failed failed.txt > all.jsonl",
    "convcli merge run.*.jsonl | wc -l",
)
def merge(
    ledgers: Annotated[
        list[Place],
        typer.Argument(
            parser=place_of, metavar="LEDGER...", help="What --ledger wrote on each machine."
        ),
    ],
    *,
    run: MergeOptions,
) -> int:
    """Put the ledgers of several machines together, and report what is missing.

    For each input there is one line, in the order of the inputs. Exit code 1 if an input is missing
    or has failed. The parts of one large input become its output when all of them are there.
    """
    _refuse_places(ledgers, run)
    with ExitStack() as held:
        files = [_ledger_file(ledger, held) for ledger in ledgers]
        return _merge(files, run)


def _refuse_places(ledgers: list[Place], run: MergeOptions) -> None:
    """Refuse outputs that are an input, another output, or a file that exists."""
    if run.written is not None:
        own_place(run.written, ledgers, force=run.force, example="all.jsonl")
    refuse_report(run.report, ledgers, force=run.force)
    if run.failed is not None:
        refuse_place(run.failed, "list", ledgers, force=True)
    refuse_shared_places(run.other_places, [run.written])


def _ledger_file(ledger: Place, held: ExitStack) -> Path:
    """The ledger as a file, since it is read twice."""
    path = read_input(ledger, held, twice=True).path
    if path is None:
        raise ValueError(f"{ledger} is not kept in a file")
    return path


def _merge(ledgers: list[Path], run: MergeOptions) -> int:
    """Write what was asked for, join parts, and return the exit code."""
    from convcli.batch.failures import listed_lines, write_failed
    from convcli.batch.merging import MergedLedgers
    from convcli.report.batch import batch_summary

    merged = MergedLedgers(ledgers)
    if run.failed is not None and not run.force:
        _refuse_other_list(run.failed, merged)
    parts = _parts_to_join(merged, run)
    _write_lines(merged, run.written)
    facts = merged.facts()
    if run.failed is not None:
        failed = (line for line in merged.lines() if line.error is not None)
        write_failed(listed_lines(failed), run.failed)
    report_runs([_facts_of_merge(merged, facts)], run.report)
    if not run.quiet:
        for warning in merged.warnings:
            print_message(warning, kind="warning")
        say(batch_summary(facts, merged.first.filter))
    if parts is not None:
        _join(parts, quiet=run.quiet)
    return _reported_code(facts)


def _refuse_other_list(place: Place, merged: MergedLedgers) -> None:
    """Raise RequestError if the list of failures would replace a file that is no such list."""
    from convcli.batch.failures import is_free_for_failures, listed_lines, no_list_of_failures

    if not is_free_for_failures(place, listed_lines(merged.lines())):
        raise no_list_of_failures(place, hint="name another file, or --force replaces it")


def _parts_to_join(merged: MergedLedgers, run: MergeOptions) -> NotedParts | None:
    """The parts of one large input that become its output; None if there are none to join.

    Raises RequestError or InputError, before anything is written, for parts that cannot be joined.
    """
    from convcli.batch.part_units import parts_of_lines
    from convcli.media.refusals import refuse_existing

    parts = parts_of_lines(merged.lines())
    if parts is None or parts.joined_before:
        return None
    files = {"the output of the parts": parts.whole}
    files |= {f"part {number}": place for number, place in enumerate(parts.places, 1)}
    refuse_shared_places(files | run.other_places, [run.written])
    refuse_existing(parts.whole, force=run.force)
    parts.check()
    return parts


def _join(parts: NotedParts, *, quiet: bool) -> None:
    from convcli.batch.part_units import join_parts

    join_parts(parts.places, parts.whole)
    if not quiet:
        say(f"{len(parts.lines)} parts -> {parts.whole}")


def _write_lines(merged: MergedLedgers, output: Place | None) -> None:
    if output is None:
        for line in merged.lines():
            sys.stdout.buffer.write(line.to_json())
        sys.stdout.buffer.flush()
    else:
        from convcli.batch.ledger import rewrite

        rewrite(output, merged.lines())


def _facts_of_merge(merged: MergedLedgers, facts: BatchFacts) -> RunFacts:
    return RunFacts(
        version=__version__,
        filter=merged.first.filter,
        command=given_words(),
        batch=facts,
        warnings=tuple(merged.warnings),
        seconds=merged.seconds,
    )


def _reported_code(facts: BatchFacts) -> int:
    """Tell what is missing and what has failed, and return the exit code."""
    from convcli.report.batch import again_hint, failures_text, missing_text

    messages = []
    if facts.missing:
        messages.append(missing_text(facts))
    if facts.failed:
        messages.append(failures_text(facts))
    if not messages:
        return 0
    for text in messages[:-1]:
        print_message(text)
    print_message(messages[-1], hint=again_hint(facts))
    return ConditionError.exit_code
