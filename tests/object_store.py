"""A real S3 server for the tests, and a line to it that counts bytes and can be cut."""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from life import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUCKET = "sounds"

# Seconds after which TCP sends again what was lost.
RESENT = 0.2


@contextmanager
def moto_server(folder: Path) -> Iterator[str]:
    """The address of an S3 server, a process of its own that ends with the context.

    The system gives it a port, and it tells that when it listens. A port that was free a moment ago
    may be taken, and a connection to one of these that nobody listens on may meet itself.
    """
    path = folder / "moto.log"
    command = [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    # What the tests ask of it later is no matter of its own.
    environment = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}

    def address() -> re.Match[str] | None:
        return re.search(r"http://127\.0\.0\.1:[1-9]\d*(?=\s)", path.read_text())

    with (
        path.open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process,
    ):
        try:
            wait_until(lambda: bool(address()) or process.poll() is not None, "S3 listens")
            found = address()
            assert found, path.read_text()
            yield found[0]
        finally:
            process.terminate()
            process.wait(PATIENCE)


class Line:
    """A line to a server. `received` counts the bytes that came from it.

    cut : how many bytes of an answer pass before the connection is cut; None for all
    cuts : how many connections are cut, from the next one on
    held, until : a request with the words of `held` waits until one with those of `until` was
        answered
    delay : seconds that each piece takes, in both directions
    lost : the share of the pieces that are sent again, after `RESENT` seconds, as TCP does it
    """

    def __init__(self, address: str, *, delay: float = 0.0, lost: float = 0.0) -> None:
        scheme = address.partition(":")[0]
        self._server = ("127.0.0.1", int(address.rpartition(":")[2]))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"{scheme}://127.0.0.1:{self._listening.getsockname()[1]}"
        self.delay = delay
        self.lost = lost
        self.resent = 0
        self._chance = random.Random(1)
        self.received = 0
        self.cut: int | None = None
        self.cuts = 0
        self.held = b""
        self.until = b""
        self.came = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                try:
                    server = socket.create_connection(self._server)
                except OSError:  # this one is lost, and the next may be better
                    client.close()
                    continue
                asked = [b""]
                for work in (self._ask, self._answer):
                    threading.Thread(target=work, args=(client, server, asked), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, asked: list[bytes]) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                if data.startswith((b"PUT ", b"POST ", b"GET ", b"HEAD ", b"DELETE ")):
                    asked[0] = data.partition(b" HTTP/")[0]
                    if self.held and self.held in asked[0]:
                        assert self.came.wait(PATIENCE)
                self._pass_time()
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _answer(self, client: socket.socket, server: socket.socket, asked: list[bytes]) -> None:
        passed = 0
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if self.until and self.until in asked[0]:
                    self.came.set()
                if self.cut is not None and self.cuts > 0 and passed + len(data) > self.cut:
                    self.cuts -= 1
                    client.sendall(data[: self.cut - passed])
                    break
                self.received += len(data)
                passed += len(data)
                self._pass_time()
                client.sendall(data)
        for end in (client, server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _pass_time(self) -> None:
        """Wait as long as a piece is under way."""
        late = self.delay
        if self._chance.random() < self.lost:
            self.resent += 1
            late += RESENT
        if late:
            time.sleep(late)

    def close(self) -> None:
        self._listening.close()


class _Files(BaseHTTPRequestHandler):
    """Sends files of a folder, by ranges where the path says so; takes what is put."""

    server: FileServer

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.send_error(405)  # as of servers that know GET alone

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.server.asked.append((path, query, self.headers.get("Range", "")))
        content = self.server.files.get(path)
        if content is None:
            self.send_error(404)
            return
        wanted = self.headers.get("Range")
        if wanted is None or not self.server.ranges:
            self._send(200, content)
            return
        first, last = wanted.removeprefix("bytes=").split("-")
        if int(first) >= len(content):
            self.send_error(416)
            return
        part = content[int(first) : int(last) + 1]
        end = int(first) + len(part) - 1
        self._send(206, part, **{"Content-Range": f"bytes {first}-{end}/{len(content)}"})

    def _send(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, text in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(content)

    def do_PUT(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.files[self.path.partition("?")[0]] = self.rfile.read(length)
        self._send(201, b"")


class FileServer(ThreadingHTTPServer):
    """A web server.

    files : the content of each path
    ranges : it sends ranges
    asked : path, query and range of each GET
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Files)
        self.files: dict[str, bytes] = {}
        self.ranges = True
        self.asked: list[tuple[str, str, str]] = []
        self.address = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.005,), daemon=True).start()
