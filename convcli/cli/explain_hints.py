"""Commands of `explain` that work, for the hints of requests that do not."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from convcli.errors import ConvcliError

if TYPE_CHECKING:
    from convcli.cli.explain_request import ExplainRequest
    from convcli.media.tables.table_options import TableOptions


def complete_command(request: ExplainRequest) -> str:
    """The command for a SIGNAL without a KERNEL, or for a FILTER in its place.

    request : its signal is empty if nothing was given
    """
    from convcli.checking.continuous import FUNCTIONS
    from convcli.cli.explain_signal import opened_without_column
    from convcli.media.inputs import is_file

    signal = request.signal
    if not signal:
        return replace(request, signal="1,2,3,4", kernel="1,2,1").command
    if signal in FUNCTIONS:
        page = replace(request.page, continuous=True)
        return replace(request, kernel="exp", page=page).command
    if is_file(signal.removeprefix("@")):
        filtered = replace(request, kernel="box:3")
        return filtered.command if opened_without_column(signal) else filtered.with_column()
    if _is_filter(signal):
        return replace(request, signal="1,2,3,4", kernel=signal).command
    return replace(request, kernel="1,2,1").command


def _is_filter(text: str) -> bool:
    """Whether a text can be read as a FILTER."""
    from convcli.designs import find
    from convcli.planning.grammar import parse

    try:
        for call in parse(text):
            find(call.name)
    except ConvcliError:
        return False
    return True


def last_column(name: str, options: TableOptions) -> str:
    """The last column of a table that holds numbers; a word in its place if there is none."""
    from convcli.cli.opening import read_input
    from convcli.media.tables.files import TableFiles

    if name == "-":
        return "COLUMN"
    try:
        with ExitStack() as held:
            given = read_input(Path(name).expanduser(), held)
            opened = held.enter_context(given.opened(TableFiles(options=options)))
            return opened.sources[0].signal.channels[-1]
    except (ConvcliError, IndexError):
        return "COLUMN"
