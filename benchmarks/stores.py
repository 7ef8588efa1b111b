"""What an object store costs: time and memory beside the same work on the disk of this machine.

    python benchmarks/stores.py --files 200 --megabytes 100

Starts a real S3 server (moto) on this machine, so that the network costs nothing and the server is
slow: the processor time and the memory of convcli are what is measured.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "s3://bench"


@contextmanager
def s3_server(folder: Path) -> Iterator[None]:
    """An S3 server with a bucket, and the environment with which it is found."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = (folder / "server.log").open("wb")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        while server.poll() is None:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_REGION": "us-east-1",
        }
        bucket = urllib.request.Request(f"http://127.0.0.1:{port}/bench", method="PUT")
        urllib.request.urlopen(bucket).close()
        yield
        server.terminate()


def upload(path: Path, key: str) -> None:
    """Send a file to the store."""
    import obstore
    from obstore.store import S3Store

    obstore.put(S3Store("bench"), key, path)


def measured(*words: str | Path) -> tuple[float, float, float]:
    """Wall time and processor time in seconds, and peak memory in MB, of one run of convcli."""
    script = "import os, resource, subprocess, sys\n"
    script += "subprocess.run(sys.argv[1:], check=True)\n"
    script += "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
    script += "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)\n"
    command = [sys.executable, "-m", "convcli", *map(str, words), "-q", "--force"]
    began = time.perf_counter()
    printed = subprocess.check_output([sys.executable, "-c", script, *command], text=True)
    wall = time.perf_counter() - began
    processor, memory = map(float, printed.split())
    return wall, processor, memory


def make_inputs(folder: Path, files: int, megabytes: int) -> None:
    """Write many short sounds and one long table, and send them to the store."""
    rng = np.random.default_rng(1)
    (folder / "in").mkdir()
    for number in range(files):
        sound = folder / "in" / f"s{number:05}.wav"
        soundfile.write(sound, rng.integers(-9999, 9999, 8000, np.int16), 8000, subtype="PCM_16")
        upload(sound, f"in/{sound.name}")
    prices = rng.normal(100, 5, (20_000, 2))
    block = "".join(f"2020-01-01,ABC,{a:.4f},{b:.4f},100\n" for a, b in prices)
    with (folder / "long.csv").open("w") as table:
        table.write("date,symbol,open,close,volume\n")
        for _ in range(megabytes * 1_000_000 // len(block)):
            table.write(block)
    upload(folder / "long.csv", "long.csv")


def row(work: str, route: tuple[str, str], used: tuple[float, float, float]) -> str:
    """A row of the table."""
    wall, processor, memory = used
    return f"| {work} | {' | '.join(route)} | {wall:.1f} | {processor:.2f} | {memory:.0f} |"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--megabytes", type=int, default=100)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, s3_server(Path(name)):
        folder = Path(name)
        make_inputs(folder, asked.files, asked.megabytes)
        print("| work | from | to | wall s | processor s | MB |")
        print("| --- | --- | --- | --- | --- | --- |")
        disk = ("disk", str(folder))
        store = ("store", BUCKET)
        for source, target in ((disk, disk), (store, disk), (store, store)):
            places = (f"{source[1]}/in/", "-o", f"{target[1]}/out/")
            used = measured("audio", "lowpass:1k", *places)
            print(row(f"{asked.files} sounds", (source[0], target[0]), used), flush=True)
        for source, target in ((disk, disk), (store, disk), (store, store)):
            places = (f"{source[1]}/long.csv", "-o", f"{target[1]}/out.csv")
            used = measured("csv", "sma:20", "-c", "close", *places)
            print(row(f"{asked.megabytes} MB table", (source[0], target[0]), used), flush=True)


if __name__ == "__main__":
    main()
