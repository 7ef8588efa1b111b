"""Options of commands over many inputs: which inputs, and how the work is shared and noted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.places import Place, place_of

if TYPE_CHECKING:
    from convcli.batch.listing import InputWords


Recursive = Annotated[
    bool,
    typer.Option(
        "--recursive", help="Take the files in the subfolders of folders too, but no hidden ones."
    ),
]
FilesFrom = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="Read names of more inputs from LIST, one on each line; - is standard input.",
    ),
]
NullNames = Annotated[
    bool, typer.Option("-0", "--null", help="Names in LIST end with NUL, as `find -print0` writes.")
]
ShardText = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Take only part I of N of the inputs, so that N machines share the work.",
    ),
]
Retries = Annotated[
    int,
    typer.Option(
        min=0,
        max=1000,
        help="How often an input is tried again after a passing error, such as a lost connection.",
    ),
]


def cluster_option(workers: str) -> Any:
    """`--cluster`; `workers` says how many are started on this machine."""
    return typer.Option(
        metavar="ADDRESS",
        help="Work on the inputs with the workers of the Dask cluster at tcp://HOST:8786; local "
        f"starts {workers} here. Needs convcli[cluster].",
    )


def failed_option(default: str | bool = True) -> Any:  # noqa: FBT001 -- as Typer has it
    """`--failed`, with its default in words."""
    return typer.Option(
        "--failed",
        parser=place_of,
        metavar="FILE",
        help="Write the names of inputs that failed, for --files-from.",
        show_default=default,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class InputListOptions:
    """Where further inputs come from."""

    recursive: Recursive = False
    files_from: FilesFrom = None
    null: NullNames = False

    def words(self, inputs: list[str] | None) -> InputWords:
        """The words that stand for the inputs; `-` if there are none."""
        from convcli.batch.listing import STDIN, InputWords

        if self.null and self.files_from is None:
            raise RequestError("-0 is for the names in the LIST of --files-from, and there is none")
        if not inputs:
            inputs = [] if self.files_from is not None else [STDIN]
        return InputWords(
            words=inputs,
            files_from=self.files_from,
            null=self.null,
            recursive=self.recursive,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class WorkOptions(InputListOptions):
    """Options of commands that work on many inputs, one by one."""

    shard: ShardText = None
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Skip inputs that an earlier run of this command finished, unless the input or "
            "the options have changed.",
        ),
    ] = False
    ledger: Annotated[
        str | None,
        typer.Option(
            "--ledger",
            metavar="FILE",
            help="Write a line of JSON for each input as it ends; --resume reads it.",
            show_default="a record in ~/.local/state",
        ),
    ] = None
    failed: Annotated[
        Place | None,
        failed_option("failed.txt beside the ledger, or LEDGER.failed.txt if there is one already"),
    ] = None
    retries: Retries = 0
    cluster: Annotated[str | None, cluster_option("--jobs workers")] = None

    @property
    def asked(self) -> bool:
        """Whether any of these options is set."""
        return any(value not in (None, False, 0) for value in vars(self).values())


@dataclass(frozen=True, eq=False, kw_only=True)
class BatchOptions(WorkOptions):
    """Options of commands that write an output for each input."""

    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Skip inputs whose output exists.")
    ] = False
