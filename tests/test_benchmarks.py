"""The harness of the benchmarks: it measures what a process costs, and sees answers that differ."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import check
import document
import numpy as np
import pytest
import soundfile as sf
from inputs import RATE, make
from job import OUT, Job, Peer, Sizes
from jobs import all_jobs
from measure import Measurement, Series, fit, measure
from peers import Program
from results import Result, as_json, printable, table

BENCHMARKS = Path(check.__file__).parent


def measured(program: str, folder: Path, patience: float = 30) -> Measurement:
    return measure(
        [sys.executable, "-c", program], folder=folder, patience=patience, environment={}
    )


# ----------------------------------------------------------------------------- what a process costs


def test_seconds_and_memory_of_a_process(tmp_path: Path) -> None:
    little = measured("import time; time.sleep(0.2)", tmp_path)
    much = measured("x = b'x' * 100_000_000; sum(range(10_000_000))", tmp_path)
    assert not little.failure
    assert little.wall >= 0.2
    assert little.cpu < much.cpu
    assert 90 < much.peak - little.peak < 105


def test_a_process_that_fails_or_hangs_does_not_count(tmp_path: Path) -> None:
    assert measured("import sys; sys.exit('it broke')", tmp_path).failure == "exit 1: it broke"
    given_up = measured("import time; time.sleep(60)", tmp_path, patience=0.3)
    assert given_up.failure == "given up after 0.3 s"
    assert given_up.wall < 60


def test_the_line_of_growth() -> None:
    a, b, off = fit((1, 2, 3), (5, 7, 9.3))
    assert (round(a, 3), round(b, 3), round(off, 3)) == (2.8, 2.15, 0.1)


# ------------------------------------------------------------------------------------ equal answers


@pytest.fixture
def sounds(tmp_path: Path) -> tuple[Path, Path, Any]:
    x = np.random.default_rng(1).normal(0, 0.1, (3 * RATE, 2))
    sf.write(tmp_path / "ours.wav", x, RATE, "DOUBLE")
    return tmp_path / "ours.wav", tmp_path / "theirs.wav", x


def test_a_lag_and_a_gain_are_told_and_taken_out(sounds: tuple[Path, Path, Any]) -> None:
    ours, theirs, x = sounds
    sf.write(theirs, 0.5 * np.roll(x, 80, axis=0), RATE, "DOUBLE")
    found = check.sound(ours, theirs, -150)
    assert found["agrees"], found
    assert "lag of 80 samples" in found["found"]
    assert "gain of 0.5" in found["found"]


def test_sounds_that_differ(sounds: tuple[Path, Path, Any]) -> None:
    ours, theirs, x = sounds
    sf.write(theirs, x + np.random.default_rng(2).normal(0, 1e-4, x.shape), RATE, "DOUBLE")
    assert not check.sound(ours, theirs, -88)["agrees"]
    assert check.sound(ours, theirs, -70)["agrees"]
    sf.write(theirs, x, RATE // 2, "DOUBLE")
    assert not check.sound(ours, theirs, 0)["agrees"]


def test_tables_and_pictures_that_differ(tmp_path: Path) -> None:
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    a.write_text("x,y\n1,2\n3,4\n")
    b.write_text("x,y\n1,2\n3,4.0004\n")
    assert check.table(a, b, 1.1e-4)["agrees"]
    assert not check.table(a, b, 0.9e-4)["agrees"]
    b.write_text("x,y\n1,2\n")
    assert not check.table(a, b, 1)["agrees"]
    make(tmp_path / "tiny.png")
    assert check.picture(tmp_path / "tiny.png", tmp_path / "tiny.png", 0)["agrees"]
    assert not check.picture(tmp_path / "tiny.png", a, 255)["agrees"]


def test_an_input_is_the_same_each_time(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        make(tmp_path / folder / "prices-1000.csv")
    first, second = (
        (tmp_path / folder / "prices-1000.csv").read_bytes() for folder in ("first", "second")
    )
    assert first == second
    assert first.count(b"\n") == 1001


# ------------------------------------------------------------------------------------ what is shown


def result(*, wall: float = 2.0, present: bool = True, goal: float = 3.0) -> Result:
    program = Program("it", "apt-get install it", command="sh" if present else "no-such-program")
    peer = Peer("Peer", program, ("peer", OUT), goal)
    job = Job("job", "something", (), ("convcli", OUT), (peer,))
    made = Result(job, ours=Series([Measurement(1.0, 1.0, 50.0)]))
    if present:
        made.theirs["Peer"] = Series([Measurement(wall, wall, 20.0)])
        made.checks["Peer"] = {"agrees": True, "found": "the same"}
    return made


def test_the_table_shows_who_wins_and_who_is_absent() -> None:
    assert "| Peer | 2 (20) | 2.00 | 3.00 (missed) | the same |" in table([result()])
    assert "| Peer | 4 (20) | 4.00 | 3.00 | the same |" in table([result(wall=4.0)])
    assert "absent; apt-get install it" in table([result(present=False)])
    assert as_json([result()])[0]["peers"][0]["ratio"] == 2


def test_what_was_measured_is_what_the_documents_say() -> None:
    kept = json.loads((BENCHMARKS / "results.json").read_text())
    assert document.full(kept) == (BENCHMARKS / "RESULTS.md").read_text()


def test_the_commands_are_listed() -> None:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "run.py", "--list"],
        capture_output=True,
        text=True,
        check=True,
    )
    for job in all_jobs(Sizes()):
        assert job.name in done.stdout
        for peer in job.peers:
            assert printable(peer.command, "OUT") in done.stdout
