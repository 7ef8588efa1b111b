"""Tables: how they are recognised, opened and written, and which suffixes an output may have."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, cast

from convcli.dataclass import dataclass
from convcli.errors import RequestError, named_first, shell_word
from convcli.media.files import Files, OpenedFile, UndividedError, format_contradiction
from convcli.media.outputs import refuse_terminal
from convcli.media.refusals import same_place
from convcli.media.replacing import is_special
from convcli.media.tables.compression import (
    compression_of_start,
    compression_of_suffix,
    without_compression,
)
from convcli.media.tables.table_formats import (
    DELIMITED,
    SUFFIXES,
    TABBED,
    format_named,
    format_of_start,
    format_of_suffix,
)
from convcli.media.tables.table_options import bin_length
from convcli.signals import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from convcli.calendar_bins import CalendarBins
    from convcli.media.division import Division
    from convcli.media.tables.compression import Compression
    from convcli.media.tables.delimited_source import DelimitedSource
    from convcli.media.tables.sink import TableSink
    from convcli.media.tables.source import TableSource
    from convcli.media.tables.table_formats import TableFormat
    from convcli.media.tables.table_options import TableOptions
    from convcli.places import Place
    from convcli.signals import LearnedRules, Medium, Signal, Source


@dataclass(frozen=True, kw_only=True)
class TableFiles(Files):
    """CSV and TSV files with the options for reading and writing them.

    learned : the columns that a model was learned from, where it chose them
    """

    medium: ClassVar[Medium] = TABLE
    command: ClassVar[str] = "csv"
    inspects_template: ClassVar[bool] = True

    options: TableOptions
    learned: tuple[str, ...] = ()

    def for_model(self, learned: LearnedRules) -> TableFiles:
        """The columns that the model was learned from are filtered, unless others are asked for."""
        if self.options.columns.names is not None or not learned.columns:
            return self
        options = self.options.of_columns(learned.columns)
        return replace(self, options=options, learned=learned.columns)

    @staticmethod
    def has_suffix(path: Place) -> bool:
        """Whether the suffix of `path` belongs to a table."""
        return without_compression(path).suffix.lower() in SUFFIXES

    @staticmethod
    def begins_with(head: bytes) -> bool:
        """Whether `head` may be the beginning of a text, or of a compressed one."""
        if compression_of_start(head) is not None or format_of_start(head) is not None:
            return True
        return bool(head) and b"\0" not in head

    @contextmanager
    def open(
        self, path: Path | None, *, stdin: BinaryIO | None, output: Place | None = None
    ) -> Iterator[OpenedTable]:
        """Open the table in `path`, or on `stdin`. InputError says why it cannot be read.

        RequestError says that the suffix of `output` promises something else.
        """
        from convcli.media.tables.any_table import open_any_table

        asked = self.options.output.format
        refuse_other_format(output, source=path, format_asked=asked is not None)
        with ExitStack() as held:
            try:
                source = open_any_table(path, options=self.options, held=held, stdin=stdin)
            except RequestError as error:
                if not self.learned:
                    raise
                learned = named_first(self.learned)
                message = f"{error.message}; the model was learned from {learned}"
                raise error.reworded(message, error.hint) from error.__cause__
            written = self._output_format(output, source)
            if written is DELIMITED and source.format is DELIMITED:
                refuse_other_delimiter(output, source.dialect.delimiter, source=path)
            elif written is DELIMITED and output is not None and promises_tabs(output):
                written = TABBED
            compression = compression_of_suffix(output)
            if compression is None and path is not None and output is not None:
                # An output in place of the input is compressed as it is.
                compression = source.compression if same_place(path, output) else None
            _refuse_compressed_columns(output, compression, written)
            yield OpenedTable(source, written, compression)

    def _output_format(self, output: Place | None, source: TableSource) -> TableFormat:
        """The format of the output: by its suffix, else as asked for, else that of the input."""
        asked = self.options.output.format
        by_suffix = format_of_suffix(output)
        is_other = by_suffix is not None and by_suffix.name != asked
        if asked is not None and output is not None and is_other:
            raise format_contradiction(asked, output)
        if asked is not None:
            return format_named(asked)
        if by_suffix is None or has_same_suffix(source.path, output):
            return source.format
        return by_suffix

    @contextmanager
    def reopen(self, path: Path, *, output: Place | None, known: object) -> Iterator[OpenedTable]:
        """Open a table as it was opened before."""
        if known is not None:
            yield OpenedTable(cast("TableSource", known))
            return
        with self.open(path, stdin=None, output=output) as opened:
            yield opened

    def for_template(self, path: Path) -> tuple[TableFiles, TableFiles]:
        """How to read the template at `path`, and how to read the tables searched for it.

        Unless columns were asked for, all numeric columns of the template are compared. A template
        is read without groups, and with times only if it has their column.
        """
        from convcli.media.tables.any_table import open_any_table

        options = self.options
        with ExitStack() as held:
            source = open_any_table(path, options=options.without_groups(), held=held)
        columns = options.columns.names
        if columns is None:
            others = (*options.columns.by, options.times.column)
            columns = tuple(name for name in source.signal.channels if name not in others)
        if not columns:
            raise RequestError(
                f"{source.name}: expected a column of numbers to compare, found none",
                hint="-c names the columns",
            )
        searched = options.of_columns(columns)
        time = options.times.column if options.times.column in source.header else None
        template = searched.without_groups(time)
        return TableFiles(options=template), TableFiles(options=searched)


@dataclass(frozen=True, eq=False)
class OpenedTable(OpenedFile):
    """A table that has been opened.

    format, compression : those of the output
    """

    source: TableSource
    format: TableFormat = DELIMITED
    compression: Compression | None = None

    @property
    def sources(self) -> Sequence[Source[Any]]:
        """The table as the only page of its file."""
        return [self.source]

    @property
    def warnings(self) -> Sequence[str]:
        """Faults of the part of the table that was read so far."""
        return self.source.warnings

    @property
    def roundings(self) -> Sequence[str]:
        """A warning for each column with whole numbers that were rounded."""
        return self.source.roundings

    @property
    def doubts(self) -> Sequence[str]:
        """Assumptions that were made in reading the times."""
        return self.source.doubts

    def details(self) -> Mapping[str, object]:
        """Rows, columns and missing cells of the part of the table that was read so far."""
        return self.source.facts()

    def sink(
        self, place: Path | BinaryIO, pages: Sequence[Signal], *, label: str, unchanged: bool
    ) -> TableSink:
        """The sink for the rows with new numbers."""
        if not isinstance(place, Path) and not self.format.is_text:
            refuse_terminal(place, f"a {self.format.title} file")
        return self._sink(place, self.source, pages, label=label, unchanged=unchanged)

    def check_times(self, *, in_time: bool, bins: Sequence[CalendarBins]) -> None:
        """Raise RequestError for --integrate and --time-zone where they have no effect.

        Warn of calendar bins over numbers that may be no dates.
        """
        options = self.source.options
        if options.times.integrate and not in_time:
            raise RequestError(
                "--integrate weighs the rows of windows in time, and this filter has none",
                hint="a window in time is a duration, as in sma:2h or gaussian:3d",
            )
        if options.times.every is not None:
            bins = (*bins, bin_length(options.times.every))
        if options.times.zone is not None and not bins:
            raise RequestError(
                "--time-zone sets the calendar of bins, and this filter has none",
                hint="avg_pool:1d has a bin for each day, and --every 1d makes a row of it",
            )
        if any(one.months for one in bins):
            self.source.note_bins_of_numbers()

    @property
    def known(self) -> TableSource | None:
        """The table as it was opened: its header, its dialect and the columns that are filtered."""
        # The stream of an object stays in its process.
        kept = self.source.undivided is None and self.source.repeatable
        return self.source if kept else None

    @property
    def grouped(self) -> bool:
        """Whether the rows belong to several signals."""
        return bool(self.source.by_columns)

    def division(self) -> Division:
        """How the table is cut into parts: at rows, if it is plain text."""
        from convcli.media.tables.parts import TableDivision

        reason = self.source.undivided
        if reason is not None:
            raise UndividedError(reason)
        if self.format is not DELIMITED:
            raise UndividedError(f"{self.format.title} is written from its beginning to its end")
        if self.compression is not None:
            raise UndividedError("a compressed table is written from its beginning to its end")
        # Only delimited text is read in parts.
        source = cast("DelimitedSource", self.source)
        return TableDivision(source=source, make_sink=self._sink)

    def _sink(
        self,
        place: Path | BinaryIO,
        source: TableSource,
        pages: Sequence[Signal],
        *,
        label: str,
        unchanged: bool,
    ) -> TableSink:
        """The sink for the rows of the whole table, or for those of a part."""
        (signal,) = pages
        with ExitStack() as files:
            stream = files.enter_context(place.open("wb")) if isinstance(place, Path) else place
            if self.compression is not None:
                stream = files.enter_context(self.compression.writing(stream))
            sink = source.sink_of(self.format)(
                stream,
                source=source,
                format=self.format,
                suffix=label,
                channels=signal.channels,
                unchanged=unchanged,
            )
            if source.options.follow:
                sink.start()
            sink.held = files.pop_all()
        return sink


def _refuse_compressed_columns(
    output: Place | None, compression: Compression | None, format: TableFormat
) -> None:
    """Raise RequestError for a file of columns that would be compressed twice."""
    if compression is not None and output is not None and not format.is_text:
        raise RequestError(
            f"expected an output without {compression.suffix}, got {output}: "
            f"{format.title} files are compressed inside",
            hint=f"-o {shell_word(without_compression(output))} writes one",
        )


# ------------------------------------------- suffixes that name another format than the one written


# Suffixes of text besides those of tables, and of copies of any file.
_TEXT_SUFFIXES = (
    *(".log", ".out", ".asc", ".data", ".text", ".psv", ".ssv", ".prn", ".lst"),
    *(".bak", ".old", ".new", ".orig", ".tmp", ".part"),
)
# Suffixes of files that are not delimited text, by what they hold.
_OTHER_FORMATS = {
    "an archive": ".tgz .tbz2 .txz .lzma .zip .7z .rar .lz4 .br .z .sz .tar",
    "a columnar file": ".orc .avro",
    "a spreadsheet": ".xlsx .xls .xlsm .xlsb .ods .numbers",
    "structured text": ".json .geojson .yaml .yml .xml .html .htm",
    "a document": ".md .pdf .tex .docx .svg",
    "a file of arrays": ".npy .npz .h5 .hdf5 .nc .mat .pkl .pickle .zarr .safetensors .onnx .pt",
    "a database": ".db .sqlite .sqlite3 .duckdb .mdb",
    "a statistics file": ".dta .sav .sas7bdat .rds .rda .rdata",
    "a sound": ".wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .au .m4a .aac .caf .w64",
    "a picture": ".png .jpg .jpeg .tif .tiff .webp .gif .avif .heic .bmp .ppm .pgm .pam",
}


def refuse_other_format(
    output: Place | None, *, source: Place | None, format_asked: bool = False
) -> None:
    """Raise RequestError if the suffix of `output` is not that of a table.

    source : the input; an output may have its suffix, whatever that is
    format_asked : the format is asked for, so that a suffix that means nothing may stand
    """
    if output is None or is_special(output) or has_same_suffix(source, output):
        return
    suffix = without_compression(output).suffix.lower()
    kinds = [kind for kind, known in _OTHER_FORMATS.items() if suffix in known.split()]
    plain = output.with_suffix("")
    name = plain if plain.suffix.lower() in SUFFIXES else with_other_suffix(output, ".csv")
    expected = f"expected an output for a table, such as .csv or .parquet, got {output}"
    if kinds:
        raise RequestError(
            f"{expected}: {suffix} is {kinds[0]}",
            hint=f"-o {shell_word(name)} writes text, which other programs can convert",
        )
    if not format_asked and _is_unknown(suffix):
        raise RequestError(
            f"{expected}: {suffix} is the suffix of no table",
            hint=f"-o {shell_word(name)}, or --format csv, writes text",
        )


def _is_unknown(suffix: str) -> bool:
    """Whether a suffix may be that of a format; numbers, as in prices.2024, are none."""
    return suffix[1:].isalpha() and suffix not in SUFFIXES and suffix not in _TEXT_SUFFIXES


def refuse_other_delimiter(output: Place | None, delimiter: bytes, *, source: Place | None) -> None:
    """Raise RequestError if the suffix of `output` promises another delimiter than the table has.

    .tsv promises tabs. A .csv may have any delimiter, but none is made of a .tsv.
    """
    if output is None or is_special(output) or has_same_suffix(source, output):
        return
    suffix = without_compression(output).suffix.lower()
    from_tabs = source is not None and promises_tabs(source)
    if promises_tabs(output) and delimiter != b"\t":
        promised, other = "tabs", ".csv"
    elif suffix == ".csv" and delimiter == b"\t" and from_tabs:
        promised, other = "commas", ".tsv"
    else:
        return
    raise RequestError(
        f"expected an output for cells split by {delimiter.decode()!r} as in the input, "
        f"got {output}, whose suffix promises {promised}",
        hint=f"-o {shell_word(with_other_suffix(output, other))} keeps the delimiter",
    )


def promises_tabs(path: Place) -> bool:
    """Whether the suffix of a file says that tabs stand between its cells."""
    return without_compression(path).suffix.lower() in TABBED.suffixes


def with_other_suffix(path: Place, suffix: str) -> Place:
    """`path` with another suffix before that of its compression, if it has one.

    >>> from pathlib import Path
    >>> str(with_other_suffix(Path("a.tsv.gz"), ".csv"))
    'a.csv.gz'
    """
    plain = without_compression(path)
    compressed = path.name[len(plain.name) :]
    return plain.with_suffix(suffix + compressed)


def has_same_suffix(source: Place | None, output: Place | None) -> bool:
    """Whether an input and an output have one suffix, but for that of a compression."""
    if source is None or output is None:
        return False
    suffixes = [without_compression(path).suffix.lower() for path in (source, output)]
    return suffixes[0] == suffixes[1]
