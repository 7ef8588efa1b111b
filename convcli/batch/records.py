"""What identifies a command: its results, and the ledger of one that names none, for `--resume`."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from convcli.digests import blake2b
from convcli.errors import ConvcliError
from convcli.named_files import named_place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.planning.calls import Call

# Most ledgers that are kept; older ones are removed.
_MOST_KEPT = 100


def own_ledger(*command: object) -> Path | None:
    """The ledger of a command, whose folder is made; None if no folder can be written to.

    It is in `convcli/ledgers` below `$XDG_STATE_HOME`, which is `~/.local/state` where it is not
    set.

    command : identifies the command among others that write somewhere else
    """
    text = repr((str(Path.cwd()), *command)).encode("utf-8", "surrogatepass")
    name = blake2b(text, digest_size=16).hexdigest()
    try:
        folder = _state_folder() / "convcli" / "ledgers"
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            return None
        _remove_old(folder)
    except (OSError, RuntimeError):  # no home, or a read-only one
        return None
    return folder / f"{name}.jsonl"


def _state_folder() -> Path:
    named = os.environ.get("XDG_STATE_HOME", "")
    # The specification ignores paths that are not absolute.
    if named and Path(named).is_absolute():
        return Path(named)
    return Path.home() / ".local" / "state"


def _remove_old(folder: Path) -> None:
    kept = list(folder.glob("*.jsonl"))
    too_many = len(kept) - _MOST_KEPT
    if too_many <= 0:
        return
    kept.sort(key=lambda path: path.stat().st_mtime_ns)
    for path in kept[:too_many]:
        with suppress(OSError):
            path.unlink()


def request_identity(calls: Iterable[Call], *options: object) -> str:
    """The identity of a filter and of the options that its results depend on.

    The contents of files that the filter names, such as taps and models, are part of it.

    options : each is identified by its `repr`
    """
    digest = blake2b(repr(options).encode("utf-8", "surrogatepass"), digest_size=8)
    for call in calls:
        for step in call.with_nested():
            digest.update(step.text.encode("utf-8", "surrogatepass") + b"\0")
            for argument in step.arguments:
                _add_file(digest, argument.text.removeprefix("@"))
    return digest.hexdigest()


def _add_file(digest: blake2b, name: str) -> None:
    """Add the content of a file or an object; a text that names none adds nothing."""
    try:
        with named_place(name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (OSError, ValueError, ConvcliError):
        return
