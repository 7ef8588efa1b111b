"""The ledger of a command that names none: `--resume` finds it in a folder of the user."""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

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
    kept = sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    for path in kept[: max(0, len(kept) - _MOST_KEPT)]:
        with suppress(OSError):
            path.unlink()
