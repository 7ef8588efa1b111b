"""`python -m convcli`, and the program `convcli`."""

import sys

from convcli.stopping import answer_signals

# Before anything else is imported: Ctrl-C and `kill` end the program with their exit codes.
answer_signals()

from convcli.cli import main  # noqa: E402 -- see above

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
