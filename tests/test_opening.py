"""Inputs of every command: which medium a file is, and how options and inputs reach a command."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pytest
import typer
from table_settings import table_options
from typer.testing import CliRunner

from convcli.cli.groups import with_option_groups
from convcli.cli.opening import files_for, open_template, read_input
from convcli.errors import ConvcliError, InputError, RequestError
from convcli.media.audio.files import AudioFiles
from convcli.media.audio.medium import AUDIO
from convcli.media.images.files import ImageFiles
from convcli.media.images.medium import IMAGE
from convcli.media.tables.files import TableFiles
from convcli.signals import ARRAY, TABLE, Medium

if TYPE_CHECKING:
    from program import Program

    from convcli.media.files import Files
    from convcli.media.tables.table_options import TableOptions

SAMPLES = Path(__file__).parents[1] / "sample_data"
KNOWN = [("hello.wav", AUDIO), ("cat.png", IMAGE), ("vix.csv", TABLE)]


def files_of(*paths: Path | None, table: TableOptions | None = None) -> Files:
    return files_for(paths, table or table_options(), max_pixels=10**9, strict=False)


@pytest.mark.parametrize(("name", "medium"), KNOWN)
def test_a_suffix_or_the_first_bytes_say_the_medium(
    name: str, medium: Medium, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.write_bytes((SAMPLES / name).read_bytes())
    assert files_of(SAMPLES / name).medium is medium
    assert files_of(bare).medium is medium
    assert files_of(None, bare).medium is medium


@pytest.mark.parametrize("kind", [AudioFiles, ImageFiles, TableFiles])
def test_no_suffix_belongs_to_two_media(kind: type[Files]) -> None:
    own = [name for name, medium in KNOWN if medium is kind.medium]
    assert [name for name, _ in KNOWN if kind.has_suffix(Path(name))] == own


@pytest.mark.parametrize("name", ["hello.wav", "cat.png", "vix.csv"])
def test_a_file_of_another_medium_names_its_command(name: str, program: Program) -> None:
    right = {"hello.wav": "audio", "cat.png": "image", "vix.csv": "csv"}[name]
    for command in {"audio", "image", "csv"} - {right}:
        ended = program.run(command, "box:3", SAMPLES / name, "--dry-run")
        assert ended.code == 3, ended
        assert f"hint: `convcli {right}` filters such files" in ended.err


def test_nothing_says_the_medium(tmp_path: Path) -> None:
    (tmp_path / "bare").write_bytes(b"\0\1\2")
    (tmp_path / "empty").touch()
    for paths in ([None], [tmp_path / "bare"], [tmp_path / "empty"]):
        with pytest.raises(RequestError, match="nothing says whether"):
            files_of(*paths)
    with pytest.raises(InputError, match="there is no file"):
        files_of(tmp_path / "none")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (table_options(columns=("a",)), "-c is for tables, and these are sounds"),
        (table_options(header=False), "--no-header is for tables"),
        (table_options(by=("a",)), "--by is for tables"),
    ],
)
def test_options_of_tables_are_for_tables(table: TableOptions, words: str) -> None:
    assert files_of(SAMPLES / "vix.csv", table=table).medium is TABLE
    with pytest.raises(RequestError, match=words):
        files_of(SAMPLES / "hello.wav", table=table)


def test_every_input_is_opened_in_the_same_way() -> None:
    for name, medium in KNOWN:
        with ExitStack() as held:
            given = read_input(SAMPLES / name, held)
            opened = held.enter_context(given.opened(files_of(given.path)))
            assert [source.signal.medium for source in opened.sources] == [medium]
            assert opened.details()


def test_a_pipe_that_is_read_twice_is_kept(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = (SAMPLES / "hello.wav").read_bytes()
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    with ExitStack() as held:
        given = read_input(pipe, held, twice=True)
        writer.join()
        assert given.name == str(pipe)
        assert given.path is not None
        assert given.path != pipe
        assert given.path.read_bytes() == given.path.read_bytes() == data
        kept = str(given.path)
        assert given.message(f"{kept} is odd") == f"{pipe} is odd"
        with pytest.raises(InputError) as caught, held:
            raise InputError(f"{kept} is bad")
        assert caught.value.message == f"{pipe} is bad"


def test_a_template_says_which_columns_are_searched(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("day,x,y,word\n1,2,3,a\n2,3,4,b\n")
    files = files_of(tmp_path / "a.csv", table=table_options(time="when", by=("word",)))
    with open_template(tmp_path / "a.csv", files) as (page, searched):
        assert isinstance(searched, TableFiles)
        assert page.source.signal.channels == ("day", "x", "y")
        assert searched.options.columns.names == ("day", "x", "y")
        assert (searched.options.times.column, searched.options.columns.by) == ("when", ("word",))
        assert page.warnings == ()


def test_names_of_channels() -> None:
    assert AUDIO.names_of(2) == ("left", "right")
    assert IMAGE.names_of(3) == ("R", "G", "B")
    assert AUDIO.names_of(3) == ARRAY.names_of(3) == ("1", "2", "3")


# ------------------------------------------------------------------------------------ groups


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: Annotated[int, typer.Option(min=1)] = 3


@dataclass(frozen=True, kw_only=True)
class Outer:
    text: Annotated[str, typer.Argument()]
    loud: Annotated[bool, typer.Option("--loud")] = False
    inner: Inner


def test_fields_of_groups_are_options() -> None:
    seen = []

    @with_option_groups
    def command(outer: Outer, last: Annotated[int, typer.Option()] = 7) -> int:
        seen.append((outer, last))
        return 0

    app = typer.Typer()
    app.command()(command)
    runner = CliRunner()
    assert runner.invoke(app, ["a"]).exit_code == 0
    assert runner.invoke(app, ["b", "--loud", "--size", "5", "--last", "1"]).exit_code == 0
    assert runner.invoke(app, []).exit_code == 2
    assert runner.invoke(app, ["a", "--size", "0"]).exit_code == 2
    assert seen == [
        (Outer(text="a", inner=Inner()), 7),
        (Outer(text="b", loud=True, inner=Inner(size=5)), 1),
    ]


REFUSED = {
    "empty.csv": b"",
    "no number.csv": b"a,b\nx,y\n",
    "open quote.csv": b'a,b\n1,"2\n',
    "no text.csv": b"\xff\xfe\x00",
    "empty.jsonl": b"",
    "no object.jsonl": b"[1]\n",
    "no keys.jsonl": b"{}\n",
    "no number.jsonl": b'{"a": "x"}\n',
    "damaged.parquet": b"PAR1" + bytes(40) + b"PAR1",
    "damaged.feather": b"ARROW1" + bytes(40) + b"ARROW1",
    "header alone.wav": b"RIFF\0\0\0\0WAVEfmt ",
    "damaged.flac": b"fLaC" + bytes(60),
    "damaged.ogg": b"OggS" + bytes(60),
    "damaged.bmp": b"BM" + bytes(60),
}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize("name", list(REFUSED))
def test_what_is_refused_is_closed(name: str, tmp_path: Path) -> None:
    """While the error is alive, what it refers to is alive, too."""
    path = tmp_path / name
    path.write_bytes(REFUSED[name])
    files = files_of(path)
    with pytest.raises(ConvcliError) as refused, files.open(path, stdin=None, output=None):
        pass
    assert str(refused.value)
    links = Path("/proc/self/fd").iterdir()
    assert str(path) not in [str(link.readlink()) for link in links if link.is_symlink()]
