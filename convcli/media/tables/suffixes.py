"""Refusals of output suffixes that name another format than the one that is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.errors import RequestError
from convcli.media.replacing import is_special
from convcli.media.tables.compression import without_compression
from convcli.media.tables.table_formats import SUFFIXES, TABBED

if TYPE_CHECKING:
    from convcli.places import Place

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
            hint=f"-o {name} writes text, which other programs can convert",
        )
    if not format_asked and _is_unknown(suffix):
        raise RequestError(
            f"{expected}: {suffix} is the suffix of no table",
            hint=f"-o {name}, or --format csv, writes text",
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
        hint=f"-o {with_other_suffix(output, other)} keeps the delimiter",
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
