"""Many inputs: lists of units, and carrying them out."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import unicodedata
from functools import partial
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import lost_process
import numpy as np
import pytest
import soundfile
from program import SAMPLES, done, refused, run

from convcli.batch.answers import MOST_SHARED, AnswerReader, AnswerWriter
from convcli.batch.listing import InputWords, Listing, list_inputs
from convcli.batch.processes import ProcessRunner
from convcli.batch.run_units import (
    Outcome,
    OwnThread,
    Runner,
    ThreadRunner,
    UnitOrder,
    carry_out,
    outcomes,
)
from convcli.batch.units import InputUnits, Shard, Unit
from convcli.cli.failed_inputs import FailedInputs
from convcli.cli.progress import Progress, RetryNotes
from convcli.errors import ConvcliError, InputError, RequestError
from convcli.facts import RunFacts, StepFacts
from convcli.media.audio.files import AudioFiles
from convcli.media.output_names import OneOutput, OutputNames

PLACES = ("a.wav", "b.flac", "c.txt", ".hidden.wav", "sub/a.wav", "sub/deep/d.WAV", ".git/e.wav")


pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a tree of empty files in `in`."""
    for place in PLACES:
        path = tmp_path / "in" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(
    *words: str, recursive: bool = False, null: bool = False, files_from: str | None = None
) -> Listing:
    asked = InputWords(words=words, recursive=recursive, null=null, files_from=files_from)
    return list_inputs(asked, AudioFiles())


def names(*words: str, **options: Any) -> list[str]:
    return [each.name for each in listed(*words, **options).inputs]


# ------------------------------------------------------------------------------------------ listing


@pytest.mark.parametrize(
    ("words", "recursive", "expected"),
    [
        (["in"], False, ["in/a.wav", "in/b.flac"]),
        (["in/"], True, ["in/a.wav", "in/b.flac", "in/sub/a.wav", "in/sub/deep/d.WAV"]),
        (["in/*.wav"], False, ["in/a.wav"]),
        (["in/**/*.wav"], False, ["in/a.wav", "in/sub/a.wav"]),
        (["in/**/a.*"], False, ["in/a.wav", "in/sub/a.wav"]),
        (["*/*/?.wav"], False, ["in/sub/a.wav"]),
        (
            ["in/**"],
            False,
            ["in/a.wav", "in/b.flac", "in/c.txt", "in/sub/a.wav", "in/sub/deep/d.WAV"],
        ),
        (["in/**/**/a.wav"], False, ["in/a.wav", "in/sub/a.wav"]),
        (["in/.h*"], False, ["in/.hidden.wav"]),
        (["in/b.flac", "in/a.wav"], False, ["in/b.flac", "in/a.wav"]),
        (["-", "no-such.wav"], False, ["-", "no-such.wav"]),
        (["in/[ab].*"], False, ["in/a.wav", "in/b.flac"]),
    ],
)
def test_words_stand_for_files(words: list[str], expected: list[str], *, recursive: bool) -> None:
    assert names(*words, recursive=recursive) == expected


def test_a_file_whose_name_looks_like_a_pattern(folder: Path) -> None:
    (folder / "x[1].wav").touch()
    (folder / "x1.wav").touch()
    assert names("x[1].wav") == ["x[1].wav"]
    assert names("x[12].wav") == ["x1.wav"]


def test_relative_paths() -> None:
    found = listed("in", "in/**/d*", "./in/./sub/deep/d.WAV", "in/c.txt", recursive=True).inputs
    assert [each.relative for each in found] == [
        *("a.wav", "b.flac", "sub/a.wav", "sub/deep/d.WAV"),
        "in/c.txt",
    ]
    assert [each.nested for each in found] == [True] * 4 + [False]
    (marked,) = listed("in/./sub/a.wav").inputs
    assert (marked.relative, marked.nested) == ("sub/a.wav", True)
    for word, relative in (
        ("in/./../x.wav", "x.wav"),
        ("/y/z.wav", "y/z.wav"),
        ("../w.wav", "w.wav"),
    ):
        (other,) = listed(word).inputs
        assert (other.relative, other.nested) == (relative, False)


def test_links_to_folders_are_not_followed(folder: Path) -> None:
    (folder / "in/again").symlink_to(".")
    (folder / "in/z.wav").symlink_to("a.wav")
    expected = ["in/a.wav", "in/sub/a.wav", "in/z.wav"]
    assert names("in/**/*.wav") == expected
    assert names("in", recursive=True) == [
        *("in/a.wav", "in/b.flac", "in/sub/a.wav", "in/sub/deep/d.WAV", "in/z.wav")
    ]


def test_a_folder_that_cannot_be_read_stops_no_others(folder: Path) -> None:
    """Paths below the deepest folder are longer than the system takes."""
    (folder / "deep").mkdir()
    (folder / "deep" / "good.csv").write_text("x\n1\n2\n")
    at = os.open("deep", os.O_RDONLY)
    for _ in range(17):
        os.mkdir("d" * 250, dir_fd=at)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    for words in (["deep", "--recursive"], ["deep/**/*.csv"]):
        ended = run("csv", "sma:2", *words, "-o", "out/", "--force", cwd=folder)
        assert ended.code == 3
        (told,) = ended.errors
        assert "cannot read the folder deep/ddd" in told
        assert told.endswith("File name too long")
        assert "good.csv -> out/good.csv" in ended.err
        assert ended.err.endswith("1 folder could not be read, see above\n")
    learn = refused(3, "learn", "deep", "--recursive", "--taps", "3", "-o", "m.safetensors")
    assert "cannot read the folder" in learn


def test_names_below_a_folder_are_in_the_order_of_letters(folder: Path) -> None:
    """A dash and a dot come before the slash of a folder of the same name."""
    expected = ["t/a-b.wav", "t/a.wav", "t/a/b.wav", "t/a/c/d.wav", "t/a0.wav"]
    for name in reversed(expected):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert names("t", recursive=True) == names("t/**") == expected
    inputs = listed("t", recursive=True).inputs
    assert [each.name for each in inputs[1:3]] == expected[1:3]
    assert inputs[-1].relative == "a0.wav"


def remove_deep_trees(folder: Path, *names: str) -> None:
    """Remove trees at once: pytest would do it three runs later, by a function that calls itself."""
    subprocess.run(["rm", "-rf", *names], cwd=folder, check=True)


def test_a_tree_deeper_than_calls_may_be(folder: Path, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(partial(remove_deep_trees, folder, "d", "out"))
    deep = "d/" * 1500
    at = os.open(".", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("a.csv", os.O_CREAT, dir_fd=at))
    os.close(at)
    assert names("d/**/*.csv") == [f"{deep}a.csv"]
    (folder / deep / "a.csv").write_text("x\n1\n")
    done("csv", "sma:2", "d", "--recursive", "-q", "-o", "out/", cwd=folder)
    assert (folder / "out" / deep[2:] / "a.csv").exists()


def test_each_input_is_taken_once(folder: Path) -> None:
    (folder / "link").symlink_to("in")
    found = listed("in/a.wav", "in", "./in//sub/../a.wav", "link/b.flac")
    assert [each.name for each in found.inputs] == ["in/a.wav", "in/b.flac"]
    assert found.duplicates == ["in/a.wav", "./in//sub/../a.wav", "link/b.flac"]
    assert found.warnings == ["in/a.wav and 2 more: named twice, taken once"]


def test_a_list_keeps_the_bytes_of_names(folder: Path) -> None:
    odd = [b"x\xff.wav", b"-", b"-q", b"two\nlines.wav", b" in/[a].wav "]
    (folder / "list").write_bytes(b"\0".join([*odd, b""]))
    kept = [os.fsencode(name) for name in names(files_from="list", null=True)]
    assert kept == sorted([b"./-", *(name for name in odd if name != b"-")])
    (folder / "lines").write_bytes(b"b.wav\n\na.wav")
    assert names("c.wav", files_from="lines") == ["c.wav", "a.wav", "b.wav"]
    (folder / "crlf").write_bytes(b"\xef\xbb\xbfb.wav\r\n\r\na.wav\r\n")
    assert names(files_from="crlf") == ["a.wav", "b.wav"]
    (folder / "odd").write_bytes(b"b.wav\r\na.wav\n")
    assert names(files_from="odd") == ["a.wav", "b.wav\r"]


@pytest.mark.parametrize(
    ("words", "options", "error", "hint"),
    [
        (["in/sub/deep/x*"], {}, "no file matches in/sub/deep/x*", "any number of folders"),
        (["."], {}, "the folder . holds no sounds", "--recursive"),
        ([], {"files_from": "none"}, "cannot read the list none: No such file", None),
        ([], {"files_from": "in/c.txt"}, "the list in/c.txt holds no names", None),
        (["-"], {"files_from": "-"}, "standard input cannot be a list of names and an input", None),
    ],
)
def test_words_that_stand_for_nothing(
    words: list[str], options: dict[str, Any], error: str, hint: str | None
) -> None:
    with pytest.raises(ConvcliError) as caught:
        listed(*words, **options)
    assert error in caught.value.message
    if hint is not None:
        assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a.csv", "-0"), "-0 is for the names in the LIST of --files-from"),
        (("a.csv", "--in-place", "--skip-existing"), "--skip-existing contradict each other"),
    ],
)
def test_options_of_a_batch_that_would_do_nothing(
    words: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n3\n")
    assert said in refused(2, "csv", "sma:2", *words, cwd=tmp_path)
    assert (tmp_path / "a.csv").read_text() == "x\n1\n3\n"


# -------------------------------------------------------------------------------------------- units


def units_of(*words: str, output: str | None = "out/", recursive: bool = True) -> InputUnits:
    inputs = listed(*words, recursive=recursive).inputs
    if output is None:
        return InputUnits(inputs, OneOutput())
    return InputUnits(inputs, OutputNames(output, len(inputs), is_template="{" in output))


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("out/", ["out/a.wav", "out/b.flac", "out/sub/a.wav", "out/sub/deep/d.WAV"]),
        ("o/{relative}", ["o/a.wav", "o/b.flac", "o/sub/a.wav", "o/sub/deep/d.WAV"]),
        ("{subfolder}/{stem}{suffix}", ["./a.wav", "./b.flac", "sub/a.wav", "sub/deep/d.WAV"]),
        ("{index}{suffix}", ["1.wav", "2.flac", "3.wav", "4.WAV"]),
    ],
)
def test_outputs_of_a_tree(output: str, expected: list[str]) -> None:
    units = units_of("in", output=output)
    units.check()
    assert [units[at].place for at in range(len(units))] == expected


@pytest.mark.parametrize("output", ["out/", "out/deep/", "out/{stem}.csv", "link/"])
def test_a_file_in_the_place_of_a_folder_is_told_once(folder: Path, output: str) -> None:
    (folder / "out").touch()
    (folder / "link").symlink_to("nowhere")
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("x\n1\n")
    told = refused(4, "csv", "sma:2", "a.csv", "b.csv", "-o", output, cwd=folder)
    assert told.count("error: ") == 1
    assert told.rstrip().endswith("is not a folder")


def test_outputs_that_collide(folder: Path) -> None:
    with pytest.raises(RequestError, match=r"in/a.wav and in/sub/a.wav would both be written to"):
        units_of("in", output="out/{stem}{suffix}").check()
    with pytest.raises(RequestError, match="is another input"):
        (folder / "1.wav").hardlink_to("in/sub/a.wav")
        units_of("in/a.wav", "in/sub/a.wav", output="{index}.wav").check()


@pytest.mark.parametrize("one", ["A.csv", "caf\u00e9.csv"])
def test_outputs_that_differ_in_case_alone(
    folder: Path, one: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files here, and one on the disk of a Mac, which also takes both spellings of é for one."""
    other = unicodedata.normalize("NFD", one).lower()
    (folder / one).touch()
    (folder / other).touch()
    units_of(one, other, output="new/").check()
    monkeypatch.setattr("os.path.samefile", lambda a, b: a.lower() == b.lower())
    with pytest.raises(RequestError, match=f"{one} and {other} would both be written to"):
        units_of(one, other, output="new/").check()


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_unit_is_in_one_shard(count: int) -> None:
    units = units_of("in")
    found: list[int] = []
    for index in range(1, count + 1):
        found += [unit.number for unit in units.of_shard(Shard(index, count))]
    assert sorted(found) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "text", ["", "1", "0/2", "3/2", "1/0", "a/b", "1/2/3", "-1/2", "1/" + 99 * "9"]
)
def test_no_shard(text: str) -> None:
    with pytest.raises(RequestError, match="expects I/N"):
        Shard.parse(text)


# ---------------------------------------------------------------------------------------- execution


class Doubling:
    """Work that fails for even numbers until it was tried three times."""

    runs_network = False

    def __init__(self, retries: int = 0) -> None:
        self.retries = retries
        self.tried: dict[int, int] = {}

    def refuse(self, unit: Unit) -> None:
        """Every unit may be begun."""

    def run(self, unit: Unit) -> RunFacts:
        tried = self.tried[unit.number] = self.tried.get(unit.number, 0) + 1
        if unit.number % 2 == 0 and tried < 3:
            raise OSError(5, "Input/output error")
        if unit.number == 5:
            raise ValueError("no such thing")
        return RunFacts(version="0", filter=str(2 * unit.number))


def numbered(count: int) -> list[Unit]:
    numbers = range(1, count + 1)
    return [Unit(number=at, name=str(at), relative=str(at)) for at in numbers]


def runner_of(kind: str, work: Doubling) -> Runner:
    return OwnThread(work, Event()) if kind == "own" else ThreadRunner(work, 3, Event())


@pytest.mark.parametrize("kind", ["own", "threads"])
def test_outcomes_of_all_units(kind: str) -> None:
    order = UnitOrder(2)
    work = Doubling()
    ended = outcomes(runner_of(kind, work), order.noted(numbered(20)))
    found = list(order.sorted(ended))
    assert sorted(each.unit.number for each in found) == list(range(1, 21))
    for each in found:
        number = each.unit.number
        if number % 2 == 0:
            assert each.error is not None
            assert (each.error.may_pass, each.error.exit_code) == (True, 3)
        elif number == 5:
            assert each.error is not None
            assert (each.error.may_pass, each.error.exit_code) == (False, 70)
        else:
            assert each.facts is not None
            assert each.facts.filter == str(2 * number)


def test_a_unit_is_tried_again_after_an_error_that_may_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("convcli.batch.run_units._FIRST_PAUSE", 0)
    work = Doubling(retries=2)
    two, five = numbered(5)[1], numbered(5)[4]
    outcome = carry_out(work, two)
    assert (outcome.tries, outcome.error) == (3, None)
    assert carry_out(work, five).tries == 1


@pytest.mark.parametrize("kind", ["own", "processes"])
def test_each_retry_is_told(
    kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line a second at most; the others are counted."""
    clock = iter([10.0, 10.5, 11.5, 11.6])
    monkeypatch.setattr("convcli.batch.run_units._FIRST_PAUSE", 0)
    monkeypatch.setattr("convcli.cli.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    notes = RetryNotes(quiet=False)
    work: Any = lost_process.FailsTwice()
    runner: Runner = OwnThread(work, Event(), notes)
    when = "at once"
    if kind == "processes":
        runner = ProcessRunner(work, 1, Event(), notes)
        when = "in 0.1 s"
    ended = list(outcomes(runner, numbered(2)))
    notes.close()
    assert [outcome.tries for outcome in ended] == [3, 3]
    failed = "cannot be read: Input/output error"
    assert capsys.readouterr().err.splitlines() == [
        f"note: 1 is tried again {when}, 1 of 2: {failed}",
        f"note: 2 is tried again {when}, 1 of 2: {failed} (further tries since the last line: 1)",
        "note: further tries: 1",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_are_printed_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are not wrapped; the time that is left is that of all work at the rate so far."""
    clock = [0.0]
    monkeypatch.setattr("convcli.cli.progress.time", SimpleNamespace(monotonic=lambda: clock[0]))
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(40, shown=True)
    clock[0] = 10.0
    progress.advance(10, "10 of 40")
    name = "x" * 200
    print(name, file=sys.stderr)
    print("half a line", end="", file=sys.stderr)
    progress.close()
    erase = "\r\x1b[2K"
    bar, above, *rest = terminal.getvalue().removeprefix(erase).split(erase)
    assert "25%" in bar
    assert bar.endswith("0:00:30 left, 10 of 40")
    assert above == f"{name}\n{bar}"
    assert rest == ["half a line"]
    assert sys.stderr is terminal


def test_outcomes_are_sorted_as_far_as_memory_allows() -> None:
    units = numbered(6)
    order = UnitOrder(2)
    list(order.noted(units))
    ends = [3, 2, 1, 6, 5, 4]
    found = order.sorted(Outcome(unit=units[number - 1]) for number in ends)
    assert [each.unit.number for each in found] == [1, 2, 3, 4, 5, 6]
    order = UnitOrder(2)
    list(order.noted(units))
    found = order.sorted(Outcome(unit=units[number - 1]) for number in [6, 5, 4, 3, 2, 1])
    assert [each.unit.number for each in found] == [4, 3, 2, 1, 5, 6]


# ------------------------------------------------------------------------------------- the commands


def test_a_tree_of_tables(tmp_path: Path) -> None:
    for place in ("tables/a.csv", "tables/sub/b.csv", "tables/sub/notes.md"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("x\n1\n3\n")
    done("csv", "sma:2", "tables", "--recursive", "-o", "out/", cwd=tmp_path)
    written = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert [path.relative_to(tmp_path / "out").as_posix() for path in written] == [
        "a.csv",
        "sub/b.csv",
    ]
    assert {path.read_text() for path in written} == {"x\n1\n2\n"}
    listed = b"tables/a.csv\ntables/no.csv\ntables/sub/b.csv\ntables/a.csv\n"
    ended = run("csv", "sma:2", "--files-from", "-", "-o", "o/", stdin=listed, cwd=tmp_path)
    assert ended.code == 3
    assert ended.errors == ["error: there is no file tables/no.csv"]
    assert ended.warnings == ["warning: tables/a.csv: named twice, taken once"]
    assert "1 of 3 inputs failed: tables/no.csv" in ended.err
    for shard in ("1/2", "2/2"):
        done("csv", "sma:2", "tables/**/*.csv", "-o", "{index}.csv", "--shard", shard, cwd=tmp_path)
    assert (tmp_path / "1.csv").read_text() == (tmp_path / "2.csv").read_text() == "x\n1\n2\n"
    assert "share standard output" in refused(
        2, "csv", "sma:2", "tables", "--recursive", cwd=tmp_path
    )


def test_the_last_line_escapes_names(folder: Path) -> None:
    (folder / "good.csv").write_text("x\n1\n3\n")
    (folder / "b\nad.csv").symlink_to("nowhere.csv")
    ended = run("csv", "sma:2", "b\nad.csv", "good.csv", "-o", "out/", cwd=folder)
    link = "b\\nad.csv"
    message = f"the link {link} leads to nowhere.csv, which does not exist"
    assert (ended.code, ended.errors) == (3, [f"error: {message}"])
    assert "hint:" not in ended.err
    assert ended.err.endswith(f"1 of 2 inputs failed: {link}\n")


@pytest.mark.parametrize("word", ["links", "links/*.csv", "**/links/*.csv", "links/**"])
def test_a_broken_link_is_an_error_however_it_was_found(folder: Path, word: str) -> None:
    """An input that is missing must not look like one that was filtered."""
    (folder / "links").mkdir()
    (folder / "links/good.csv").write_text("x\n1\n3\n")
    (folder / "links/gone.csv").symlink_to("nowhere.csv")
    ended = run("csv", "sma:2", word, "-o", "out/", cwd=folder)
    message = "the link links/gone.csv leads to nowhere.csv, which does not exist"
    assert (ended.code, ended.errors) == (3, [f"error: {message}"])
    assert [path.name for path in (folder / "out").rglob("*.csv")] == ["good.csv"]


def test_small_files_are_filtered_by_processes(tmp_path: Path) -> None:
    """With the same outputs as by threads, byte for byte."""
    (tmp_path / "many").mkdir()
    for number in range(20):
        (tmp_path / f"many/{number}.csv").write_text(f"x\n{number}\n1\n")
    small = "convcli.cli.batch_run.FEWEST_FOR_PROCESSES"
    program = (
        f"import {small.rpartition('.')[0]} as r, sys; r.{small.rpartition('.')[2]} = 10; "
        "from convcli.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["csv", "sma:2", "many", "-o", "out/", "--ledger", "run.jsonl", "--jobs", "2"]
    ended = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=tmp_path, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended
    assert len((tmp_path / "run.jsonl").read_bytes().splitlines()) == 20
    done("csv", "sma:2", "many", "-o", "o/", "--jobs", "2", cwd=tmp_path)
    for path in (tmp_path / "o").iterdir():
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()


def test_a_process_keeps_the_work_for_its_next_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that plans, models and designs are made once in each process."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    work: Any = lost_process.Counts()
    ended: list[Any] = list(outcomes(ProcessRunner(work, 1, Event()), numbered(3)))
    assert [outcome.facts for outcome in ended] == [1, 2, 3]
    assert work.count == 0


def test_a_report_of_processes_is_that_of_one(tmp_path: Path) -> None:
    """Sounds of two rates have two designs; one sound is silent, and one cannot be read."""
    (tmp_path / "many").mkdir()
    for number in range(20):
        sound = np.sin(np.arange(200.0) * number) / 2
        soundfile.write(tmp_path / f"many/{number}.wav", sound, 8000 + 8000 * (number % 2))
    (tmp_path / "many/20.wav").write_text("no sound")
    small = "convcli.cli.batch_run.FEWEST_FOR_PROCESSES"
    program = (
        f"import {small.rpartition('.')[0]} as r, sys; r.{small.rpartition('.')[2]} = 10; "
        "from convcli.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["audio", "lowpass:1k", "many", "-o", "out/", "--force", "--jobs", "2", "--report"]
    for name in ("several.json", "several.html"):
        ended = subprocess.run(
            [sys.executable, "-c", program, *words, name],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        assert ended.returncode == 3, ended
    words[-2] = "1"
    for name in ("one.json", "one.html"):
        assert run(*words, name, cwd=tmp_path).code == 3
    several, one = (_timeless(tmp_path / f"{name}.json") for name in ("several", "one"))
    assert len(one["runs"]) == 20
    assert several["runs"] == one["runs"]
    assert several["failures"] == one["failures"]
    pages = [(tmp_path / f"{name}.html").read_text() for name in ("several", "one")]
    assert [page.count("<svg") for page in pages] == 2 * [pages[1].count("<svg")]


def test_a_report_names_the_libraries_of_processes(tmp_path: Path) -> None:
    """Only the processes that filter the pictures import libvips."""
    (tmp_path / "many").mkdir()
    picture = (SAMPLES / "hole.png").read_bytes()
    for number in range(4):
        (tmp_path / f"many/{number}.png").write_bytes(picture)
    program = (
        "import convcli.cli.batch_run as r, sys; r.FEWEST_FOR_PROCESSES = 2; "
        "from convcli.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["image", "gaussian:1", "many", "-o", "out/", "--jobs", "2", "--report", "r.json"]
    ended = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=tmp_path, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended
    assert "pyvips" in json.loads((tmp_path / "r.json").read_bytes())["libraries"]


def _timeless(report: Path) -> Any:
    """A report as JSON without the times that runs took."""
    return json.loads(report.read_bytes(), object_hook=_without_seconds)


def _without_seconds(plain: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plain.items() if name != "seconds"}


def test_what_answers_share_is_sent_once() -> None:
    """Answers of two processes share it too. After many, both ends begin anew."""
    designs = [
        StepFacts(text=f"sma:{taps}", name="sma", weights=(1 / taps,) * 5000) for taps in (2, 3)
    ]
    values = [(designs[number % 2], number) for number in range(6)]
    equal: dict[Any, Any] = {}
    received = []
    for _ in range(2):
        writer, reader = AnswerWriter(), AnswerReader(equal)
        # As it comes through a pipe.
        answers = [pickle.loads(pickle.dumps(writer.answer(value))) for value in values]
        assert [len(answer.shared) for answer in answers] == [1, 1, 0, 0, 0, 0]
        assert max(len(answer.data) for answer in answers) < 200
        received += [reader.value(answer) for answer in answers]
    assert received == values * 2
    assert len({id(design) for design, _ in received}) == 2

    writer, reader = AnswerWriter(), AnswerReader(equal)
    for number in range(3 * MOST_SHARED):
        design = StepFacts(text=str(number), name="sma")
        assert reader.value(writer.answer([design, design, designs[0]])) == [
            design,
            design,
            designs[0],
        ]
    assert len(equal) <= MOST_SHARED + 2


def test_work_and_outcome_can_be_sent_to_another_process(tmp_path: Path) -> None:
    from convcli.cli.filter_batch import FilterWork
    from convcli.cli.filter_command import FilterCommand
    from convcli.cli.options import Request, RunOptions
    from convcli.planning.grammar import parse

    command = FilterCommand(
        request=Request(filter="box:3"),
        options=RunOptions(),
        files=AudioFiles(),
        calls=parse("box:3"),
    )
    work = pickle.loads(pickle.dumps(FilterWork(command, 0, alone=True)))
    place = str(tmp_path / "out.wav")
    unit = Unit(number=1, name=str(SAMPLES / "hello.wav"), relative="hello.wav", place=place)
    outcome = pickle.loads(pickle.dumps(carry_out(work, pickle.loads(pickle.dumps(unit)))))
    assert outcome.error is None
    assert outcome.facts.filter == "box:3"
    again = pickle.loads(pickle.dumps(carry_out(work, unit)))
    assert isinstance(again.error, RequestError)
    assert (again.error.exit_code, again.error.hint) == (
        2,
        "--force replaces it, --skip-existing leaves such inputs out",
    )
    missing = pickle.loads(
        pickle.dumps(carry_out(work, Unit(number=2, name="none", relative="none")))
    )
    assert isinstance(missing.error, InputError)


def test_the_first_that_failed_are_named_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    """They fail in any order, as they are worked on at once."""
    units = [
        Unit(number=number, name=f"{number}.csv", relative=f"{number}.csv")
        for number in (3, 1, 7, 2, 5, 4, 6)
    ]
    request: Any = SimpleNamespace(quiet=False)
    failed = FailedInputs(request, Shard())
    failed.units = units
    inputs = InputUnits([], OneOutput())
    failed.name_first(inputs, 9)
    names = ", ".join(f"{number}.csv" for number in range(1, 6))
    assert capsys.readouterr().err == f"7 of 9 inputs failed: {names}, and 2 more\n"
    failed.units = units[:2]
    failed.name_first(inputs, 9)
    assert capsys.readouterr().err == "2 of 9 inputs failed: 1.csv, 2.csv\n"


def test_detect_in_a_tree(tmp_path: Path) -> None:
    (tmp_path / "tables/deep").mkdir(parents=True)
    for place in ("tables/a.csv", "tables/deep/b.csv"):
        (tmp_path / place).write_text("x\n1\n5\n2\n7\n")
    template = tmp_path / "peak.csv"
    template.write_text("x\n1\n5\n2\n")
    words = ("detect", "peak.csv", "--threshold", "0.99", "-q")
    (tmp_path / "list").write_text("tables/deep/b.csv\n")
    for inputs, expected in (
        (["tables", "--recursive"], ["tables/a.csv", "tables/deep/b.csv"]),
        (["tables/*.csv", "--files-from", "list"], ["tables/a.csv", "tables/deep/b.csv"]),
    ):
        found = done(*words, *inputs, cwd=tmp_path).text.splitlines()[1:]
        assert [line.split(",")[0] for line in found] == expected


def test_detect_on_several_machines(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    # The last name has a byte that is no UTF-8, and a line end.
    names = [b"a.csv", b"b.csv", b"c.csv", b"\xff\n.csv"]
    for number, name in enumerate(names):
        place = tmp_path / "tables" / os.fsdecode(name)
        place.write_text(f"x,y\n{number},0\n1,0\n5,0\n2,0\n{9 - number},1\n1,0\n5,0\n2,0\n")
    (tmp_path / "peak.csv").write_text("x\n1\n5\n2\n")
    words = ("detect", "peak.csv", "tables", "--threshold", "0.9", "--top", "7")
    whole = done(*words, cwd=tmp_path).out
    assert len(whole.splitlines()) == 9  # one of the names has two lines
    ledgers = []
    for index in (1, 2, 3):
        ledgers.append(f"{index}.jsonl")
        shard = ("--shard", f"{index}/3", "--ledger", ledgers[-1])
        done(*words, *shard, "-o", f"{index}.out.csv", cwd=tmp_path)
    done("merge", *ledgers, "-o", "all.jsonl", cwd=tmp_path)
    again = ("--ledger", "all.jsonl", "--resume")
    joined = done(*words, *again, cwd=tmp_path)
    assert joined.out == whole
    assert "4 inputs done by an earlier run" in joined.err
    (tmp_path / "tables/a.csv").write_text("x,y\n1,0\n2,0\n3,0\n")
    changed = done(*words, *again, cwd=tmp_path)
    assert "3 inputs done by an earlier run" in changed.err
    assert b"a.csv" not in changed.out
    assert "3 inputs done" not in done(*words[:-4], *again, cwd=tmp_path).err
    # A machine that finds nothing in its share has done it.
    nothing = ("detect", "peak.csv", "tables/a.csv", "--shard", "1/1")
    assert "nothing found" in done(*nothing, cwd=tmp_path).err
    assert "nothing found" in refused_search(*nothing[:-2], cwd=tmp_path)


def refused_search(*words: str, cwd: Path) -> str:
    """The errors of a search that finds nothing."""
    ended = run(*words, cwd=cwd)
    assert ended.code == 1
    return ended.err
