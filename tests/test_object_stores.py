"""URLs as inputs and outputs, against a real S3 server, a real web server, and lines that break."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import urllib.request
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pytest
import soundfile
from object_store import BUCKET, FileServer, Line, moto_server
from program import SAMPLES, done, refused, run

from convcli.errors import InputError, OutputError, RequestError
from convcli.media import remote_store, remote_writer
from convcli.media.remote import RemotePlace, without_secrets
from convcli.media.remote_listing import objects_in, objects_like
from convcli.media.remote_reader import open_remote
from convcli.media.remote_store import open_store
from convcli.media.remote_writer import written_whole
from convcli.media.replacing import atomic
from convcli.places import is_remote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HELLO = SAMPLES / "hello.wav"
SECRET = "wJalrXUtnFEMI"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto_server(tmp_path_factory.mktemp("moto")) as address:
        request = urllib.request.Request(f"{address}/{BUCKET}", method="PUT")
        urllib.request.urlopen(request).close()
        yield address


class Folder:
    """A folder of its own in the bucket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.url = f"s3://{BUCKET}/{uuid4().hex}"

    def place(self, name: str) -> RemotePlace:
        return RemotePlace(f"{self.url}/{name}")

    def put(self, name: str, content: bytes | Path) -> str:
        import obstore

        store, key = open_store(self.place(name))
        obstore.put(store, key, content)
        return f"{self.url}/{name}"

    def get(self, name: str) -> bytes:
        import obstore

        store, key = open_store(self.place(name))
        return bytes(obstore.get(store, key).bytes())

    def names(self) -> list[str]:
        found = objects_in(RemotePlace(self.url + "/"), recursive=True)
        return [url[start:] for url, start in found]

    def unfinished(self) -> int:
        """How many uploads in parts the server still keeps."""
        with urllib.request.urlopen(f"{self.address}/{BUCKET}?uploads") as answer:
            return int(answer.read().count(self.url.rpartition("/")[2].encode()))


@pytest.fixture
def folder(server: str, monkeypatch: pytest.MonkeyPatch) -> Folder:
    use_server(monkeypatch, server)
    return Folder(server)


def use_server(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Let stores be found at an address, by this process and by the program."""
    for name, text in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "CONVCLI_STORE_RETRIES": "2",
    }.items():
        monkeypatch.setenv(name, text)
    remote_store._bucket.cache_clear()


@pytest.fixture
def line(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """A line to the server, by which the program asks it."""
    made = Line(folder.address)
    use_server(monkeypatch, made.address)
    yield made
    made.close()


@pytest.fixture
def web() -> Iterator[FileServer]:
    made = FileServer()
    yield made
    made.shutdown()
    made.server_close()


# ------------------------------------------------------------------------------------ places


@pytest.mark.parametrize(
    ("url", "bucket", "key", "name", "suffix"),
    [
        ("s3://b/a/x.wav", "b", "a/x.wav", "x.wav", ".wav"),
        ("S3://b/a b%20?c=1#d.csv.gz", "b", "a b%20?c=1#d.csv.gz", "a b%20?c=1#d.csv.gz", ".gz"),
        ("gs://b/", "b", "", "", ""),
        ("https://u:p@h:8/a/b%20c.png?sig=x#y", "h:8", "a/b%20c.png", "b c.png", ".png"),
    ],
)
def test_the_parts_of_a_url(url: str, bucket: str, key: str, name: str, suffix: str) -> None:
    place = RemotePlace(url)
    assert (place.bucket, place.key, place.name, place.suffix) == (bucket, key, name, suffix)
    assert place.stem + place.suffix == name


def test_what_is_a_url() -> None:
    assert is_remote("az://c/k")
    assert not any(map(is_remote, ("s3:/b/k", "file://x", "a://b", "./s3://b/k", "C:\\x")))


def test_secrets_of_a_url_are_not_shown() -> None:
    assert without_secrets("https://me:pw@host/a.wav?X-Amz-Signature=abc#f") == "https://host/a.wav"
    assert str(RemotePlace("https://me:pw@host/a.wav?sig=abc").parent) == "https://host"
    assert without_secrets("lowpass:3k") == "lowpass:3k"


# ---------------------------------------------------------------------------- in and out


@pytest.mark.parametrize(
    ("command", "sample", "made"),
    [
        (("audio", "lowpass:3k"), "hello.wav", "a b%20.wav"),
        (("audio", "normalize"), "hello.wav", "x.flac"),
        (("image", "gaussian:2"), "cat.png", "ü.png"),
        (("csv", "sma:5", "-c", "price"), "stocks.csv", "?#.csv.gz"),
        (("csv", "sma:5", "-c", "price"), "stocks.csv", "x.parquet"),
    ],
)
def test_an_object_is_filtered_as_a_file_is(
    command: tuple[str, ...], sample: str, made: str, folder: Folder, tmp_path: Path
) -> None:
    source = folder.put(f"in/{sample}", SAMPLES / sample)
    name, step, *options = command
    ended = done(name, step, source, "-o", f"{folder.url}/out/{made}", *options)
    done(name, step, SAMPLES / sample, "-o", tmp_path / made, *options)
    assert folder.get(f"out/{made}") == (tmp_path / made).read_bytes()
    assert f"{source} -> {folder.url}/out/{made}: " in ended.err


def test_many_objects_into_a_template_with_one_bad_file(folder: Folder) -> None:
    folder.put("in/a.wav", HELLO)
    folder.put("in/deep/b.wav", HELLO)
    folder.put("in/deep/bad.wav", b"no sound")
    folder.put("in/readme.txt", b"text")
    folder.put("in/.hidden.wav", b"")
    report = f"{folder.url}/report.json"
    output = f"{folder.url}/out/{{subfolder}}/{{stem}}_lp{{suffix}}"
    ended = run(
        "audio", "lowpass:3k", f"{folder.url}/in/", "--recursive", "-o", output, "--report", report
    )
    assert ended.code == 3, ended
    assert len(ended.errors) == 1
    assert f"{folder.url}/in/deep/bad.wav" in ended.errors[0]
    made = [name for name in folder.names() if name.startswith("out/")]
    assert made == ["out/a_lp.wav", "out/deep/b_lp.wav"]
    assert json.loads(folder.get("report.json"))


def test_a_pattern_into_a_folder(folder: Folder, tmp_path: Path) -> None:
    for name in ("in/a.wav", "in/deep/b.wav", "in/deep/c.txt"):
        folder.put(name, HELLO)
    done("audio", "box:3", f"{folder.url}/in/**/*.wav", "-o", f"{tmp_path}/", "-q")
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.wav"))
    assert found == ["a.wav", "deep/b.wav"]
    missing = refused(3, "audio", "box:3", f"{folder.url}/*.mp3", "-o", f"{tmp_path}/")
    assert "no file matches" in missing


def test_a_list_of_urls_in_a_store(folder: Folder, tmp_path: Path) -> None:
    names = [folder.put(f"{name}.wav", HELLO) for name in "ab"]
    words = folder.put("list.txt", "\n".join(names).encode())
    done("audio", "box:3", "--files-from", words, "-o", f"{tmp_path}/{{index}}{{suffix}}", "-q")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.wav", "2.wav"]


def test_a_ledger_in_a_store(folder: Folder) -> None:
    folder.put("in/a.wav", HELLO)
    folder.put("in/b.wav", b"no sound")
    ledger = f"{folder.url}/run.jsonl"
    words = ["audio", "box:3", f"{folder.url}/in/", "-o", f"{folder.url}/out/", "--ledger", ledger]
    assert run(*words).code == 3
    lines = [json.loads(line) for line in folder.get("run.jsonl").splitlines()]
    assert {line["input"]["path"] for line in lines} == {f"{folder.url}/in/{x}.wav" for x in "ab"}
    assert all("etag" in line["input"] for line in lines)
    assert folder.get("failed.txt").decode() == f"{folder.url}/in/./b.wav\n"
    again = run("audio", "box:3", "--files-from", f"{folder.url}/failed.txt", "-o", "out/", "-q")
    assert f"{folder.url}/in/b.wav" in again.err
    folder.put("in/b.wav", HELLO)
    assert "exists already" in refused(2, *words)
    ended = done(*words, "--resume")
    assert "1 input done by an earlier run" in ended.err
    assert "failed.txt" not in folder.names()
    assert folder.get("out/a.wav") == folder.get("out/b.wav")
    assert "2 inputs done by an earlier run" in done(*words, "--resume").err
    folder.put("in/a.wav", HELLO.read_bytes() + b"xx")
    assert "1 input done" in done(*words, "--resume").err
    assert "2 inputs left out" in done(*words, "--force", "--skip-existing").err


def test_an_output_whose_line_was_lost_is_made_again(folder: Folder, tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        folder.put(f"in/{name}", HELLO)
    ledger = tmp_path / "run.jsonl"
    words = [
        "audio",
        "box:3",
        f"{folder.url}/in/",
        "-o",
        f"{folder.url}/out/",
        "--ledger",
        str(ledger),
    ]
    done(*words, "-q")
    # As after a kill: the output is there, and nothing in the ledger says so.
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(lines[0])
    assert "1 input done by an earlier run" in done(*words, "--resume").err
    assert len(ledger.read_bytes().splitlines()) == 2
    # An object that was there before is not replaced.
    folder.put("in/c.wav", HELLO)
    ledger.unlink()
    assert "exists already" in run(*words).err


def test_other_commands_take_urls(folder: Folder, tmp_path: Path) -> None:
    sound = folder.put("hello.wav", HELLO)
    report = f"{folder.url}/hits.html"
    found = done("detect", sound, sound, "-o", f"{folder.url}/hits.csv", "--report", report, "-q")
    assert found.out == b""
    assert folder.get("hits.csv").count(b"\n") == 2
    assert folder.get("hits.html").startswith(b"<!")
    assert done("compare", sound, HELLO, "--json").text.count('"snr"') >= 1
    page = done("explain", sound, "1,2,1").out
    assert page == done("explain", HELLO, "1,2,1").out
    model = tmp_path / "m.safetensors"
    done("learn", sound, HELLO, "--taps", "3", "-o", model, "-q")
    assert model.exists()


# ---------------------------------------------------------------------- whole or not at all


def test_what_a_filter_names_may_be_a_url(folder: Folder, web: FileServer, tmp_path: Path) -> None:
    taps = folder.put("taps.csv", b"1,2,1\n")
    np.save(tmp_path / "taps.npy", np.array([1.0, 2.0, 1.0]))
    saved = folder.put("taps.npy", (tmp_path / "taps.npy").read_bytes())
    table = b"x\n1\n2\n4\n8\n"
    expected = done("csv", "kernel:1,2,1", "-q", stdin=table).out
    web.files["/taps.csv"] = b"1,2,1\n"
    for place in (taps, saved, f"{web.address}/taps.csv"):
        assert done("csv", f"kernel:@{place}", "-q", stdin=table).out == expected
    soundfile.write(tmp_path / "hall.wav", np.array([1.0, 0.5]), 8000)
    soundfile.write(tmp_path / "in.wav", np.linspace(-0.5, 0.5, 99), 8000)
    hall = folder.put("hall.wav", (tmp_path / "hall.wav").read_bytes())
    for output, response in (("a.wav", hall), ("b.wav", "hall.wav")):
        done("audio", f"ir:{response}", "in.wav", "-o", output, cwd=tmp_path)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    gone = refused(3, "csv", f"kernel:@{folder.url}/gone.csv", stdin=table)
    assert f"there is no {folder.url}/gone.csv" in gone
    # A model is learned into the store, from sums that are there, and runs from there.
    model = f"{folder.url}/m.safetensors"
    (tmp_path / "t.csv").write_bytes(b"x\n" + b"".join(b"%d\n" % (n * n % 17) for n in range(99)))
    words = ("--target", "x", "--taps", "3", "-q")
    done("learn", "t.csv", *words, "--partial", f"{folder.url}/s.npz", cwd=tmp_path)
    done("learn", "--merge", f"{folder.url}/s.npz", "-q", "-o", model)
    done("learn", "t.csv", *words, "-o", "m.safetensors", cwd=tmp_path)
    own = done("csv", "model:m.safetensors", "t.csv", "-q", cwd=tmp_path).out
    assert done("csv", f"model:{model}", "t.csv", "-q", cwd=tmp_path).out == own


def test_an_existing_object_is_refused_without_force(folder: Folder) -> None:
    source = folder.put("a.wav", HELLO)
    output = folder.put("out.wav", b"precious")
    told = refused(2, "audio", "box:3", source, "-o", output)
    assert "exists already" in told
    assert "--force" in told
    assert folder.get("out.wav") == b"precious"
    done("audio", "box:3", source, "-o", output, "--force", "-q")
    assert folder.get("out.wav") != b"precious"


def test_an_input_is_its_own_output_only_in_place(folder: Folder, tmp_path: Path) -> None:
    source = folder.put("a.wav", HELLO)
    assert "is the input" in refused(2, "audio", "box:3", source, "-o", source, "--force")
    assert folder.get("a.wav") == HELLO.read_bytes()
    done("audio", "box:3", source, "--in-place", "-q")
    done("audio", "box:3", HELLO, "-o", tmp_path / "a.wav", "-q")
    assert folder.get("a.wav") == (tmp_path / "a.wav").read_bytes()


@pytest.mark.parametrize("size", [100, 11 << 20])
def test_an_object_that_appeared_meanwhile_stays(
    size: int, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_parts(monkeypatch)
    with pytest.raises(RequestError, match="exists already"):
        with written_whole(folder.place("x"), replace=False) as path:
            path.write_bytes(bytes(size))
            folder.put("x", b"precious")
    assert folder.get("x") == b"precious"
    assert folder.unfinished() == 0
    with atomic(folder.place("x")) as path:
        path.write_bytes(bytes(size))
    assert folder.get("x") == bytes(size)


def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send objects in parts that are as small as stores allow."""
    monkeypatch.setattr(remote_writer, "_SENT_AT_ONCE", 1 << 20)
    monkeypatch.setattr(remote_writer, "_PART", 5 << 20)


def test_nothing_is_left_of_an_output_that_fails(folder: Folder) -> None:
    source = folder.put("a.csv", b"x\n" + b"1\n" * 300_000 + b"word\n")
    told = refused(3, "csv", "sma:3", source, "-o", f"{folder.url}/out.csv")
    assert f"{source}" in told
    assert "300002" in told.replace(",", "")
    assert folder.names() == ["a.csv"]
    with pytest.raises(KeyError), written_whole(folder.place("y"), replace=False) as path:
        path.write_bytes(b"half")
        raise KeyError
    assert folder.names() == ["a.csv"]


def test_parts_that_arrive_in_another_order(
    folder: Folder, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_parts(monkeypatch)
    line.held, line.until = b"partNumber=1&", b"partNumber=3&"
    content = np.random.default_rng(5).bytes(11 << 20)
    with written_whole(folder.place("x"), replace=False) as path:
        path.write_bytes(content)
    assert line.came.is_set()
    assert folder.get("x") == content


def test_the_commands_of_the_page(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (SAMPLES.parent / "docs" / "how-to" / "stores.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for sample in ("hello.wav", "stocks.csv", "cat.png"):
        folder.put(f"in/{sample}", SAMPLES / sample)
    folder.put("hall.wav", SAMPLES / "room.wav")
    for name, sample in (("noisy", "hello_noisy"), ("clean", "hello"), ("dry", "hello")):
        shutil.copy(SAMPLES / f"{sample}.wav", f"{name}.wav")
    commands = re.findall(r"^convcli .*", page, re.MULTILINE)
    assert len(commands) == 9
    for command in commands:
        here = command.replace("s3://recordings", folder.url)
        assert run(*shlex.split(here.partition(" | ")[0])[1:]).code == 0, here
    made = {"out/hello.wav", "hello_lp.wav", "soft/cat.png", "run.jsonl", "clean/hello.wav"}
    assert made <= set(folder.names())
    assert (tmp_path / "filtered" / "hello.wav").exists()


# ------------------------------------------------------------------------------------ ranges


def test_a_plan_reads_the_head_alone(folder: Folder, line: Line, tmp_path: Path) -> None:
    sound = tmp_path / "long.wav"
    soundfile.write(sound, np.zeros((1_000_000, 2), np.int16), 44100, subtype="PCM_16")
    source = folder.put("long.wav", sound)
    line.received = 0
    assert "taps 305" in done("audio", "lowpass:3k", source, "--dry-run").text
    assert 0 < line.received < 200_000  # of 4,000,044


def test_a_long_object_is_read_once(folder: Folder, line: Line, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    sound = tmp_path / "long.wav"
    noise = rng.integers(-9999, 9999, (1_500_000, 2), np.int16)
    soundfile.write(sound, noise, 44100, subtype="PCM_16")
    source = folder.put("long.wav", sound)
    line.received = 0
    done("audio", "box:3", source, "-o", tmp_path / "a.wav", "-q")
    done("audio", "box:3", sound, "-o", tmp_path / "b.wav", "-q")
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    assert line.received < 1.01 * sound.stat().st_size


def test_parts_read_and_written_by_two_processes(folder: Folder, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    sound = tmp_path / "long.wav"
    soundfile.write(sound, rng.integers(-9, 9, (200_000, 2), np.int16), 8000, subtype="PCM_16")
    source = folder.put("long.wav", sound)
    ended = done("audio", "box:99", source, "-o", f"{folder.url}/out.wav", "--parts", "2")
    assert "as one unit" not in ended.err
    done("audio", "box:99", sound, "-o", tmp_path / "out.wav", "-q")
    assert folder.get("out.wav") == (tmp_path / "out.wav").read_bytes()


def test_a_table_in_a_store_is_cut(folder: Folder, tmp_path: Path) -> None:
    rows = [f'{n * n % 97},"a\n{n}",{"xy"[n % 2]}\n' for n in range(40_000)]
    table = tmp_path / "t.csv"
    table.write_text("v,text,group\n" + "".join(rows))
    source = folder.put("t.csv", table)
    words = ("-c", "v", "--parts", "3", "--jobs", "1")
    for step, more in (
        ("ema:span=9", ()),
        ("avg_pool:7 | sma:3", ()),
        ("sma:5", ("--by", "group")),
    ):
        whole = done("csv", step, table, "-c", "v", *more).out
        ended = done("csv", step, source, *words, *more, "-o", f"{folder.url}/o.csv", "--force")
        assert "as one unit" not in ended.err
        assert folder.get("o.csv") == whole
    for index in (1, 2):
        share = ("--shard", f"{index}/2", "--ledger", f"{folder.url}/{index}.jsonl")
        done("csv", "sma:5", source, *words, "-o", "shared.csv", *share, cwd=tmp_path)
    ledgers = [f"{folder.url}/{index}.jsonl" for index in (1, 2)]
    done("merge", *ledgers, "-o", f"{folder.url}/all.jsonl", cwd=tmp_path)
    whole = done("csv", "sma:5", table, "-c", "v").out
    assert (tmp_path / "shared.csv").read_bytes() == whole


def test_reading_at_any_position(folder: Folder) -> None:
    content = np.random.default_rng(2).bytes(1_000_000)
    folder.put("x", content)
    with open_remote(folder.place("x")) as file:
        assert file.seek(-10, os.SEEK_END) == 999_990
        assert file.read() == content[-10:]
        for start in (500_000, 3, 65_530):
            file.seek(start)
            assert file.read(20) == content[start : start + 20]
        file.seek(2_000_000)
        assert file.read(1) == b""
        with pytest.raises((ValueError, OSError)):
            file.seek(-1)


def test_an_object_that_changes_while_it_is_read(folder: Folder) -> None:
    folder.put("x", bytes(1_000_000))
    with open_remote(folder.place("x")) as file:
        file.read(10)
        folder.put("x", bytes(999_999))
        with pytest.raises(InputError, match="changed while it was read"):
            file.read()


def test_an_empty_object(folder: Folder) -> None:
    source = folder.put("empty.wav", b"")
    assert "is empty" in refused(3, "audio", "box:3", source, "-o", f"{folder.url}/x.wav")
    assert "exists already" in refused(2, "audio", "box:3", HELLO, "-o", source)


# ------------------------------------------------------------------------------------ errors


def test_a_connection_that_is_lost_once_is_made_again(
    folder: Folder, line: Line, tmp_path: Path
) -> None:
    source = folder.put("hello.wav", HELLO)
    line.cut, line.cuts = 20_000, 1
    done("audio", "box:3", source, "-o", tmp_path / "a.wav", "-q")
    assert line.cuts == 0
    done("audio", "box:3", HELLO, "-o", tmp_path / "b.wav", "-q")
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_a_connection_that_is_lost_for_good(folder: Folder, line: Line, tmp_path: Path) -> None:
    source = folder.put("hello.wav", HELLO)
    line.cut, line.cuts = 100, sys.maxsize
    told = refused(3, "audio", "box:3", source, "-o", tmp_path / "a.wav")
    assert told.startswith(f"error: {source}: the connection was lost")
    assert list(tmp_path.iterdir()) == []
    line.cut = 0
    told = refused(4, "audio", "box:3", HELLO, "-o", f"{folder.url}/x.wav")
    assert told.startswith(f"error: {folder.url}/x.wav: the connection was lost")


def test_a_line_with_delay_and_loss(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = "".join(f"{n % 97}\n" for n in range(30_000))
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"x\n{rows}")
        folder.put(f"in/{name}", tmp_path / name)
    slow = Line(folder.address, delay=0.05, lost=0.05)
    slow.cut, slow.cuts = 40_000, 1
    use_server(monkeypatch, slow.address)
    done("csv", "sma:5", f"{folder.url}/in/", "-q", "-o", f"{folder.url}/out/", cwd=tmp_path)
    assert slow.resent > 0
    assert slow.cuts == 0
    slow.close()
    use_server(monkeypatch, folder.address)
    for name in ("a.csv", "b.csv"):
        near = done("csv", "sma:5", name, "-q", cwd=tmp_path)
        assert folder.get(f"out/{name}") == near.out


def test_errors_that_may_pass_are_tried_again(folder: Folder, line: Line, tmp_path: Path) -> None:
    source = folder.put("hello.wav", HELLO)
    # The store asks three times, then the program begins again.
    line.cut, line.cuts = 100, 3
    done("audio", "box:3", source, "-o", f"{tmp_path}/", "--retries", "1", "-q")
    assert line.cuts == 0


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        (f"s3://{BUCKET}/no/such.wav", 3, "there is no s3://"),
        ("s3://no-such-bucket/a.wav", 3, "there is no such bucket"),
        (f"s3://{BUCKET}", 3, "holds no sounds"),
        (f"s3://{BUCKET}/a//b.wav", 2, "empty name"),
        (f"s3://{BUCKET}/a/../b.wav", 2, ".. between slashes"),
        (f"s3://{BUCKET}/a\nb.wav", 2, "control characters"),
        (f"s3://{BUCKET}/a\udcff.wav", 2, "not UTF-8"),
        ("http://127.0.0.1:1/a.wav?sig=SECRET", 3, "refused the connection"),
        ("http://[a/b.wav", 2, "not an address"),
        ("gs:///x.wav", 2, "names no bucket"),
    ],
)
def test_inputs_that_cannot_be_read(source: str, code: int, said: str, tmp_path: Path) -> None:
    told = refused(code, "audio", "box:3", source, "-o", tmp_path / "x.wav")
    assert said in told
    assert "SECRET" not in told
    assert "Error" not in told


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("output", "code", "said"),
    [
        ("s3://no-such-bucket/a.wav", 4, "there is no such bucket"),
        (f"s3://{BUCKET}/a//b.wav", 2, "empty name"),
        (f"s3://{BUCKET}/x.xyz", 2, "unknown sound file suffix"),
        ("http://127.0.0.1:1/a.wav", 4, "refused the connection"),
    ],
)
def test_outputs_that_cannot_be_written(output: str, code: int, said: str) -> None:
    assert said in refused(code, "audio", "box:3", HELLO, "-o", output)


def test_wrong_credentials(folder: Folder) -> None:
    source = folder.put("a.wav", HELLO)

    def admit(count: bytes) -> None:
        headers = {"Content-Type": "text/plain"}
        asked = urllib.request.Request(
            f"{folder.address}/moto-api/reset-auth", count, headers, method="POST"
        )
        urllib.request.urlopen(asked).close()

    admit(b"0")
    try:
        told = refused(3, "audio", "box:3", source, "-o", f"{folder.url}/x.wav", "--force")
        assert f"{source}: the credentials were refused" in told
        assert "AWS_ACCESS_KEY_ID" in told
        told = refused(4, "audio", "box:3", HELLO, "-o", f"{folder.url}/x.wav")
        assert "the credentials were refused" in told
        assert SECRET not in told
    finally:
        admit(b"inf")


@pytest.mark.parametrize(
    ("kind", "text", "said", "passes"),
    [
        (
            "PermissionDeniedError",
            "status code: 403 Forbidden: <Code>AccessDenied</Code>",
            "permission denied",
            False,
        ),
        (
            "GenericError",
            "in 1s - Server returned non-2xx status code: 503 Slow Down: <html>",
            "answered 503 Slow Down",
            True,
        ),
        ("GenericError", "status code: 429 Too Many Requests: ", "answered 429 Too Many", True),
        (
            "InvalidPathError",
            'invalid path: Path "k//a.csv" contained empty path segment',
            "the key k//a.csv has an empty name",
            False,
        ),
        (
            "GenericError",
            "PUT http://169.254.169.254/latest/api/token kind: Connect",
            "no credentials were found",
            False,
        ),
        (
            "GenericError",
            "<Code>PermanentRedirect</Code> status code: 301 Moved",
            "another region",
            False,
        ),
        ("GenericError", "error sending request BadScheme", "no TLS", False),
        ("GenericError", "who knows http://x/?sig=HIDDEN", "the store failed", False),
    ],
)
def test_errors_of_the_library_in_words(kind: str, text: str, said: str, *, passes: bool) -> None:
    import obstore.exceptions

    place = RemotePlace("s3://b/k")
    with pytest.raises(OutputError, match=said) as raised:
        with remote_store.in_words(place, OutputError):
            raise getattr(obstore.exceptions, kind)(text)
    assert raised.value.may_pass == passes
    assert "HIDDEN" not in str(raised.value)


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    remote_store._bucket.cache_clear()
    with pytest.raises(RequestError, match="obstore") as raised:
        open_store(RemotePlace("s3://b/k"))
    assert raised.value.hint == "pip install 'convcli[cloud]'"


# ----------------------------------------------------------------------------------- listing


def test_listing_of_folders_and_patterns(folder: Folder) -> None:
    names = [
        "a.wav",
        "b c%20.wav",
        "d/e/f.csv",
        "d/x.wav",
        ".h/y.wav",
        "d/.z.wav",
        "[q].wav",
        "ü*.wav",
    ]
    for name in names:
        folder.put(name, b"x")

    def found(listed: list[tuple[str, int]]) -> list[str]:
        return [url[start:] for url, start in listed]

    here = RemotePlace(folder.url + "/")
    top = ["[q].wav", "a.wav", "b c%20.wav", "ü*.wav"]
    assert found(objects_in(here, recursive=False)) == sorted(top)
    assert found(objects_in(here, recursive=True)) == sorted([*top, "d/e/f.csv", "d/x.wav"])
    assert found(objects_like(folder.place("*.wav"))) == sorted(top)
    assert found(objects_like(folder.place("**/*.wav"))) == sorted([*top, "d/x.wav"])
    assert found(objects_like(folder.place("**"))) == sorted([*top, "d/e/f.csv", "d/x.wav"])
    assert found(objects_like(folder.place("d/**/[fg].*"))) == ["e/f.csv"]
    assert found(objects_like(folder.place(".*/y.wav"))) == [".h/y.wav"]
    assert found(objects_like(folder.place("a?.wav"))) == []
    assert objects_like(folder.place("[q].wav")) == [(f"{folder.url}/[q].wav", -1)]


# -------------------------------------------------------------------------------- web servers


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("sample", ["hello.wav", "hello.flac", "stocks.csv"])
def test_files_of_a_web_server(
    sample: str, web: FileServer, tmp_path: Path, *, ranges: bool
) -> None:
    sound = SAMPLES / sample
    if sample == "hello.flac":
        sound = tmp_path / sample
        done("audio", "x", HELLO, "-o", sound, "-q")
    web.ranges = ranges
    web.files[f"/in/a%20b{sound.suffix}"] = sound.read_bytes()
    url = f"{web.address}/in/a%20b{sound.suffix}?X-Amz-Signature=SECRET"
    command = ["csv", "sma:5", "-c", "price"] if sample == "stocks.csv" else ["audio", "box:3"]
    report = tmp_path / "report.json"
    ledger = tmp_path / "run.jsonl"
    kept = ("--report", report, "--ledger", ledger)
    ended = done(*command, url, "-o", f"{tmp_path}/out/", *kept)
    done(*command, sound, "-o", tmp_path / f"local{sound.suffix}", "-q")
    made = (tmp_path / "out" / f"a b{sound.suffix}").read_bytes()
    assert made == (tmp_path / f"local{sound.suffix}").read_bytes()
    assert "SECRET" not in ended.err + report.read_text() + ledger.read_text()
    assert {query for _, query, _ in web.asked} == {"X-Amz-Signature=SECRET"}


def test_an_output_of_a_web_server(web: FileServer, tmp_path: Path) -> None:
    done("audio", "box:3", HELLO, "-o", f"{web.address}/up/x.wav?sig=SECRET", "-q")
    done("audio", "box:3", HELLO, "-o", tmp_path / "x.wav", "-q")
    assert web.files["/up/x.wav"] == (tmp_path / "x.wav").read_bytes()
    told = refused(2, "audio", "box:3", HELLO, "-o", f"{web.address}/up/x.wav?sig=SECRET")
    assert "exists already" in told
    assert "SECRET" not in told
    done("audio", "x", HELLO, "-o", f"{web.address}/up/x.wav", "--force", "-q")


def test_a_web_server_lists_nothing(web: FileServer) -> None:
    assert "there is no" in refused(3, "audio", "box:3", f"{web.address}/in/", "-o", "-")


# ---------------------------------------------------------------------------- other providers


def test_stores_of_other_providers_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no server of theirs to test with: stores are made, and nothing is asked of them."""
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "somebody")
    google: Any = open_store(RemotePlace("gs://bucket/a/k.wav"))
    azure: Any = open_store(RemotePlace("az://container/k.wav"))
    assert (type(google.store).__name__, google.store.config["bucket"]) == ("GCSStore", "bucket")
    assert (type(azure.store).__name__, azure.key) == ("AzureStore", "k.wav")
    assert azure.store.config["container_name"] == "container"
