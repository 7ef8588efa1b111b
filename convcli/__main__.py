"""`python -m convcli`, and the program `convcli`."""

# Before anything else is imported: Ctrl-C ends the program quietly. `signal` takes a few
# milliseconds to import, in which Python would print where it was; the module under it takes none.
import _signal  # type: ignore[import-not-found]
import os

_signal.signal(_signal.SIGINT, lambda _, __: os._exit(130))

import sys  # noqa: E402 -- see above

from convcli.stopping import answer_signals  # noqa: E402

# Ctrl-C and `kill` end the program with their exit codes, whatever it computes.
answer_signals()

from convcli.cli import main  # noqa: E402

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
