"""How the program treats its user's files and terminal: CONTRACT §4 and §5, by real runs."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from life import PATIENCE, read_terminal
from program import CONVCLI, SAMPLES, Program, checked, done, run, shell
from program import Done as Ended

PRICES = b"price\n10\n11\n12\n11\n13\n"
SMOOTH = b"price\n10\n10.5\n11\n11.333333333333334\n12\n"
HOSTILE = [
    "[red]bold[/red]",
    "a\x1b[31mred\x1b[0m",
    "two\nlines",
    "-rf",
    "<script>alert(1)</script>",
    "tab\tand\rreturn",
]
HOSTILE += ["é\u202egpj", "x" * 240, "{stem}", "%s%n", "*?", "~"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one input of each medium."""
    (tmp_path / "a.csv").write_bytes(PRICES)
    shutil.copy(SAMPLES / "hello.wav", tmp_path / "a.wav")
    shutil.copy(SAMPLES / "cat.png", tmp_path / "a.png")
    return tmp_path


def content(folder: Path) -> dict[str, str]:
    """Every file under `folder` and its hash."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


RUNS = {
    "csv": ("csv", "sma:3", "a.csv"),
    "audio": ("audio", "box:3", "a.wav"),
    "image": ("image", "box:3", "a.png"),
}
MEDIA = pytest.mark.parametrize("medium", list(RUNS))


# -------------------------------------------------------------------------------- exit codes, words


def test_the_exit_codes(program: Program, folder: Path) -> None:
    runs = {
        ("csv", "sma:3", "a.csv"): 0,
        ("csv", "sma:3", "a.csv", "--fail-on", "lookahead", "--align", "center"): 1,
        ("csv", "smax:3", "a.csv"): 2,
        ("csv", "sma:3", "none.csv"): 3,
        ("csv", "sma:3", "a.csv", "-o", "none/b.csv"): 4,
        ("nonsense",): 2,
        ("--version",): 0,
        ("--help",): 0,
        ("csv", "--help"): 0,
    }
    for words, code in runs.items():
        assert program.run(*words, cwd=folder).code == code, words


def test_without_words_the_help_is_shown(folder: Path) -> None:
    ended = shell("convcli", folder)
    assert ended.code == 2
    assert ended.out == b""
    assert "Commands:" in ended.err


def test_data_go_to_stdout_and_words_to_stderr(program: Program, folder: Path) -> None:
    plain = program.run("csv", "sma:3", "a.csv", cwd=folder)
    assert plain.out == SMOOTH
    assert len(plain.err.splitlines()) == 1
    assert "a.csv" in plain.err
    quiet = program.run("csv", "sma:3", "a.csv", "-q", cwd=folder)
    assert (quiet.out, quiet.err) == (SMOOTH, "")
    wordy = program.run("csv", "sma:3", "a.csv", "-v", cwd=folder)
    assert wordy.out == SMOOTH
    assert "look-ahead" in wordy.err
    assert program.run("csv", "sma:3", "a.csv", "-v", "-q", cwd=folder).code == 2


def test_a_quiet_run_still_says_its_error(program: Program, folder: Path) -> None:
    told = program.run("csv", "smax:3", "a.csv", "-q", cwd=folder)
    assert told.code == 2
    assert len(told.errors) == 1


def test_no_color_is_kept_and_colour_needs_a_terminal(folder: Path) -> None:
    for env in ({}, {"NO_COLOR": "1"}, {"NO_COLOR": "1", "TERM": "xterm-256color"}):
        ended = run("csv", "sma:3", "a.csv", "-v", cwd=folder, env=env)
        assert "\x1b" not in ended.err
    leader, follower = os.openpty()
    env = {**os.environ, "NO_COLOR": "1", "TERM": "xterm-256color"}
    command = [*CONVCLI, "csv", "sma:3", "a.csv", "-v"]
    subprocess.run(
        command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=follower, check=True
    )
    os.close(follower)
    with os.fdopen(leader, "rb", buffering=0) as terminal:
        told = read_terminal(terminal).decode()
    assert "sma:3" in told
    for colour in ("\x1b[3", "\x1b[9"):
        assert colour not in told


def test_fail_on_conditions(program: Program, folder: Path) -> None:
    (folder / "gap.csv").write_bytes(b"x,y\n1,a\n,b\n3,c\n")
    missing = program.run("csv", "sma:2", "gap.csv", "--fail-on", "missing", cwd=folder)
    assert missing.code == 1
    assert "1 value" in missing.errors[0]
    (folder / "minus.csv").write_bytes(b"x,y\n1,2\n-1,3\n")
    became = program.run(
        "csv", "log", "minus.csv", "--fail-on", "missing", "--report", "r.json", cwd=folder
    )
    assert became.code == 1
    assert became.errors == ["error: 1 value became missing, and --fail-on missing was asked for"]
    assert "1 sample became missing" in became.err
    assert json.loads((folder / "r.json").read_text())["losses"]["became_missing"] == {"x": 1}
    ahead = program.run(
        "audio", "box:3", "a.wav", "-o", "b.wav", "--fail-on", "lookahead", cwd=folder
    )
    assert ahead.code == 1
    assert "1 sample" in ahead.errors[0]
    assert not (folder / "b.wav").exists()
    causal = ("--align", "causal", "--fail-on", "lookahead", "--fail-on", "clip")
    assert program.run("audio", "box:3", "a.wav", "-o", "b.wav", *causal, cwd=folder).code == 0
    assert program.run("csv", "normalize", "a.csv", "--fail-on", "lookahead", cwd=folder).code == 1
    assert program.run("csv", "sma:2", "a.csv", "--fail-on", "rain", cwd=folder).code == 2


# -------------------------------------------------------------------------------- no output is lost


@MEDIA
def test_an_output_that_is_the_input_by_any_spelling(
    medium: str, program: Program, folder: Path
) -> None:
    command, step, name = RUNS[medium]
    (folder / "sub").mkdir()
    (folder / "soft").symlink_to(name)
    (folder / "hard").hardlink_to(folder / name)
    suffix = Path(name).suffix
    (folder / f"soft{suffix}").symlink_to(name)
    before = content(folder)
    spellings = [
        name,
        f"./{name}",
        f"sub/../{name}",
        str(folder / name),
        f"soft{suffix}",
        "soft",
        "hard",
        f"//{folder}/{name}",
    ]
    for spelling in spellings:
        for words in ((), ("--force",)):
            told = program.run(command, step, name, "-o", spelling, *words, cwd=folder)
            assert told.code == 2, (spelling, told)
            assert len(told.errors) == 1
            assert "--in-place" in told.err, (spelling, told)
    linked = program.run(command, step, "soft", "-o", name, "--force", cwd=folder)
    assert linked.code == 2
    folder_itself = program.run(command, step, name, "-o", "./", "--force", cwd=folder)
    assert folder_itself.code == 2
    assert content(folder) == before


def test_standard_input_and_output_that_are_one_file(folder: Path) -> None:
    before = content(folder)
    for line in (
        "convcli csv sma:3 a.csv >> a.csv",
        "convcli csv sma:3 < a.csv >> a.csv",
        "convcli csv sma:3 < a.csv -o a.csv --force",
        "convcli csv sma:3 a.csv -o /dev/stdout >> a.csv",
    ):
        ended = shell(line, folder)
        assert ended.code == 2, (line, ended)
        assert "is the input" in ended.err
    assert content(folder) == before


@MEDIA
def test_an_existing_output_needs_force(medium: str, program: Program, folder: Path) -> None:
    command, step, name = RUNS[medium]
    other = f"b{Path(name).suffix}"
    (folder / other).write_bytes(b"precious")
    told = program.run(command, step, name, "-o", other, cwd=folder)
    assert told.code == 2
    assert "--force" in told.err
    assert (folder / other).read_bytes() == b"precious"
    assert program.run(command, step, name, "-o", other, "--force", cwd=folder).code == 0
    assert (folder / other).read_bytes() != b"precious"


@MEDIA
def test_in_place(medium: str, program: Program, folder: Path) -> None:
    command, step, name = RUNS[medium]
    elsewhere = f"out{Path(name).suffix}"
    assert program.run(command, step, name, "-o", elsewhere, cwd=folder).code == 0
    (folder / name).chmod(0o640)
    (folder / "link").symlink_to(name)
    assert program.run(command, step, name, "--in-place", cwd=folder).code == 0
    assert (folder / name).read_bytes() == (folder / elsewhere).read_bytes()
    assert (folder / name).stat().st_mode & 0o777 == 0o640
    assert (folder / "link").is_symlink()
    stdin = program.run(command, step, "--in-place", stdin=b"x", cwd=folder)
    assert stdin.code == 2


def test_in_place_of_what_fails_changes_nothing(program: Program, folder: Path) -> None:
    (folder / "bad.csv").write_bytes(b"x\n" + b"1\n" * 200_000 + b"bad\n")
    before = content(folder)
    assert program.run("csv", "sma:3", "bad.csv", "--in-place", cwd=folder).code == 3
    assert program.run("audio", "lowpass:99k", "a.wav", "--in-place", cwd=folder).code == 2
    assert content(folder) == before


@MEDIA
def test_dry_run_touches_nothing(medium: str, program: Program, folder: Path) -> None:
    command, step, name = RUNS[medium]
    before = content(folder)
    for words in (("-o", "new/"), ("--in-place",), (), ("--report", "r.json")):
        ended = program.run(command, step, name, "--dry-run", *words, cwd=folder)
        assert ended.code == 0, ended
        assert all(told in ended.text for told in (name, step, "look-ahead"))
        assert "new/" not in words or f"new/{name}" in ended.text
    assert program.run(command, "smax:3", name, "--dry-run", cwd=folder).code == 2
    assert program.run(command, step, name, "-o", name, "--dry-run", cwd=folder).code == 2
    assert content(folder) == before
    assert not (folder / "new").exists()


# ---------------------------------------------------------------------------- several inputs, names


def test_templates_folders_and_collisions(program: Program, folder: Path) -> None:
    (folder / "sub").mkdir()
    for name in ("b.csv", "sub/a.csv"):
        (folder / name).write_bytes(PRICES)
    inputs = ("a.csv", "b.csv", "sub/a.csv")
    before = content(folder)
    clash = program.run("csv", "sma:3", *inputs, "-o", "out/", cwd=folder)
    assert clash.code == 2
    assert "{index}" in clash.err
    for output, code in (
        ("one.csv", 2),
        ("-", 2),
        ("out/{steam}.csv", 2),
        ("out/{stem", 2),
        ("out/same.csv{{", 2),
    ):
        assert program.run("csv", "sma:3", *inputs, "-o", output, cwd=folder).code == code, output
    assert content(folder) == before
    good = program.run(
        "csv",
        "sma:3",
        *inputs,
        "-o",
        "out/{parent}/{index}_{stem}_s{suffix}",
        "-j",
        "2",
        cwd=folder,
    )
    assert good.code == 0, good
    made = set(content(folder)) - set(before)
    assert made == {"out/1_a_s.csv", "out/2_b_s.csv", "out/sub/3_a_s.csv"}
    assert len(good.err.splitlines()) == 3


def test_the_worst_exit_code_of_several(program: Program, folder: Path) -> None:
    (folder / "bad.csv").write_bytes(b"x\nfoo\n")
    (folder / "other.csv").write_bytes(b"q\n1\n")
    words = (
        "csv",
        "sma:3",
        "a.csv",
        "bad.csv",
        "none.csv",
        "other.csv",
        "-c",
        "price",
        "-o",
        "out/",
    )
    ended = program.run(*words, cwd=folder)
    assert ended.code == 3
    assert [
        name
        for name in ("bad.csv", "none.csv", "other.csv")
        if any(name in line for line in ended.errors)
    ] == [
        "bad.csv",
        "none.csv",
        "other.csv",
    ]
    assert [path.name for path in (folder / "out").iterdir()] == ["a.csv"]
    assert (folder / "out/a.csv").read_bytes() == SMOOTH


def test_hostile_names_of_files_and_columns(program: Program, folder: Path) -> None:
    for number, name in enumerate(HOSTILE):
        file = f"{name.replace('/', '')}.csv"
        (folder / file).write_bytes(b'"' + name.encode() + b'",b\n1,x\n2,y\nbad,z\n')
        report = f"r{number}.html"
        told = program.run("csv", "sma:2", "--", file, cwd=folder)
        assert told.code == 3, told
        assert len(told.err.splitlines()) == 2, told
        assert all(line.isprintable() for line in told.err.splitlines()), told.err
        (folder / file).write_bytes(b'"' + name.encode() + b'",b\n1,x\n2,y\n')
        fine = program.run("csv", "sma:2", "-v", "--report", report, "--", file, cwd=folder)
        assert fine.code == 0, fine
        assert all(line.isprintable() for line in fine.err.splitlines()), fine.err
        assert "<script>alert" not in (folder / report).read_text()
        if "[red]" in name:
            assert file in fine.err


def test_names_that_are_not_utf8(folder: Path) -> None:
    name = b"\xff\xfe caf\xe9.csv"
    (folder / os.fsdecode(name)).write_bytes(PRICES)
    ended = run("csv", "sma:3", name, "-o", b"out-" + name, "--report", "r.json", cwd=folder)
    assert ended.code == 0, ended
    assert r"\xff\xfe caf\xe9.csv" in ended.err
    assert b"out-" + name in os.listdir(os.fsencode(folder))
    assert run("csv", "smä:\udcff".encode("utf-8", "surrogateescape"), name, cwd=folder).code == 2
    assert run("csv", "sma:3", name, "-c", b"\xff", cwd=folder).code == 2


# --------------------------------------------------------------------------------------- full disks


@MEDIA
def test_a_full_device(medium: str, folder: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    command, step, name = RUNS[medium]
    before = content(folder)
    for line in (
        f"convcli {command} {step} {name} -o /dev/full",
        f"convcli {command} {step} {name} > /dev/full",
    ):
        ended = shell(line, folder)
        assert ended.code == 4, (line, ended)
        assert len(ended.errors) == 1
        assert "No space left" in ended.errors[0]
    assert content(folder) == before


def test_lists_and_help_on_a_full_device(folder: Path) -> None:
    for words in ("filters", "--help", "csv --help", "csv sma:3 a.csv --dry-run"):
        ended = shell(f"convcli {words} > /dev/full", folder)
        assert (ended.code, len(ended.errors)) == (4, 1), (words, ended)


@MEDIA
def test_a_file_that_may_not_grow(medium: str, folder: Path) -> None:
    command, step, name = RUNS[medium]
    (folder / "a.csv").write_bytes(b"x\n" + b"1.5\n" * 20_000)
    before = content(folder)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    for words in (["-o", f"out/b{Path(name).suffix}"], ["--in-place"]):
        ended = subprocess.run(
            [*CONVCLI, command, step, name, *words],
            cwd=folder,
            capture_output=True,
            preexec_fn=limit,
            check=False,
        )
        told = checked(Ended(ended.returncode, ended.stdout, ended.stderr.decode()))
        assert told.code == 4, told
        assert len(told.errors) == 1
        assert content(folder) == before


@MEDIA
def test_a_small_full_disk(medium: str, folder: Path) -> None:
    command, step, name = RUNS[medium]
    (folder / "a.csv").write_bytes(b"x\n" + b"1.5\n" * 20_000)
    (folder / "disk").mkdir()
    probe = "mount -t tmpfs -o size=16k tmpfs disk"
    if subprocess.run(
        ["unshare", "-m", "sh", "-c", probe], cwd=folder, capture_output=True, check=False
    ).returncode:
        pytest.skip("no file system may be mounted here")
    suffix = Path(name).suffix
    line = (
        f"unshare -m sh -c '{probe} && cp /dev/null disk/old && "
        f"{shlex.join(CONVCLI)} {command} {step} {name} -o disk/b{suffix}; echo code $?; ls -A disk'"
    )
    ended = shell(line, folder)
    assert ended.text.split() == ["code", "4", "old"], ended
    assert len(ended.errors) == 1
    assert "No space left" in ended.errors[0]


def test_outputs_that_cannot_be(program: Program, folder: Path) -> None:
    (folder / "file").write_text("no folder")
    for output, code in (
        ("none/b.csv", 4),
        ("file/b.csv", 4),
        ("", 2),
        (".", 2),
        ("x" * 300, 4),
        ("sub\x01/..", 4),
    ):
        told = program.run("csv", "sma:3", "a.csv", "-o", output, cwd=folder)
        assert told.code == code, (output, told)
        assert len(told.errors) == 1
    if os.geteuid() != 0:
        (folder / "locked").mkdir(mode=0o500)
        assert program.run("csv", "sma:3", "a.csv", "-o", "locked/b.csv", cwd=folder).code == 4


def test_inputs_that_cannot_be(program: Program, folder: Path) -> None:
    (folder / "loop").symlink_to("loop")
    (folder / "gone").symlink_to("nowhere")
    (folder / "sub").mkdir()
    for medium in RUNS:
        for name in ("none", "loop", "gone", "sub", "a.csv/x", "x" * 300, "/dev/null"):
            output = "out" + Path(RUNS[medium][2]).suffix
            told = program.run(medium, "box:3", name, "-o", output, cwd=folder)
            assert told.code == 3, (medium, name, told)
            assert len(told.errors) == 1


@pytest.mark.parametrize(
    "words",
    [
        "csv sma:2 NAME -o b.csv",
        "csv sma:2 a.csv NAME -o out/",
        "csv sma:2 a.csv --report NAME",
        "csv sma:2 a.csv -o b.csv --ledger NAME",
        "csv sma:2 --files-from NAME -o out/",
        "csv kernel:@NAME a.csv",
        "csv @NAME a.csv",
        "detect NAME a.csv",
        "detect a.csv NAME",
        "detect a.csv a.csv -t NAME",
        "compare NAME a.csv",
        "compare a.csv NAME",
        "learn NAME --blind -o m.safetensors",
        "learn a.csv -c v --target v -o NAME",
        "filters sma:2 --export NAME",
        "explain @NAME sma:2",
        "merge NAME",
    ],
)
def test_names_that_are_no_place(words: str, program: Program, folder: Path) -> None:
    """An empty text is not the current folder, and a URL of another scheme is not a path."""
    before = sorted(folder.rglob("*"))
    for name, message in (
        ("", "got an empty text"),
        ("ftp://user:secret@host/x.csv", "URLs of ftp:// are neither read nor written"),
    ):
        told = program.run(*(word.replace("NAME", name) for word in words.split()), cwd=folder)
        assert told.code == 2, told
        assert [message in error for error in told.errors] == [True]
        assert "secret" not in told.err or words.startswith("csv @")
    assert sorted(folder.rglob("*")) == before


def test_urls_of_other_schemes_say_what_to_write(program: Program, folder: Path) -> None:
    for url, hint in (
        (f"file://{folder}/a.csv", f"write the path alone: {folder}/a.csv"),
        ("gcs://bucket/a.csv", "write gs://"),
        ("sftp://host/a.csv", "work on a copy on this machine"),
    ):
        told = program.run("csv", "sma:2", url, cwd=folder)
        assert told.code == 2, told
        assert hint in told.err
    for output in ("ftp://host/x.csv", "ftp://host/out/", "ftp://host/{stem}.csv"):
        told = program.run("csv", "sma:2", "a.csv", "-o", output, cwd=folder)
        assert told.code == 2, told
        assert "s3://, gs://, az://, https://, http://" in told.errors[0]
    # A folder may have such a name.
    (folder / "ftp:" / "host").mkdir(parents=True)
    told = program.run("csv", "sma:2", "a.csv", "-o", "ftp://host/x.csv", cwd=folder)
    assert told.code == 0, told
    assert (folder / "ftp:" / "host" / "x.csv").exists()


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("csv sma:2 a.csv -o 'my files/b.csv'", "mkdir -p 'my files'"),
        ("csv sma:2 a.csv c.csv -o 'my files'", "-o 'my files/'"),
        ("csv sma:2 a.csv -o 'b c.tsv'", "-o 'b c.csv'"),
        ("csv sma:2 a.csv -o 'b c.wav'", "-o 'b c.csv'"),
        ("csv sma:2 a.csv -o 'b c.zzz'", "-o 'b c.csv'"),
        ("csv sma:2 a.csv -o 'b c.parquet.gz'", "-o 'b c.parquet'"),
        ("csv sma:2 a.csv -o b.csv --report 'b c.txt'", "--report 'b c.json'"),
        ("csv sma:2 a.csv -o 'it is'", "-o 'it is/'"),
        ("filters --export 'b c.csv'", "--export 'b c.csv'"),
    ],
)
def test_names_in_hints_are_quoted_for_the_shell(words: str, advice: str, folder: Path) -> None:
    shutil.copy(folder / "a.csv", folder / "c.csv")
    (folder / "it is").mkdir()
    refused = shell(f"convcli {words}", folder)
    assert refused.code != 0
    assert advice in refused.err


def test_columns_in_hints_are_written_as_they_are_asked_for(folder: Path) -> None:
    (folder / "q.csv").write_text('"a,b",c d\n1,2\n')
    missed = shell("convcli csv sma:2 q.csv -c a,b", folder)
    assert """hint: the columns are "a,b", c d""" in missed.err
    assert shell("""convcli csv sma:2 q.csv -c '"a,b"'""", folder).code == 0
    near = shell("convcli csv sma:2 q.csv -c '\"a,bb\"'", folder)
    assert """did you mean "a,b"?""" in near.err
    (folder / "n.csv").write_text("zip code\n007\n008\n")
    numbers = shell("convcli csv sma:2 n.csv", folder)
    assert "-c 'zip code' filters numbers" in numbers.err


# --------------------------------------------------------------------------------- standard streams


@MEDIA
def test_closed_streams(medium: str, folder: Path) -> None:
    command, step, name = RUNS[medium]
    unread = shell(f"convcli {command} {step} <&-", folder)
    assert (unread.code, len(unread.errors)) == (2, 1)
    unwritten = shell(f"convcli {command} {step} {name} >&-", folder)
    assert (unwritten.code, len(unwritten.errors)) == (4, 1)
    # The numbers of the streams must not go to the files that are opened.
    suffix = Path(name).suffix
    silent = shell(f"convcli {command} {step} {name} -o b{suffix} <&- >&- 2>&-; echo $?", folder)
    assert silent.text == "0\n"
    assert done(command, step, name, "-o", f"c{suffix}", cwd=folder).code == 0
    assert (folder / f"b{suffix}").read_bytes() == (folder / f"c{suffix}").read_bytes()


def test_a_list_from_a_closed_input(folder: Path) -> None:
    ended = shell("convcli csv sma:3 --files-from - -o out/ <&-", folder)
    assert (ended.code, ended.errors) == (2, ["error: no list: standard input is closed"])


@pytest.mark.parametrize(
    "words",
    [
        "csv sma:3",
        "audio gain:2 -o b.wav",
        "image box:3 -o b.png",
        "detect a.csv -",
        "compare - a.csv",
        "explain - box:3",
    ],
)
def test_an_input_that_can_only_be_written(words: str, folder: Path) -> None:
    ended = shell(f"convcli {words} 0>only_written", folder)
    assert (ended.code, len(ended.errors)) == (3, 1)
    assert "standard input" in ended.err
    assert "Bad file descriptor" in ended.err


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "--version",
        "filters",
        "filters median:3",
        "explain 1,2,3 box:2",
        "csv sma:3 a.csv --dry-run",
        "csv sma:3 a.csv --causal-check",
        "compare a.wav a.wav",
        "compare a.wav a.wav --json",
        "detect a.wav a.wav",
    ],
)
def test_a_result_for_a_closed_output_is_not_lost_in_silence(words: str, folder: Path) -> None:
    ended = shell(f"convcli {words} >&-", folder)
    assert ended.code == 4, ended
    assert ended.errors == ["error: cannot write to standard output: it is closed"]


@pytest.mark.parametrize(
    "words", ["--help", "filters", "csv sma:3 a.csv", "audio box:3 a.wav", "compare a.wav a.wav"]
)
def test_an_output_that_can_only_be_read(words: str, folder: Path) -> None:
    ended = shell(f"convcli {words} 1</dev/null", folder)
    assert ended.code == 4, ended
    assert ended.errors == ["error: cannot write to standard output: it is open for reading only"]


def test_pipes_that_do_not_wait() -> None:
    """Programs such as node make pipes with O_NONBLOCK."""
    rows = b"1\n" * 20_000
    first_rows, fed = os.pipe()
    received, output = os.pipe()
    fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, 4096)
    for end in (first_rows, output):
        os.set_blocking(end, False)
    os.write(fed, b"x\n" + rows[:8])
    words = [*CONVCLI, "csv", "sma:3", "--follow", "-q"]
    with subprocess.Popen(words, stdin=first_rows, stdout=output) as process:
        os.close(first_rows)
        os.close(output)
        with os.fdopen(received, "rb") as printed:
            assert printed.readline() == b"x\n"  # it has read all that is there
            with os.fdopen(fed, "wb") as rest:
                rest.write(rows[8:])  # there is room for all in the pipe
            assert printed.read() == rows
        assert process.wait() == 0


def test_the_output_of_a_program_that_calls_main_stays_open() -> None:
    program = (
        "import sys; from convcli.cli import main\n"
        "kept = sys.stdout; main(['--version']); sys.stdout = kept; print('after')"
    )
    words = [sys.executable, "-u", "-c", program]
    ended = subprocess.run(words, capture_output=True, check=True, text=True)
    assert ended.stdout.splitlines()[1:] == ["after"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_disk_with_room_for_a_part(unbuffered: str, folder: Path) -> None:
    """With PYTHONUNBUFFERED a write to standard output may take a part of the data."""
    (folder / "long.csv").write_text("x\n" + "1\n" * 4000)
    script = "trap '' XFSZ; ulimit -f 4; \"$@\" > out.csv"
    ended = subprocess.run(
        ["bash", "-c", script, "bash", *CONVCLI, "csv", "sma:3", "long.csv"],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 4
    assert ended.stderr == b"error: cannot write standard output: File too large\n"


@pytest.mark.parametrize(
    "words", ["detect a.wav a.wav --format json", "compare a.wav a.wav --json", "filters median:3"]
)
def test_a_result_is_the_same_each_time(words: str, folder: Path) -> None:
    assert shell(f"convcli {words}", folder).out == shell(f"convcli {words}", folder).out


def test_words_that_nobody_can_read(folder: Path) -> None:
    for nowhere in ("2>&-", "2>/dev/full"):
        ended = shell(f"convcli csv sma:3 a.csv {nowhere}", folder)
        assert (ended.code, ended.out) == (0, SMOOTH)


def test_no_input_on_a_terminal(folder: Path) -> None:
    leader, follower = os.openpty()
    for command in ("csv", "audio", "image"):
        ended = subprocess.run(
            [*CONVCLI, command, "box:3"],
            stdin=follower,
            capture_output=True,
            cwd=folder,
            check=False,
            timeout=PATIENCE,
        )
        assert ended.returncode == 2
        assert b"no input" in ended.stderr
        assert ended.stdout == b""
    os.close(leader)
    os.close(follower)


@pytest.mark.parametrize(
    ("words", "written"),
    [
        ("filters lowpass:1k --rate 8k --report f.json --plot f.svg", ["f.json", "f.svg"]),
        ("filters box:3 box:5 --report f.json", ["f.json"]),
        ("detect a.wav a.wav --report d.json --mark d.svg", ["d.json", "d.svg"]),
        ("compare a.csv a.csv --report c.json --plot c.svg", ["c.json", "c.svg"]),
        ("csv box:3 a.csv --causal-check --report c.json", ["c.json"]),
        ("csv box:3 a.csv --causal-check --report c.json --retries 1", ["c.json"]),
    ],
)
def test_a_closed_pipe_loses_no_file(words: str, written: list[str], folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as out:
        ended = Program().run(*words.split(), cwd=folder, out=out)
    assert (ended.code, ended.errors) == (0, []), ended
    assert all((folder / name).stat().st_size for name in written)


@pytest.mark.parametrize(
    ("words", "shared"),
    [
        ("image box:3 a.png -o w.png --plot ./w.png", "-o and --plot"),
        ("image box:3 a.png -o real/w.png --plot link/w.png", "-o and --plot"),
        ("csv box:3 a.csv -o o.csv --report l.json --ledger ./l.json", "--report and --ledger"),
        ("csv box:3 a.csv -o o.csv --failed l --ledger l", "--ledger and --failed"),
        ("csv box:3 a.csv -o o.csv --ledger failed.txt", "--ledger and the list of failures"),
        ("csv box:3 a.csv -o l.csv --ledger real/../l.csv", "-o and --ledger"),
        ("csv box:3 --files-from list -o o/ --ledger real/../list", "--files-from and --ledger"),
        ("detect a.png a.png -o d.json --report real/../d.json", "-o and --report"),
        ("merge a.csv -o l --failed real/../l", "-o and --failed"),
        ("merge a.csv --failed l.md --report ./l.md", "--failed and --report"),
        ("filters box:3 --export r.json --report ./r.json", "--export and --report"),
    ],
)
def test_one_file_for_two_outputs_is_refused(words: str, shared: str, folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "link").symlink_to("real")
    (folder / "list").write_text("a.csv\n")
    before = content(folder)
    ended = run(*words.split(), "--force", cwd=folder)
    assert ended.code == 2, ended
    assert ended.errors[0].startswith(f"error: {shared} are both "), ended
    assert content(folder) == before


def test_a_closed_pipe_ends_what_prints_quietly(folder: Path) -> None:
    (folder / "long.csv").write_text("x\n" + "1\n" * 4000)
    for words in (
        "explain @long.csv box:3 -c x --limit 0",
        "explain @long.csv box:3 -c x --format json",
    ):
        ended = shell(f"(convcli {words}; echo $? > code) | head -1", folder)
        assert (ended.err, len(ended.out.splitlines())) == ("", 1)
        assert (folder / "code").read_text() == "0\n"


def test_an_input_that_is_a_fifo(folder: Path) -> None:
    os.mkfifo(folder / "pipe.csv")
    assert shell("cat a.csv > pipe.csv & convcli csv sma:3 pipe.csv", folder).out == SMOOTH
    os.mkfifo(folder / "out.csv")
    assert shell("convcli csv sma:3 a.csv -o out.csv & cat out.csv", folder).out == SMOOTH


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("csv", "demean"), "a.csv"),
        (("csv", "--add", "n=normalize"), "a.csv"),
        (("audio", "normalize"), "a.wav"),
        (("image", "normalize"), "a.png"),
    ],
)
def test_a_fifo_is_kept_for_a_filter_that_measures_first(
    words: tuple[str, ...], name: str, program: Program, folder: Path
) -> None:
    os.mkfifo(folder / "pipe")
    data = (folder / name).read_bytes()
    writer = threading.Thread(target=(folder / "pipe").write_bytes, args=(data,), daemon=True)
    writer.start()
    piped = program.run(*words, "pipe", "-o", "-", cwd=folder)
    writer.join(PATIENCE)
    assert piped.code == 0, piped.err
    assert piped.out == program.run(*words, name, "-o", "-", cwd=folder).out


def test_debug_is_asked_for_where_it_is_wanted(program: Program, folder: Path) -> None:
    assert program.run("csv", "sma:3", "a.csv", "--debug", cwd=folder).out == SMOOTH


# ----------------------------------------------------------------------------------------- start-up


def imported(words: list[str], folder: Path) -> set[str]:
    """The modules that a run imports."""
    command = [sys.executable, "-X", "importtime", "-m", "convcli", *words]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=True)
    lines = (line for line in ended.stderr.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip().split(".")[0] for line in lines}


def test_help_imports_no_arrays(folder: Path) -> None:
    for words in (["--help"], ["csv", "--help"], ["--version"]):
        assert not imported(words, folder) & {
            "numpy",
            "pandas",
            "scipy",
            "pyarrow",
            "cv2",
            "pyvips",
            "soundfile",
        }


def test_small_runs_import_little(folder: Path) -> None:
    heavy = {"pandas", "scipy", "pyarrow", "matplotlib", "cv2", "pyvips", "soxr"}
    assert not imported(["csv", "lowpass:0.1", "a.csv", "-o", "b.csv"], folder) & (
        heavy | {"soundfile"}
    )
    assert not imported(["audio", "lowpass:1k", "a.wav", "-o", "b.wav"], folder) & heavy
    assert not imported(["image", "box:3", "a.png", "-o", "b.png"], folder) & {
        "pandas",
        "scipy",
        "pyarrow",
        "soundfile",
    }


def printed(program: str) -> str:
    """What a program of Python prints."""
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_steps_are_imported_by_families() -> None:
    family = "import sys; from convcli.designs import find; find({!r}); print('convcli.designs.{}' in sys.modules)"
    assert printed(family.format("sma", "smoothing")) == "True"
    assert printed(family.format("sma", "frequency")) == "False"
    # Whatever was imported first, all steps are there in their order.
    listed = "from convcli.designs import steps; print(*steps(), sep=',')"
    assert printed(f"import convcli.designs.downsampling; {listed}") == printed(listed)
    assert printed(listed).startswith("kernel,correlate,ir,box,")
    assert printed(listed).endswith(",model")


def test_garbage_of_the_start_is_not_collected(folder: Path) -> None:
    program = (
        "import gc; from convcli.cli import main; main(['csv', '-q', 'sma:3', 'a.csv', '-o', 'b.csv']); "
        "print(sum(each['collections'] for each in gc.get_stats()))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, check=True
    )
    assert (
        int(ended.stdout) <= 40
    )  # 78 with the thresholds that Python comes with, 8 of them before the first import
