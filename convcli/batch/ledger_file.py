"""Where a ledger is: a file of this machine, or a copy here of the one in an object store."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from convcli.batch.file_state import FileState
from convcli.errors import ConvcliError
from convcli.media.refusals import place_exists
from convcli.media.replacing import atomic
from convcli.places import local_path, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.places import Place

# Seconds between two times that a ledger is sent to its store, which cannot append lines.
_SENT_EVERY = 30.0


@contextmanager
def ledger_file(name: str | None) -> Iterator[Path | None]:
    """The file to which the lines of a ledger are appended; None without a name.

    name : a path, or the URL of an object. The object is copied to this machine, and replaced by
        the copy every half minute and at the end, so that a run that is killed loses at most the
        lines of half a minute.

    InputError or OutputError if the store cannot be asked.
    """
    if name is None:
        yield None
        return
    place = place_of(name)
    path = local_path(place)
    if path is not None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="convcli-") as folder:
        copy = _CopiedLedger(place, Path(folder, "ledger.jsonl"))
        with copy.sent_meanwhile():
            yield copy.path


class _CopiedLedger:
    """A ledger of a store and its copy on this machine."""

    def __init__(self, place: Place, path: Path) -> None:
        self.path = path
        self._place = place
        if place_exists(place):
            with place.open("rb") as stored, path.open("wb") as file:
                shutil.copyfileobj(stored, file)
        self._sent = FileState.of(path)

    @contextmanager
    def sent_meanwhile(self) -> Iterator[None]:
        """Send the copy from time to time, and at the end."""
        ended = Event()
        sender = Thread(target=self._send_until, args=(ended,), daemon=True)
        sender.start()
        try:
            yield
        finally:
            ended.set()
            sender.join()
            self._send()

    def _send_until(self, ended: Event) -> None:
        while not ended.wait(_SENT_EVERY):
            with suppress(ConvcliError, OSError):  # it is sent again later
                self._send()

    def _send(self) -> None:
        state = FileState.of(self.path)
        if state is None or state == self._sent:
            return
        with atomic(self._place) as temporary:
            shutil.copyfile(self.path, temporary)
        self._sent = state
