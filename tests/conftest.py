"""What holds for every test."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from program import Program

from convcli.cli import _limit_library_threads

if TYPE_CHECKING:
    from collections.abc import Mapping

# As the program does. BLAS would start threads that compete with those of the tests, and wait for
# work in a loop: a test took 9 s of the processor instead of 1. NumPy is not imported yet.
_limit_library_threads()

# A busy machine is slow; that is not a failure. The examples are the same in every run, so that a
# change is judged by what it changes; `--hypothesis-profile search` looks for new ones.
settings.register_profile("search", deadline=None)
settings.register_profile("convcli", deadline=None, derandomize=True)
settings.load_profile("convcli")

# What users say in their environment of colours, widths, proxies, stores and recipes is no matter of
# the tests. Many CI services set the first of these.
_OF_USERS = re.compile(
    r"(FORCE_COLOR|NO_COLOR|CLICOLOR_FORCE|PY_COLORS|GITHUB_ACTIONS|COLUMNS|LINES|TTY_\w+"
    r"|\w+_proxy|(CONVCLI|AWS|GOOGLE|AZURE)_\w+)",
    re.IGNORECASE,
)
for _name in list(os.environ):
    if _OF_USERS.fullmatch(_name):
        del os.environ[_name]

# A shell that starts the tests in the background, or under nohup, has them ignore these signals, and
# the programs that they start would ignore them too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


# The states of the random numbers of test modules, as they were before the first test.
_FIRST_STATES: dict[str, Mapping[str, Any]] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Function) -> None:
    """Give a test the same random numbers, whatever tests came before it."""
    rng = vars(item.module).get("RNG")
    if rng is not None:
        generator = rng.bit_generator
        generator.state = _FIRST_STATES.setdefault(item.module.__name__, generator.state)


@pytest.fixture(scope="session", autouse=True)
def _own_records(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What runs over many inputs remember is kept away from that of the user."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def program() -> Program:
    """The program with its imports done."""
    return Program()
