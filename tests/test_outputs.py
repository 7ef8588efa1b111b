"""Where results go, what is refused, and files that appear complete or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from life import wait_for_end
from program import SAMPLES

from convcli.batch.listing import Listed
from convcli.batch.units import InputUnits
from convcli.errors import InputError, OutputError, RequestError
from convcli.media import replacing
from convcli.media.audio.medium import AUDIO
from convcli.media.inputs import check_input
from convcli.media.output_names import OneOutput, output_names, plan_output
from convcli.media.outputs import open_output
from convcli.media.replacing import atomic, is_special
from convcli.signals import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from program import Program


@pytest.fixture(params=["unnamed", "named"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of writing: the file without a name of Linux, and the hidden one of everywhere else."""
    if request.param == "named":
        monkeypatch.setattr(replacing, "_unnamed", lambda _: None)
    return str(request.param)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    path.write_bytes(b"sound")
    return path


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# Naming


def planned(names: list[str], output: str, *, suffix: str | None = None) -> list[str | None]:
    """The outputs of several inputs, after all refusals."""
    named = output_names(output, len(names), several=True, suffix=suffix)
    units = InputUnits([Listed(name) for name in names], named)
    units.check()
    return [unit.place for unit in units]


def test_standard_output() -> None:
    for output in (None, "-", "/dev/stdout", "/dev/fd/1"):
        assert plan_output(None, output) is None
        assert plan_output(Path("a.wav"), output) is None


def test_one_file(tmp_path: Path) -> None:
    assert plan_output(None, f"{tmp_path}/b.wav") == tmp_path / "b.wav"


def test_folder_by_its_slash(tmp_path: Path) -> None:
    out = f"{tmp_path}/new/"
    assert plan_output(Path("x/a.wav"), out) == tmp_path / "new/a.wav"
    assert planned(["x/a.wav", "b.flac"], out, suffix=".ogg") == [out + "a.ogg", out + "b.ogg"]
    assert names(tmp_path) == [], "a plan touches nothing"


def test_existing_folder_takes_several(tmp_path: Path) -> None:
    assert planned(["a.wav", "b.wav"], str(tmp_path)) == [f"{tmp_path}/a.wav", f"{tmp_path}/b.wav"]


def test_template() -> None:
    inputs = ["x/a.wav", "y.tar.gz"]
    assert planned(inputs, "out/{stem}_lp{suffix}") == ["out/a_lp.wav", "out/y.tar_lp.gz"]
    assert planned(inputs, "{parent}/{index}{{}}.flac") == ["x/1{}.flac", "./2{}.flac"]
    assert planned(inputs, "{stem}{suffix}", suffix=".png")[0] == "a.png"


def test_index_is_padded_so_that_names_sort() -> None:
    outputs = planned([f"{n}.wav" for n in range(12)], "{index}.wav")
    assert [outputs[0], outputs[-1]] == ["01.wav", "12.wav"]


def test_braces_in_the_name_of_an_input_stay() -> None:
    assert plan_output(Path("{index}.wav"), "o/{stem}.wav") == Path("o/{index}.wav")


@given(
    st.text(alphabet="ab{}x./", min_size=1, max_size=12).filter(
        lambda text: "{" in text or "}" in text
    )
)
def test_any_template_is_a_path_or_a_refusal(template: str) -> None:
    # A template that comes to an existing folder is refused like any other.
    with suppress(RequestError):
        assert plan_output(Path("no-such-folder/a.wav"), template, force=True) is not None


@pytest.mark.parametrize(
    ("template", "message", "hint"),
    [
        ("{stme}.wav", "{stme} in the output {stme}.wav is not a field", "did you mean {stem}?"),
        ("{}.wav", "{} in the output", "{{"),
        ("a{.wav", "{ in the output a{.wav is not a field", "{{"),
        ("{stem.__class__}", "{stem.__class__} in the output", ""),
    ],
)
def test_unknown_field(template: str, message: str, hint: str) -> None:
    with pytest.raises(RequestError) as caught:
        plan_output(Path("a.wav"), template)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


# Refusals


def refused(source: Path | None, output: str | None, **options: bool) -> str:
    with pytest.raises(RequestError) as caught:
        plan_output(source, output, **options)  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    return caught.value.message


def several_refused(names: list[str], output: str) -> str:
    with pytest.raises(RequestError) as caught:
        planned(names, output)
    assert caught.value.exit_code == 2
    return caught.value.message


def test_several_inputs_need_several_outputs(tmp_path: Path) -> None:
    assert "cannot share standard output" in several_refused(["a", "b"], "-")
    assert "cannot share the one output" in several_refused(["a", "b"], f"{tmp_path}/c.wav")


def test_two_inputs_on_one_output(tmp_path: Path) -> None:
    message = several_refused(["x/a.wav", "y/a.wav"], "out/")
    assert "x/a.wav and y/a.wav would both be written to out/a.wav" in message
    (tmp_path / "loop").symlink_to(tmp_path)
    assert "both" in several_refused(["p/a", "p/b"], f"{tmp_path}/{{stem}}/../o.wav")


def test_existing_output_needs_force(sound: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.wav"
    old.write_bytes(b"")
    assert f"{old} exists already" in refused(sound, str(old))
    assert plan_output(sound, str(old), force=True) == old
    (tmp_path / "link").symlink_to(old)
    assert "exists already" in refused(sound, f"{tmp_path}/link")


def test_folder_as_output_file(sound: Path, tmp_path: Path) -> None:
    assert "is a folder" in refused(sound, str(tmp_path), force=True)


def test_empty_output(sound: Path) -> None:
    assert "empty" in refused(sound, "")


def test_missing_folder(sound: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no folder"):
        plan_output(sound, f"{tmp_path}/no/b.wav")
    with pytest.raises(OutputError, match="is not a folder"):
        plan_output(sound, f"{sound}/b.wav")


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize(
    "spelling", ["same", "dots", "relative", "symlink", "hardlink", "folder link", "dev fd"]
)
def test_output_is_the_input(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str, *, force: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "soft.wav").symlink_to("talk.wav")
    (tmp_path / "hard.wav").hardlink_to(sound)
    (tmp_path / "again").symlink_to(".")
    with sound.open("rb") as file:
        output = {
            "same": "talk.wav",
            "dots": "./sub/../talk.wav",
            "relative": f"../{tmp_path.name}/talk.wav",
            "symlink": "soft.wav",
            "hardlink": "hard.wav",
            "folder link": "again/again/talk.wav",
            "dev fd": f"/dev/fd/{file.fileno()}",
        }[spelling]
        message = refused(sound, output, force=force)
        assert "is the input" in message
        assert plan_output(sound, output, in_place=True) == Path(output)


def test_output_is_another_input(sound: Path, tmp_path: Path) -> None:
    other = tmp_path / "b.wav"
    other.write_bytes(b"")
    inputs = [str(other), str(sound)]
    template = f"{tmp_path}/talk.wav{{stem}}/../talk.wav"
    assert "both" in several_refused(inputs, template)
    (tmp_path / "o").mkdir()
    (tmp_path / "o/b.wav").hardlink_to(sound)
    assert "is another input" in several_refused(inputs, f"{tmp_path}/o/")


def test_standard_input_is_the_output(sound: Path) -> None:
    code = f"from convcli.media.output_names import plan_output; plan_output(None, {str(sound)!r}, force=True)"
    with sound.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", code], stdin=file, capture_output=True, text=True, check=False
        )
    assert "is the input standard input" in done.stderr


def test_standard_output_is_the_input(sound: Path) -> None:
    code = f"from pathlib import Path; from convcli.media.output_names import plan_output; plan_output(Path({str(sound)!r}), None)"
    with sound.open("ab") as file:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=file, stderr=subprocess.PIPE, check=False
        )
    assert b"the output standard output is the input" in done.stderr
    assert sound.read_bytes() == b"sound"


def test_in_place(sound: Path, tmp_path: Path) -> None:
    assert plan_output(sound, None, in_place=True) == sound
    assert "standard input" in refused(None, None, in_place=True)
    os.mkfifo(tmp_path / "pipe")
    assert "device or a pipe" in refused(tmp_path / "pipe", None, in_place=True)
    (tmp_path / "soft.wav").symlink_to("talk.wav")
    units = InputUnits(
        [Listed(str(sound)), Listed(f"{tmp_path}/soft.wav")], OneOutput(), in_place=True
    )
    with pytest.raises(RequestError, match="would both be written"):
        units.check()


def test_devices_and_pipes_are_not_refused(sound: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for output in ("/dev/null", "/dev/full", f"{tmp_path}/pipe"):
        assert plan_output(sound, output) == Path(output)


def test_check_input(sound: Path, tmp_path: Path) -> None:
    check_input(sound)
    check_input(Path("/dev/null"))
    with pytest.raises(InputError, match="there is no file") as caught:
        check_input(tmp_path / "tlak.wav")
    assert caught.value.hint == f"did you mean {sound}?"
    for other in ("tlak.csv", "talk.flac"):
        with pytest.raises(InputError, match="there is no file") as caught:
            check_input(tmp_path / other)
        assert caught.value.hint is None
    with pytest.raises(InputError, match="is a folder"):
        check_input(tmp_path)
    with pytest.raises(InputError, match="Not a directory"):
        check_input(sound / "x")
    with pytest.raises(InputError, match="File name too long"):
        check_input(tmp_path / ("x" * 300))


# Writing


@pytest.mark.usefixtures("way")
def test_a_file_appears_complete(tmp_path: Path) -> None:
    place = tmp_path / "new/folder/b.wav"
    with atomic(place) as temporary:
        temporary.write_bytes(b"all of it")
        assert not place.exists()
    assert place.read_bytes() == b"all of it"
    assert names(place.parent) == ["b.wav"]


@pytest.mark.usefixtures("way")
@pytest.mark.usefixtures("way")
def test_an_old_file_is_given_up_when_the_new_one_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power failure there is the old content or the new."""
    old_at_sync = []
    path = tmp_path / "o"

    def sync(handle: int) -> None:
        assert os.pread(handle, 9, 0) == b"new"
        old_at_sync.append(path.read_bytes())

    monkeypatch.setattr(os, "fsync", sync)
    for content in (b"old", b"new"):
        with atomic(path) as temporary:
            temporary.write_bytes(content)
    assert path.read_bytes() == b"new"
    assert old_at_sync == [b"old"]


def test_permissions(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with atomic(tmp_path / "b") as temporary:
            temporary.write_bytes(b"")
        assert (tmp_path / "b").stat().st_mode & 0o777 == 0o640
        (tmp_path / "b").chmod(0o604)
        with atomic(tmp_path / "b") as temporary:
            temporary.write_bytes(b"new")
        assert (tmp_path / "b").stat().st_mode & 0o777 == 0o604
        assert (tmp_path / "b").read_bytes() == b"new"
    finally:
        os.umask(old)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, GeneratorExit, ValueError, MemoryError, OutputError]
)
def test_nothing_is_left_when_it_fails(sound: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), atomic(sound) as temporary:
        temporary.write_bytes(b"half of")
        raise error("stop")
    assert sound.read_bytes() == b"sound"
    assert names(sound.parent) == ["talk.wav"]


@pytest.mark.usefixtures("way")
def test_symbolic_links_stay(sound: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    link = tmp_path / "sub/link"
    link.symlink_to("../talk.wav")
    with atomic(link) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink()
    assert sound.read_bytes() == b"new"
    link.unlink()
    link.symlink_to("../later.wav")
    with atomic(link) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink()
    assert (tmp_path / "later.wav").read_bytes() == b"new"


@pytest.mark.usefixtures("way")
def test_hard_links_keep_the_old_content(sound: Path, tmp_path: Path) -> None:
    (tmp_path / "hard").hardlink_to(sound)
    with atomic(tmp_path / "hard") as temporary:
        temporary.write_bytes(b"new")
    assert sound.read_bytes() == b"sound"


@pytest.mark.usefixtures("way")
def test_places_that_cannot_be_written(sound: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for place in (
        sound / "x",
        tmp_path,
        tmp_path / ("x" * 300),
        Path("/proc/nothing/x"),
        tmp_path / "loop",
    ):
        with pytest.raises(OutputError, match="cannot write"), atomic(place) as temporary:
            temporary.write_bytes(b"")
    assert names(tmp_path) == ["loop", "talk.wav"]


@pytest.mark.usefixtures("way")
def test_folder_without_permission(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o500)
    if os.access(tmp_path / "shut", os.W_OK):
        pytest.skip("a privileged user may write anywhere")
    with pytest.raises(OutputError, match="Permission denied"), atomic(tmp_path / "shut/a"):
        pass


@pytest.mark.usefixtures("way")
def test_a_long_name_is_no_obstacle(tmp_path: Path) -> None:
    with atomic(tmp_path / ("x" * 255)) as temporary:
        temporary.write_bytes(b"new")
    assert names(tmp_path) == ["x" * 255]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_a_full_disk(sound: Path, number: int) -> None:
    with pytest.raises(OutputError) as caught, atomic(sound):
        raise OSError(number, os.strerror(number))
    assert caught.value.message == f"cannot write {sound}: {os.strerror(number)}"
    assert sound.read_bytes() == b"sound"


@pytest.mark.usefixtures("way")
def test_other_errors_of_the_work_are_its_own(sound: Path) -> None:
    with pytest.raises(BrokenPipeError), atomic(sound):
        raise BrokenPipeError


@pytest.mark.parametrize("there", [False, True])
def test_file_systems_that_do_not_link(
    sound: Path, monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", link)
    sound.chmod(0o604)
    place = sound if there else sound.with_name("new.wav")
    with atomic(place) as temporary:
        temporary.write_bytes(b"new")
    assert place.read_bytes() == b"new"
    assert not there or place.stat().st_mode & 0o777 == 0o604
    assert names(sound.parent) == sorted({"talk.wav", place.name})


def test_a_file_that_appears_meanwhile_is_replaced_whole(tmp_path: Path) -> None:
    place = tmp_path / "b"
    with atomic(place) as temporary:
        temporary.write_bytes(b"ours")
        place.write_bytes(b"theirs, and longer")
    assert place.read_bytes() == b"ours"
    assert names(tmp_path) == ["b"]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_killed(sound: Path, sent: signal.Signals) -> None:
    code = f"""
        import signal
        from pathlib import Path
        from convcli.media.replacing import atomic
        with atomic(Path({str(sound)!r})) as temporary:
            temporary.write_bytes(b"half of")
            print("ready", flush=True)
            signal.pause()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(sent)
        wait_for_end(process)
    assert sound.read_bytes() == b"sound"
    if sent != signal.SIGKILL or sys.platform == "linux":
        assert names(sound.parent) == ["talk.wav"]


def test_libraries_write_to_the_temporary_path(tmp_path: Path) -> None:
    import numpy as np
    import pyvips
    import soundfile

    for kind in ("WAV", "RF64", "FLAC", "OGG", "AIFF"):
        with atomic(tmp_path / "a") as temporary:
            soundfile.write(temporary, np.zeros(1000, np.int16), 8000, format=kind)
        assert soundfile.info(tmp_path / "a").frames == 1000
    picture = pyvips.Image.black(10, 10)
    for save in ("pngsave", "jpegsave", "tiffsave", "webpsave"):
        with atomic(tmp_path / "p") as temporary:
            getattr(picture, save)(str(temporary))
        assert pyvips.Image.new_from_file(str(tmp_path / "p")).width == 10


# The one door


def test_open_output_of_a_file(tmp_path: Path) -> None:
    with open_output(tmp_path / "a", medium=TABLE) as target:
        assert isinstance(target, Path)
        target.write_bytes(b"x")
    assert (tmp_path / "a").read_bytes() == b"x"


def test_open_output_of_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        with open_output(tmp_path / "pipe", medium=AUDIO) as target:
            assert not isinstance(target, Path)
            target.write(b"through")
        assert reader.communicate()[0] == b"through"
    assert is_special(tmp_path / "pipe")


def test_open_output_of_full_devices() -> None:
    with pytest.raises(OutputError, match="cannot write /dev/full: No space left"):
        with open_output(Path("/dev/full"), medium=AUDIO) as target:
            assert not isinstance(target, Path)
            target.write(b"x")
    with open_output(Path("/dev/null"), medium=AUDIO) as target:
        assert not isinstance(target, Path)
        target.write(b"x")
    assert is_special(Path("/dev/null"))


def test_full_standard_output() -> None:
    code = """
        from convcli.media.outputs import open_output
        from convcli.signals import TABLE
        with open_output(None, medium=TABLE) as target:
            target.write(b"x" * 10)
    """
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert b"OutputError: cannot write standard output: No space left on device" in done.stderr


@contextmanager
def terminal() -> Iterator[int]:
    master, slave = os.openpty()
    try:
        yield slave
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(("medium", "words"), [("audio", b"sound"), ("images", b"a picture")])
def test_bytes_are_not_written_to_a_terminal(medium: str, words: bytes) -> None:
    name = "AUDIO" if medium == "audio" else "IMAGE"
    code = (
        "from convcli.media.outputs import stdout_binary;"
        f"from convcli.media.{medium}.medium import {name}; stdout_binary({name})"
    )
    with terminal() as slave:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=slave, stderr=subprocess.PIPE, check=False
        )
    assert b"RequestError: " + words + b" is not written to a terminal" in done.stderr


def test_parquet_is_not_written_to_a_terminal(program: Program, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    with terminal() as slave:
        name = os.ttyname(slave)
        words = ("csv", "gain:1", "a.csv", "-o", name, "--format", "parquet")
        ended = program.run(*words, cwd=tmp_path)
    told = "a Parquet file is not written to a terminal"
    assert (ended.code, ended.errors[0]) == (2, "error: " + told)


def test_a_terminal_by_its_path() -> None:
    with (
        terminal() as slave,
        pytest.raises(RequestError, match="sound is not written to a terminal"),
    ):
        with open_output(Path(os.ttyname(slave)), medium=AUDIO):
            pass


def test_tables_are_written_to_a_terminal() -> None:
    code = (
        "from convcli.media.outputs import stdout_binary;"
        "from convcli.signals import TABLE; stdout_binary(TABLE).write(b'x')"
    )
    with terminal() as slave:
        assert (
            subprocess.run([sys.executable, "-c", code], stdout=slave, check=False).returncode == 0
        )


@pytest.mark.parametrize(
    "words",
    [
        ("audio", "gain:0.5", "hello.wav", "--format", "flac", "-o", "y.wav"),
        ("image", "box:3", "cat.png", "--format", "png", "-o", "y.jpg"),
    ],
)
def test_a_suffix_of_another_format_than_was_asked_for(
    words: tuple[str, ...], program: Program, tmp_path: Path
) -> None:
    command, step, name, *options = words
    ended = program.run(command, step, SAMPLES / name, *options, "-q", cwd=tmp_path)
    assert (ended.code, len(ended.errors)) == (2, 1)
    assert "contradict each other" in ended.err
    assert not list(tmp_path.iterdir())
