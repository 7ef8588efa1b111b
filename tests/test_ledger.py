"""Runs over many inputs that go on where an earlier one ended."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import lost_process
import pytest
from life import PATIENCE
from program import CONVCLI, done, peer, refused, run

from convcli.batch.file_state import FileState
from convcli.batch.ledger import _lock, open_ledger, read_lines, rewrite
from convcli.batch.ledger_line import Line
from convcli.batch.ledger_line import RunIdentity as Identity
from convcli.batch.processes import ProcessRunner
from convcli.batch.results_aside import results_aside
from convcli.batch.run_units import outcomes
from convcli.batch.units import Unit
from convcli.errors import InputError, OutputError, RequestError
from convcli.media.replacing import replace_by

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE = "x\n1\n3\n5\n"
SMOOTH = "x\n1\n2\n4\n"
IDENTITY = Identity(units=9, listing="list", filter="sma:2", request="request")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a tree of five small tables, one of them bad."""
    for place in ("in/a.csv", "in/b.csv", "in/sub/c.csv", "in/sub/d.csv"):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TABLE)
    (tmp_path / "in/bad.csv").write_text("x\n1\nword\n")
    return tmp_path


def lines(folder: Path, name: str = "run.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_bytes().splitlines()]


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """What tells whether an output was written again."""
    files = [path for path in (folder / "out").rglob("*") if path.is_file()]
    found = {path.relative_to(folder / "out").as_posix(): path.stat() for path in files}
    return {name: (each.st_ino, each.st_mtime_ns) for name, each in found.items()}


def written_again(folder: Path, before: dict[str, tuple[int, int]]) -> set[str]:
    after = states(folder)
    return {name for name in after if after[name] != before.get(name)}


def test_a_ledger_has_a_line_for_each_input(folder: Path) -> None:
    words = ("csv", "sma:2", "in", "--recursive", "-o", "out/", "--ledger", "run.jsonl")
    ended = run(*words, cwd=folder)
    assert ended.code == 3
    found = {line["unit"]: line for line in lines(folder)}
    assert sorted(found) == [1, 2, 3, 4, 5]
    first, bad = found[1], found[3]
    output = (folder / "out/a.csv").stat()
    assert first["input"]["path"] == "in/a.csv"
    assert first["input"]["size"] == len(TABLE)
    assert first["input"]["mtime_ns"] == (folder / "in/a.csv").stat().st_mtime_ns
    assert first["output"] == {
        "path": "out/a.csv",
        "size": len(SMOOTH),
        "mtime_ns": output.st_mtime_ns,
    }
    assert (first["filter"], first["units"], first["error"]) == ("sma:2", 5, None)
    assert first["facts"]["shape"] == [3]
    assert bad["error"]["exit_code"] == 3
    assert "in/bad.csv, line 3" in bad["error"]["message"]
    assert (folder / "failed.txt").read_text() == "in/./bad.csv\n"
    assert "exists already" in refused(2, *words, cwd=folder)


@pytest.fixture
def record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    """The lines of the only record of commands that name no ledger."""
    (folder / "in/bad.csv").unlink()
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))

    def found() -> list[dict[str, Any]]:
        (path,) = (folder / "state/convcli/ledgers").iterdir()
        return [json.loads(line) for line in path.read_bytes().splitlines()]

    return found


def test_outputs_that_exist_take_no_room_in_a_record(
    folder: Path, record: Callable[[], list[dict[str, Any]]]
) -> None:
    """They may be those of an earlier run, which --resume still knows."""
    words = ("csv", "sma:2", "in", "--recursive", "-o", "out/")
    done(*words, cwd=folder)
    for _ in range(2):
        assert "4 inputs left out" in done(*words, "--skip-existing", cwd=folder).err
    assert sorted(line["unit"] for line in record()) == [1, 2, 3, 4]
    assert "4 inputs done by an earlier run" in done(*words, "--resume", cwd=folder).err


def test_the_record_of_a_command_that_runs_every_night_stays_short(
    folder: Path, record: Callable[[], list[dict[str, Any]]]
) -> None:
    words = ("csv", "sma:2", "in", "--recursive", "-o", "out/")
    most = 0
    for _ in range(15):
        shutil.rmtree(folder / "out", ignore_errors=True)
        done(*words, cwd=folder)
        most = max(most, len(record()))
    # A line has 350 bytes or more, and 2048 for each of the four inputs are kept.
    assert most <= 4 * (2048 // 350 + 1)
    assert "4 inputs done by an earlier run" in done(*words, "--resume", cwd=folder).err
    assert [line["unit"] for line in record()] == [1, 2, 3, 4]


def test_resume_runs_what_is_left_and_nothing_else(folder: Path) -> None:
    words = ("csv", "sma:2", "in", "--recursive", "-o", "out/", "--ledger", "run.jsonl", "--resume")
    assert run(*words, cwd=folder).code == 3
    before = states(folder)
    ended = run(*words, cwd=folder)
    assert (ended.code, written_again(folder, before)) == (3, set())
    assert "4 inputs done by an earlier run" in ended.err

    (folder / "in/bad.csv").write_text(TABLE)  # failed before
    (folder / "in/e.csv").write_text(TABLE)  # is new, and gives others another number
    os.utime(folder / "in/b.csv", ns=(1, 1))  # may have changed
    (folder / "out/sub/c.csv").unlink()  # is gone
    (folder / "out/sub/d.csv").write_text("cut")  # is not what was written
    done(*words, cwd=folder)
    assert written_again(folder, before) == {"bad.csv", "e.csv", "b.csv", "sub/c.csv", "sub/d.csv"}
    assert [line["unit"] for line in lines(folder)] == [1, 2, 3, 4, 5, 6]
    assert {line["units"] for line in lines(folder)} == {6}
    assert not (folder / "failed.txt").exists()
    before = states(folder)
    done(*words, "--jobs", "1", "-q", cwd=folder)
    assert written_again(folder, before) == set()
    done(*words, "--edge", "zero", cwd=folder)
    assert written_again(folder, before) == set(before)
    assert len(lines(folder)) == 6


@pytest.mark.parametrize("size", range(-1, 700, 37))
def test_a_ledger_that_was_cut_anywhere(size: int, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    units = [Unit(number=at, name=f"{at}\udcff", relative="", place=f"o{at}") for at in (1, 2)]
    with open_ledger(path, IDENTITY) as ledger:
        for unit in units:
            ledger.append(Line.of(unit, IDENTITY, read=FileState(3, 4), wrote=FileState(5, 6)))
    whole = path.read_bytes()
    cut = whole[:size]
    path.write_bytes(cut)
    kept = [line.input for line in read_lines(path)]
    with open_ledger(path, IDENTITY) as ledger:
        ledger.append(Line.of(units[0], IDENTITY))
    # A line that lacks nothing but its end is whole.
    count = sum(len(cut) >= len(whole) // 2 * at - 1 for at in (1, 2))
    assert kept == [unit.name for unit in units[:count]]
    assert [line.input for line in read_lines(path)] == [*kept, units[0].name]


def test_one_run_at_a_time_writes_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with (
        open_ledger(path, IDENTITY),
        pytest.raises(RequestError, match="another run writes"),
        open_ledger(path, IDENTITY),
    ):
        pass


def test_force_takes_no_ledger_from_a_run_that_writes_to_it(folder: Path) -> None:
    path = folder / "run.jsonl"
    with open_ledger(path, IDENTITY) as ledger:
        ledger.append(Line.of(Unit(number=1, name="a", relative="a"), IDENTITY))
        words = ("csv", "sma:2", "in/a.csv", "-o", "out/", "--ledger", "run.jsonl", "--force")
        assert "another run writes" in refused(2, *words, cwd=folder)
        assert [line.input for line in read_lines(path)] == ["a"]
    done(*words, cwd=folder)
    assert [line.input for line in read_lines(path)] == ["in/a.csv"]


def test_a_ledger_that_another_run_has_just_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was replaced between opening and locking is not written to."""
    path = tmp_path / "run.jsonl"
    path.touch()
    unit = Unit(number=1, name="a", relative="a")
    rewritten = [iter([Line.of(unit, IDENTITY)])]

    def lock(file: int, place: Path) -> None:
        if rewritten:
            rewrite(place, rewritten.pop())
        _lock(file, place)

    monkeypatch.setattr("convcli.batch.ledger._lock", lock)
    with open_ledger(path, IDENTITY) as ledger:
        ledger.append(Line.of(unit, IDENTITY))
    assert [line.input for line in read_lines(path)] == ["a", "a"]


def test_a_disk_that_takes_a_part_of_a_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole lines are there or an error is told; the record that nobody asked for is only warned of."""
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    (folder / "in/bad.csv").unlink()
    written = []

    def write(file: int, data: bytes) -> int:
        written.append(data)
        if len(written) == 4:
            raise OSError(28, "No space left on device")
        return original(file, data[:300])

    original = os.write
    monkeypatch.setattr("convcli.batch.ledger.os.write", write)
    words = ("csv", "sma:2", "in", "--recursive", "-j", "1")
    told = refused(4, *words, "-o", "out/", "--ledger", "run.jsonl", cwd=folder)
    assert "cannot write run.jsonl: No space left on device" in told
    assert [line.input for line in read_lines(folder / "run.jsonl")] == ["in/a.csv"]
    written.clear()
    unasked = done(*words, "-o", "other/", cwd=folder)
    (warning,) = unasked.warnings
    assert "No space left on device; --resume will not know" in warning
    assert len(list((folder / "other").rglob("*.csv"))) == 4
    done(*words, "-o", "out/", "--ledger", "run.jsonl", "--resume", cwd=folder)
    assert len(lines(folder)) == 4


def test_resume_in_place_needs_its_record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the next run would filter the results."""
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    words = ("csv", "sma:2", "in/a.csv", "in/b.csv", "--in-place", "--resume", "-q", "-j", "1")
    written = []

    def write(file: int, data: bytes) -> int:
        written.append(data)
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        return original(file, data)

    original = os.write
    with monkeypatch.context() as patched:
        patched.setattr("convcli.batch.ledger.os.write", write)
        told = refused(4, *words, cwd=folder)
    assert "No space left on device" in told
    assert "hint: --ledger run.jsonl keeps the record" in told
    assert (folder / "in/a.csv").read_text() == SMOOTH
    assert (folder / "in/b.csv").read_text() == TABLE
    assert not list(folder.rglob(".convcli*"))
    done(*words, cwd=folder)
    assert {(folder / f"in/{name}.csv").read_text() for name in "ab"} == {SMOOTH}


@pytest.mark.parametrize("text", ["{}", "[]", "1", '{"unit":1}', "x", "[" * 10_000])
def test_a_file_that_is_no_ledger(text: str, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(text + "\n")
    with pytest.raises(InputError, match="is not a line of a ledger") as caught:
        list(read_lines(path))
    assert "a JSON object for one input" in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["my notes", "my\nnotes", '{"unit":1}\nnotes', "{}\n"])
def test_resume_changes_no_file_that_is_no_ledger(text: str, folder: Path) -> None:
    (folder / "notes.txt").write_text(text)
    words = ("csv", "sma:2", "in/a.csv", "-o", "out.csv", "--ledger", "notes.txt", "--resume")
    told = refused(3, *words, cwd=folder)
    assert "notes.txt is not a ledger" in told
    assert "a JSON object for one input" in told
    assert (folder / "notes.txt").read_text() == text
    assert not (folder / "out.csv").exists()


@pytest.mark.parametrize("text", ["", '{"un', '{"unit":1,"uni'])
def test_resume_goes_on_with_an_empty_ledger_or_a_first_line_cut_off(
    text: str, folder: Path
) -> None:
    (folder / "run.jsonl").write_text(text)
    words = ("csv", "sma:2", "in/a.csv", "-o", "out.csv", "--ledger", "run.jsonl", "--resume")
    done(*words, cwd=folder)
    assert [line["unit"] for line in lines(folder)] == [1]


def test_lines_of_a_folder_that_cannot_be_read_stay(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "in/bad.csv").write_text(TABLE)
    words = ("csv", "sma:2", "in", "--recursive", "-o", "out/", "--ledger", "run.jsonl", "--resume")
    done(*words, cwd=folder)
    before = states(folder)
    (folder / "in/e.csv").write_text(TABLE)
    scandir = os.scandir

    def failing(path: Any) -> Any:
        if str(path) == "in/sub/":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return scandir(path)

    with monkeypatch.context() as patched:
        patched.setattr("os.scandir", failing)
        assert run(*words, cwd=folder).code == 3
    noted = {line["input"]["path"] for line in lines(folder)}
    assert noted == {
        "in/a.csv",
        "in/b.csv",
        "in/bad.csv",
        "in/e.csv",
        "in/sub/c.csv",
        "in/sub/d.csv",
    }
    merged = refused(2, "merge", "run.jsonl", "-o", "all.jsonl", cwd=folder)
    assert "a folder could not be read" in merged
    assert "6 inputs done by an earlier run" in done(*words, cwd=folder).err
    assert written_again(folder, before) == {"e.csv"}
    assert sorted(line["unit"] for line in lines(folder)) == [1, 2, 3, 4, 5, 6]
    done("merge", "run.jsonl", "-o", "all.jsonl", cwd=folder)


def test_resume_without_a_ledger(folder: Path) -> None:
    words = ("csv", "sma:2", "in/a.csv", "in/b.csv", "-o", "out/")
    done(*words, cwd=folder)
    before = states(folder)
    ended = run(*words, cwd=folder)
    assert (ended.code, len(ended.errors)) == (2, 2)
    (folder / "out/a.csv").unlink()
    done(*words, "--resume", cwd=folder)
    assert written_again(folder, before) == {"a.csv"}
    assert sorted(path.name for path in folder.iterdir()) == ["in", "out"]


def test_an_output_of_somebody_else_stays(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out/b.csv").write_text("mine")
    os.utime(folder / "out/b.csv", ns=(1, 1))
    words = ("csv", "sma:2", "in/a.csv", "in/b.csv", "-o", "out/")
    ended = run(*words, "--resume", cwd=folder)
    assert ended.errors == ["error: in/b.csv: the output out/b.csv exists already"]
    assert (ended.code, (folder / "out/a.csv").read_text()) == (2, SMOOTH)
    ended = run(*words, "--skip-existing", "--ledger", "run.jsonl", cwd=folder)
    assert ended.code == 0
    assert [line.get("skipped") for line in lines(folder)] == [True, True]
    assert (folder / "out/b.csv").read_text() == "mine"


def test_the_ledger_of_another_command_is_refused(folder: Path) -> None:
    ledger = ("--ledger", "run.jsonl")
    done("csv", "sma:2", "in/a.csv", "-o", "a.csv", *ledger, cwd=folder)
    before = (folder / "run.jsonl").read_bytes()
    (folder / "b.csv").write_text("mine")
    other = ("csv", "sma:3", "in/b.csv", "-o", "b.csv", *ledger)
    assert "is of other inputs or outputs" in refused(2, *other, "--resume", cwd=folder)
    assert (folder / "b.csv").read_text() == "mine"
    assert (folder / "run.jsonl").read_bytes() == before
    done(*other, "--force", cwd=folder)
    assert (folder / "b.csv").read_text() == "x\n1\n2\n3\n"


def test_resume_replaces_no_output_of_a_longer_list_that_it_has_not_made(folder: Path) -> None:
    words = ("-o", "out/", "--ledger", "run.jsonl")
    done("csv", "sma:2", "in/a.csv", "in/b.csv", *words, cwd=folder)
    (folder / "out/c.csv").write_text("mine")
    for name in ("a.csv", "c.csv"):  # the line of a.csv says that it was made
        os.utime(folder / "out" / name, ns=(1, 1))
    longer = ("csv", "sma:3", "in/a.csv", "in/b.csv", "in/sub/c.csv", *words, "--resume")
    for _ in range(2):
        ended = run(*longer, cwd=folder)
        error = "error: in/sub/c.csv: the output out/c.csv exists already"
        assert (ended.code, ended.errors) == (2, [error])
        assert (folder / "out/c.csv").read_text() == "mine"
    assert (folder / "out/a.csv").read_text() == "x\n1\n2\n3\n"


def test_resume_in_place_filters_once(folder: Path) -> None:
    words = ("csv", "sma:2", "in/a.csv", "in/b.csv", "--in-place", "--resume")
    done(*words, cwd=folder)
    done(*words, cwd=folder)
    assert (folder / "in/a.csv").read_text() == SMOOTH


@peer("strace")
@pytest.mark.parametrize("end", ["KILL", "TERM"])
@pytest.mark.parametrize(
    "call", ["rename:1", "rename:2", "linkat:2", "write:3", "write:4", "write:5"]
)
def test_resume_in_place_filters_once_whenever_the_run_ends(
    call: str, end: str, tmp_path: Path
) -> None:
    """The run ends right after a call of the system, such as that which replaces an input."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abcd":
        (folder / f"{name}.csv").write_text(TABLE)
    name, _, number = call.partition(":")
    fault = ["-e", f"trace={name}", "-e", f"inject={name}:signal={end}:when={number}"]
    words = ["csv", "sma:2", "in", "--in-place", "--ledger", "run.jsonl", "--resume", "-q"]
    watched = ["strace", "-f", "-qq", "-o", "/dev/null", *fault, *CONVCLI, *words]
    subprocess.run(watched, cwd=tmp_path, check=False, timeout=PATIENCE)
    assert {path.read_text() for path in folder.glob("*.csv")} <= {TABLE, SMOOTH}
    done(*words, cwd=tmp_path)
    assert {path.read_text() for path in folder.glob("*.csv")} == {SMOOTH}
    if end == "TERM":
        assert len(list(folder.iterdir())) == 4


def test_a_lost_process_has_not_replaced_an_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    tables = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for table in tables:
        table.write_text("1\n")
    units = [
        Unit(number=number, name=str(table), place=str(table), relative=table.name)
        for number, table in enumerate(tables, 1)
    ]
    work = lost_process.AppendsLineAndLosesProcess(tmp_path)
    with results_aside() as results:
        runner = ProcessRunner(work, 1, Event())  # type: ignore[arg-type]
        for outcome in outcomes(runner, results.named(units)):
            assert outcome.error is None
            assert [table.read_text() for table in tables].count("1\n") == 3 - outcome.unit.number
            results.replace_input(outcome)
    assert [table.read_text() for table in tables] == ["1\n2\n", "1\n2\n"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "a.csv", "b.csv"]


def test_an_input_that_cannot_be_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its line says so, and --resume does it again."""

    def fails(place: Path, aside: Path) -> None:
        if place.name == "a.csv":
            raise OutputError(f"cannot write {place}: Input/output error")
        replace_by(place, aside)

    words = ("csv", "sma:2", "in/a.csv", "in/b.csv", "--in-place", "--ledger", "run.jsonl")
    with monkeypatch.context() as patched:
        patched.setattr("convcli.batch.results_aside.replace_by", fails)
        ended = run(*words, cwd=folder)
    assert ended.code == 4
    assert ended.errors == ["error: cannot write in/a.csv: Input/output error"]
    assert (folder / "failed.txt").read_text() == "in/a.csv\n"
    assert [line["error"] is None for line in lines(folder) if line["unit"] == 1] == [True, False]
    assert (folder / "in/a.csv").read_text() == TABLE
    assert not list(folder.rglob(".convcli*"))
    done(*words, "--resume", cwd=folder)
    assert (folder / "in/a.csv").read_text() == SMOOTH


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_two_links_to_one_file_are_not_filtered_in_place(link: Any, folder: Path) -> None:
    link(folder / "in/a.csv", folder / "in/link.csv")
    told = refused(2, "csv", "sma:2", "in/a.csv", "in/link.csv", "--in-place", cwd=folder)
    assert "in/a.csv and in/link.csv would both be written to in/link.csv" in told
    assert "hint: they are links to one file: name one of them" in told
    assert (folder / "in/a.csv").read_text() == TABLE


def test_failures_are_run_again_into_the_same_places(folder: Path) -> None:
    (folder / "in/sub/two\nlines.csv").write_text("x\nword\n1\n")
    words = ("csv", "sma:2", "-c", "x", "-o", "out/", "--failed", "bad.txt")
    ended = run(*words, "in", "--recursive", cwd=folder)
    assert ended.code == 3
    assert (folder / "bad.txt").read_bytes() == b"in/./bad.csv\0in/./sub/two\nlines.csv\0"
    assert "--files-from bad.txt -0 runs what failed once more" in ended.err
    listed = (folder / "bad.txt").read_bytes()
    assert run(*words, "--files-from", "bad.txt", "-0", cwd=folder).code == 3
    assert (folder / "bad.txt").read_bytes() == listed
    for name in ("bad.csv", "sub/two\nlines.csv"):
        (folder / "in" / name).write_text(TABLE)
    done(*words, "--files-from", "bad.txt", "-0", cwd=folder)
    assert (folder / "out/sub/two\nlines.csv").read_text() == SMOOTH
    assert not (folder / "bad.txt").exists()


def test_a_file_that_is_no_list_of_failures_stays(folder: Path) -> None:
    (folder / "failed.txt").write_text("my notes\n")
    words = ("csv", "sma:2", "in", "-o", "out/", "--ledger", "run.jsonl")
    assert run(*words, cwd=folder).code == 3
    assert (folder / "run.failed.txt").read_text() == "in/./bad.csv\n"
    merge = ("merge", "run.jsonl", "-o", "all.jsonl", "--failed", "failed.txt")
    assert "holds other lines" in refused(2, *merge, cwd=folder)
    assert not (folder / "all.jsonl").exists()
    named = ("--ledger", "one.jsonl", "--failed", "run.failed.txt")
    assert run("csv", "sma:2", "in/bad.csv", "-o", "o.csv", *named, cwd=folder).code == 3
    assert (folder / "run.failed.txt").read_text() == "in/bad.csv\n"
    (folder / "in/bad.csv").unlink()  # the ledger knows it as an input
    done(*words, "--resume", cwd=folder)
    assert not (folder / "run.failed.txt").exists()
    forced = (*words, "--resume", "--failed", "failed.txt")
    assert "--force replaces it" in refused(2, *forced, cwd=folder)
    assert (folder / "failed.txt").read_text() == "my notes\n"
    (folder / "run.failed.txt").write_text("more notes\n")
    assert "--failed FILE" in refused(2, *words, "--resume", cwd=folder)
    done(*forced, "--force", cwd=folder)
    assert not (folder / "failed.txt").exists()


def test_shards_are_merged(folder: Path) -> None:
    words = ("csv", "sma:2", "in", "--recursive", "-o", "out/")
    for index in (1, 2, 3):
        shard = ("--shard", f"{index}/3", "--ledger", f"run.{index}.jsonl")
        assert run(*words, *shard, cwd=folder).code == (3 if index == 3 else 0)
    ledgers = ["run.1.jsonl", "run.2.jsonl", "run.3.jsonl"]
    assert (folder / "failed.3-of-3.txt").read_text() == "in/./bad.csv\n"
    ended = run("merge", *ledgers, "-o", "all.jsonl", "--report", "r.json", cwd=folder)
    assert (ended.code, ended.errors) == (1, ["error: 1 of 5 inputs failed: in/bad.csv"])
    assert [line["unit"] for line in lines(folder, "all.jsonl")] == [1, 2, 3, 4, 5]
    facts = json.loads((folder / "r.json").read_text())["batch"]
    assert (facts["units"], facts["done"], facts["failed"], facts["missing"]) == (5, 4, 1, 0)
    assert facts["read_bytes"] == 4 * len(TABLE)

    part = run("merge", "run.1.jsonl", "run.3.jsonl", "--failed", "f.txt", cwd=folder)
    assert part.code == 1
    assert "error: 2 of 5 inputs are missing: 2, 5; of --shard 2/3" in part.errors
    printed = [json.loads(line) for line in part.out.splitlines()]
    assert [line["unit"] for line in printed] == [1, 3, 4]
    assert [line for line in lines(folder, "run.3.jsonl") if line["unit"] == 3] == [printed[1]]
    assert (folder / "f.txt").read_text() == "in/./bad.csv\n"

    (folder / "in/bad.csv").write_text(TABLE)
    done(*words, "--shard", "3/3", "--ledger", "run.3.jsonl", "--resume", cwd=folder)
    done("merge", *ledgers, cwd=folder)
    done("csv", "sma:2", "in/a.csv", "in/b.csv", "-o", "o/", "--ledger", "other.jsonl", cwd=folder)
    assert "of other inputs" in refused(2, "merge", *ledgers, "other.jsonl", cwd=folder)
    (folder / "empty").touch()
    assert "hold no lines" in refused(2, "merge", "empty", cwd=folder)


def test_killed_and_resumed(tmp_path: Path) -> None:
    """Killed after some lines were written; then nothing that is in the ledger is done again."""
    (tmp_path / "in").mkdir()
    for number in range(60):
        (tmp_path / f"in/{number:02}.csv").write_text(f"x\n{number}\n{number + 2}\n")
    words = ["csv", "sma:2", "in", "-o", "out/", "--ledger", "run.jsonl", "--resume", "-q"]
    ledger = tmp_path / "run.jsonl"
    for kill_at in (1, 25):
        with subprocess.Popen([*CONVCLI, *words], cwd=tmp_path) as process:
            while not ledger.exists() or ledger.read_bytes().count(b"\n") < kill_at:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.01)
                    break
            process.send_signal(signal.SIGKILL)
        noted = {line.output for line in read_lines(ledger)}
        before = states(tmp_path)
    done(*words, cwd=tmp_path)
    again = {f"out/{name}" for name in written_again(tmp_path, before)}
    assert not again & noted
    assert len(again | noted) == 60
    for number in range(60):
        text = (tmp_path / f"out/{number:02}.csv").read_text()
        assert text == f"x\n{number}\n{number + 1}\n"
    assert sorted(line["unit"] for line in lines(tmp_path)) == list(range(1, 61))


@pytest.mark.parametrize("facts", ["none", 3, [1], True])
def test_facts_that_are_no_object(facts: Any, folder: Path) -> None:
    words = ("csv", "sma:2", "in/a.csv", "in/b.csv", "-o", "out/", "--ledger", "run.jsonl")
    assert run(*words, cwd=folder).code == 0
    plain = lines(folder)
    plain[1]["facts"] = facts
    (folder / "run.jsonl").write_text("".join(json.dumps(line) + "\n" for line in plain))
    told = refused(3, "merge", "run.jsonl", cwd=folder)
    assert "line 2" in told
