"""Filters of a table side by side: FILTER, `--add NAME=FILTER` and `--set COLUMN=FILTER`.

All of them read the columns as they are in the table. They become one group of branches, so that
one pass over the table computes them all.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from convcli.core.formula import Operand
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.planning.calls import BRANCHES, Branch, BranchGroup, Call
from convcli.planning.grammar import parse
from convcli.planning.plan import make_plan, rules_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from convcli.signals import Signal

# What stands for the name of the source column in the name of a new one.
SOURCE = "{column}"


@dataclass(frozen=True, kw_only=True)
class NamedFilter:
    """`NAME=FILTER` as written in an option.

    option : --add or --set
    name : after --add the name of a new column; after --set the name or the pattern of columns that
        get a filter of their own
    """

    option: str
    name: str
    calls: tuple[Call, ...]
    text: str

    @property
    def written(self) -> str:
        """The option as it may be written."""
        name = self.name
        if "=" in name or name.startswith('"'):
            name = '"' + name.replace('"', '""') + '"'
        return f"{self.option} {name}={self.text}"


# A name in double quotes, as in a table, and the FILTER behind it.
_QUOTED = re.compile(r'\s*"((?:[^"]|"")+)"\s*=(.*)', re.DOTALL)


def _name_and_steps(text: str) -> tuple[str, str]:
    """The two parts of `NAME=FILTER`; both are empty if there is no `=`."""
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None:
        return quoted[1].replace('""', '"'), quoted[2].strip()
    name, sign, steps = text.partition("=")
    return (name.strip(), steps.strip()) if sign else ("", "")


def read_named_filter(text: str, option: str) -> NamedFilter:
    """Read `NAME=FILTER`. RequestError if something is missing.

    The first `=` ends the name, unless the name stands in double quotes.
    """
    name, steps = _name_and_steps(text)
    if not name or not steps:
        example = "--add fast=ema:span=12" if option == "--add" else "--set High=max_pool:5"
        what = "NAME" if option == "--add" else "COLUMN"
        raise RequestError(
            f"{option} expects {what}=FILTER, got {text!r}", hint=f"for example {example}"
        )
    if option == "--add":
        _refuse_other_braces(name)
    return NamedFilter(option=option, name=name, calls=_parsed(steps, option), text=steps)


def _parsed(steps: str, option: str) -> tuple[Call, ...]:
    """The steps of a FILTER behind a name that may have ended too early."""
    try:
        return parse(steps)
    except RequestError as error:
        if "=" not in steps.partition(":")[0]:
            raise
        hint = f"a name that holds = stands in double quotes: {option} '\"a=b\"=sma:5'"
        raise error.reworded(error.message, hint) from None


def _refuse_other_braces(name: str) -> None:
    """Raise RequestError for a word in braces that stands for nothing."""
    for braces in re.findall(r"\{[^{}]*\}", name):
        if braces != SOURCE:
            raise RequestError(
                f"--add: {braces} stands for nothing in the name of a column",
                hint=f"{SOURCE} is the name of the column that is read",
            )


@dataclass(frozen=True, kw_only=True)
class ColumnFilters:
    """The filters of --add and --set, besides FILTER.

    added : filters whose outputs become new columns
    own : filters of columns that FILTER does not touch
    """

    added: tuple[NamedFilter, ...] = ()
    own: tuple[NamedFilter, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.added or self.own)

    @property
    def own_names(self) -> tuple[str, ...]:
        """The names and patterns of the columns with a filter of their own."""
        return tuple(each.name for each in self.own)

    def calls(self, filter: tuple[Call, ...]) -> Iterator[Call]:
        """Yield the steps of FILTER and of all others."""
        yield from filter
        for each in (*self.added, *self.own):
            yield from each.calls

    def check(self) -> None:
        """Raise RequestError for a column that is named twice."""
        for option, named in (("--add", self.added), ("--set", self.own)):
            _refuse_twice(option, [each.name for each in named])


def _refuse_twice(option: str, names: Sequence[str]) -> None:
    """Raise RequestError if an option names a column twice."""
    seen = set()
    for name in names:
        if name in seen:
            raise RequestError(f"{option} names the column {name!r} twice")
        seen.add(name)


@dataclass(frozen=True, kw_only=True)
class ColumnOutputs:
    """The filters of a table as one step, and the columns that they are written to.

    call : a group of branches
    replaced : the channels that the first outputs replace
    new : the names of the columns that the other outputs become
    """

    call: Call
    replaced: tuple[int, ...]
    new: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """A filter of some channels, whose outputs are called `names`."""

    channels: tuple[int, ...]
    calls: tuple[Call, ...]
    names: tuple[str, ...]
    words: str


def outputs_of(
    filters: ColumnFilters,
    filter: tuple[Call, ...],
    signal: Signal,
    *,
    base: int,
    own: Mapping[str, tuple[int, ...]],
    label: str | None,
) -> ColumnOutputs:
    """The filters as one step of a signal.

    filter : FILTER; if it is empty, the columns stay as they are
    base : how many of the channels FILTER and the added columns read; the other channels are there
        only because they have a filter of their own
    own : the channels that each name of `ColumnFilters.own_names` stands for
    label : the suffix of columns that FILTER adds; None if it replaces the columns that it reads

    Raises RequestError if a name is taken or is the same for several columns, or if a channel
    has two filters of its own.
    """
    names = signal.channels
    owned = [number for each in filters.own for number in own[each.name]]
    _refuse_twice("--set", [names[number] for number in owned])
    replacing = _pieces_of_own(filters, own, names)
    adding = _pieces_added(filters, signal, base)
    plain = tuple(number for number in range(base) if number not in owned)
    if filter and plain:
        plain_names = [names[number] for number in plain]
        piece = _piece_of_filter(filter, plain, plain_names, label)
        place = replacing if label is None else adding
        place.insert(0, piece)
    replaced = tuple(number for piece in replacing for number in piece.channels)
    new = tuple(name for piece in adding for name in piece.names)
    return ColumnOutputs(
        call=_side_by_side([*replacing, *adding], names), replaced=replaced, new=new
    )


def _pieces_of_own(
    filters: ColumnFilters, own: Mapping[str, tuple[int, ...]], names: tuple[str, ...]
) -> list[_Piece]:
    """The filters of --set, whose outputs replace their columns."""
    pieces = []
    for each in filters.own:
        channels = own[each.name]
        made = tuple(names[number] for number in channels)
        pieces.append(_piece_of(each, channels, made))
    return pieces


def _pieces_added(filters: ColumnFilters, signal: Signal, base: int) -> list[_Piece]:
    """The filters of --add, which read the first `base` channels."""
    read = replace(signal, channels=signal.channels[:base])
    channels = tuple(range(base))
    return [_piece_of(each, channels, _names_of(each, read)) for each in filters.added]


def _piece_of_filter(
    filter: tuple[Call, ...], channels: tuple[int, ...], names: Sequence[str], label: str | None
) -> _Piece:
    """FILTER on some channels; outputs have the names of the channels, followed by the label."""
    if label is not None:
        names = [f"{name}_{label}" for name in names]
    words = " | ".join(call.text for call in filter)
    return _Piece(channels=channels, calls=filter, names=tuple(names), words=words)


def _piece_of(named: NamedFilter, channels: tuple[int, ...], names: tuple[str, ...]) -> _Piece:
    """A filter of an option on some channels."""
    return _Piece(channels=channels, calls=named.calls, names=names, words=named.written)


def _names_of(added: NamedFilter, signal: Signal) -> tuple[str, ...]:
    """The names of the columns that are added to the columns of a signal.

    A filter with one output for each column has one name for each. The only output of a filter that
    combines all columns (`mix:1,-1`) has the name as written. Several outputs of a column
    (`bollinger:20`) have the written name followed by the name of the output.
    """
    sources = signal.channels
    if not sources:
        raise RequestError(f"{added.written} has no column to read", hint="-c names the columns")
    made = make_plan(added.calls, signal, rules_for(signal, added.calls)).result.channels
    if made == sources:
        return _names_of_each(added, sources)
    if len(made) == 1:
        return (added.name.replace(SOURCE, "_".join(sources)),)
    return tuple(_name_of_part(added.name, channel, sources) for channel in made)


def _names_of_each(added: NamedFilter, sources: tuple[str, ...]) -> tuple[str, ...]:
    """The names of new columns, one for each source column."""
    if len(sources) > 1 and SOURCE not in added.name:
        listed = ", ".join(sources[:5])
        raise RequestError(
            f"{added.written} names one column, and {len(sources)} are read: {listed}",
            hint=f"-c names one to read, or --add '{SOURCE}_{added.name}=...' one for each",
        )
    return tuple(added.name.replace(SOURCE, name) for name in sources)


def _name_of_part(name: str, channel: str, sources: tuple[str, ...]) -> str:
    """The name of one of several columns that a filter makes: `bands_upper`, `Close_bands_upper`.

    channel : what the filter calls it, `upper`, or `Close_upper` where several columns are read
    """
    source, _, output = channel.rpartition("_")
    if source not in sources:
        return f"{name.replace(SOURCE, '_'.join(sources))}_{channel}"
    if SOURCE not in name:
        return f"{name}_{channel}"
    return f"{name.replace(SOURCE, source)}_{output}"


def _side_by_side(pieces: list[_Piece], names: tuple[str, ...]) -> Call:
    """Filters of some channels as one group of branches, whose outputs are concatenated."""
    source = ""
    branches = []
    for piece in pieces:
        if source:
            source += "  "
        at = len(source)
        source += piece.words
        calls = piece.calls
        if piece.channels != tuple(range(len(names))):
            numbers = ",".join(f"#{1 + number}" for number in piece.channels)
            calls = (*parse(f"pick:{numbers}"), *calls)
        branches.append(Branch(calls, at, piece.words, len(piece.names)))
    formulas = tuple(Operand(number) for number, _ in enumerate(branches))
    written = tuple(name for piece in pieces for name in piece.names)
    group = BranchGroup(tuple(branches), formulas, written)
    return Call(BRANCHES, (), source, 0, len(source), group)
