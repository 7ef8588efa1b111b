"""What a job is: a command of convcli, and how its peers do the same.

Commands run in the folder of the inputs. Every one of them writes OUT in its own words; the harness
sets it to a path, with the suffix of the job, that is removed before each run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peers import Program

OUT = "{out}"


@dataclass(frozen=True)
class Peer:
    """Another way to the same answer.

    needs : the program; goal : the ratio of times to reach, None where none was set; limit : how
    far its answer may lie from ours (check.py says in what), None where the values are not
    compared; why : why not, or how it was made equal
    """

    name: str
    needs: Program
    command: tuple[str, ...]
    goal: float | None = None
    limit: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Job:
    """One thing to do. kind : sound, table, picture or folder, for the comparison; suffix : of the output."""

    name: str
    says: str
    inputs: tuple[str, ...]
    command: tuple[str, ...]
    peers: tuple[Peer, ...]
    kind: str = "sound"
    suffix: str = ".wav"
    equal: str = ""


@dataclass(frozen=True)
class Sizes:
    """How large the inputs are."""

    short: int = 300
    long: int = 3600
    rows: int = 2_000_000
    megapixels: int = 24

    @property
    def sound(self) -> dict[str, str]:
        """The sounds."""
        return {
            "5min": f"sound-{self.short}s.wav",
            "10min": f"sound-{2 * self.short}s.wav",
            "60min": f"sound-{self.long}s.wav",
        }


QUICK = Sizes(short=30, long=120, rows=100_000, megapixels=3)


def script(name: str, *words: str) -> tuple[str, ...]:
    """A function of scripts.py."""
    return ("python", "../scripts.py", name, *words)


def shell(line: str) -> tuple[str, ...]:
    """A line for the shell, where a pipe or a loop is what people would write."""
    return ("sh", "-c", line)


def reasons(job: Job) -> list[str]:
    """What is to be said of the comparison: how the answers were made equal, and where they are not."""
    return [
        *([job.equal] if job.equal else []),
        *(f"{peer.name}: {peer.why}" for peer in job.peers if peer.why),
    ]
