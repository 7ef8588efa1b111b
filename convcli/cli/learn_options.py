"""What `convcli learn` can be asked for, as it is written on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from convcli.cli import options
from convcli.cli.batch_options import (
    FilesFrom,
    NullNames,
    Recursive,
    Retries,
    ShardText,
    cluster_option,
)
from convcli.cli.table_arguments import TableArguments, time_option
from convcli.dataclass import dataclass
from convcli.places import Place, place_of
from convcli.signals import Align


@dataclass(frozen=True, kw_only=True)
class TrainingTable(TableArguments):
    """How tables are read; a filter is learned from rows at equal steps of time."""

    time: Annotated[
        str | None,
        time_option("Rows come at equal steps then, and lengths may be durations (20d)."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class LearnOptions:
    """Arguments and options of `convcli learn`; None where nothing was said."""

    source: Annotated[
        Place | None,
        typer.Argument(
            parser=place_of,
            metavar="[INPUT]",
            help="A sound, a table or a picture; a folder or a quoted pattern of them; none or - "
            "is standard input.",
        ),
    ] = None
    clean: Annotated[
        Place | None,
        typer.Argument(
            parser=place_of,
            metavar="[TARGET]",
            help="What the filter is to make of INPUT; for a folder, a folder with the same names.",
        ),
    ] = None
    more: Annotated[
        list[Place] | None,
        typer.Argument(
            parser=place_of,
            metavar="[INPUT TARGET]...",
            help="Further pairs; one filter is learned from all of them.",
        ),
    ] = None
    output: Annotated[
        Place | None,
        options.file_option(
            "-o", "--output", metavar="MODEL", help="The model file: NAME.safetensors."
        ),
    ] = None
    taps: Annotated[
        str | None,
        typer.Option(
            metavar="K",
            help="Length of the filter: 129, or 9x9 for pictures.",
            show_default="64, 20, 9x9",
        ),
    ] = None
    blind: Annotated[
        bool,
        typer.Option(
            "--blind",
            help="Learn from INPUT alone: each sample from its neighbours, without itself.",
        ),
    ] = False
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Tables: the column that is predicted.")
    ] = None
    ahead: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Predict the value N samples later.",
            show_default="1 for a table, else 0",
        ),
    ] = None
    on: Annotated[
        Literal["levels", "differences"],
        typer.Option(help="Predict a level, or learn its change and add it to the last level."),
    ] = "levels"
    residual: Annotated[
        bool,
        typer.Option(
            "--residual",
            help="With --layers, learn TARGET minus INPUT: the model adds INPUT to its output.",
        ),
    ] = False
    delay: Annotated[
        str | None,
        typer.Option(
            metavar="auto|N",
            help="TARGET is later than INPUT by N: 120, 20ms, -3x5 (rows x columns of a picture); "
            "auto measures it by correlation. The filter is learned without the delay: its output "
            "is aligned with INPUT.",
            show_default="0",
        ),
    ] = None
    noise: Annotated[
        str | None,
        typer.Option(
            metavar="auto|LEVEL",
            help="With --blind, give back the part of the sample itself that is not noise of this "
            "standard deviation: in the units of the file (15 of 255), or 5%, -30dB of full scale.",
            show_default="the sample is left out",
        ),
    ] = None
    ridge: Annotated[
        float | None,
        typer.Option(
            min=0, help="Strength of the ridge.", show_default="the best on what is held out"
        ),
    ] = None
    holdout: Annotated[
        str,
        typer.Option(
            metavar="PART", help="The part at the end of each signal that is not learned from."
        ),
    ] = "20%"
    bias: Annotated[
        bool | None,
        typer.Option("--bias/--no-bias", help="Learn a constant too.", show_default="for tables"),
    ] = None
    mix: Annotated[
        bool,
        typer.Option(
            "--mix",
            help="Every channel is learned from every channel; otherwise all share one filter.",
        ),
    ] = False
    layers: Annotated[
        str | None,
        typer.Option(
            metavar="LAYERS",
            help="Train a network: 'conv:8,7 | relu | conv:1,5'; with --blind "
            "'conv:16,65 | relu | conv:1,1'. dense: one weight for each pair of positions, beside "
            "a filter.",
            show_default="one linear layer, solved",
        ),
    ] = None
    partial: Annotated[
        Place | None,
        options.file_option(
            metavar="SUMS",
            help="Write the sums over the inputs to SUMS.npz, for --merge, and no model.",
        ),
    ] = None
    merge: Annotated[
        bool,
        typer.Option(
            "--merge",
            help="INPUTs are files of --partial: the filter that is learned from all of them.",
        ),
    ] = False
    shard: ShardText = None
    cluster: Annotated[str | None, cluster_option("a worker for each core")] = None
    retries: Retries = 0
    recursive: Recursive = False
    files_from: FilesFrom = None
    null: NullNames = False
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Passes over the data at most, with --layers.", show_default="100"
        ),
    ] = None
    batch: Annotated[
        int | None, typer.Option(min=1, help="Windows in a mini-batch.", show_default="32")
    ] = None
    learning_rate: Annotated[
        float | None,
        typer.Option(min=1e-12, help="Learning rate of Adam.", show_default="0.003"),
    ] = None
    weight_decay: Annotated[
        float | None,
        typer.Option(min=0, help="Decay of the weights (AdamW).", show_default="0.0001"),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Seed of the first weights and of the order of windows.",
            show_default="0",
        ),
    ] = None
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="Threads that train, with --layers.", show_default="as many as cores"
        ),
    ] = None
    table: TrainingTable
    max_pixels: options.MaxPixels = options.MOST_PIXELS
    strict: options.Strict = False
    align: Annotated[
        Align | None,
        options.align_option("causal for tables and with --ahead, else center"),
    ] = None
    force: options.Force = False
    report: options.Report = None
    plot: options.Plot = None
    quiet: options.Quiet = False
    debug: options.Debug = False

    @property
    def paths(self) -> list[Place]:
        """All inputs and targets, in the order in which they are written.

        Where inputs are in a list, only their targets are written.
        """
        if self.files_from is not None and self.source is None:
            return []
        paths: list[Place] = [self.source or Path("-")]
        if self.clean is not None:
            paths.append(self.clean)
        return paths + (self.more or [])

    @property
    def trains(self) -> bool:
        """Whether --layers asks for a network that is trained, and not solved for."""
        return self.layers is not None and self.layers.strip() != "dense"

    @property
    def paired(self) -> bool:
        """Whether inputs have target files."""
        return (self.clean if self.files_from is None else self.source) is not None

    @property
    def training(self) -> dict[str, float | None]:
        """What was said about training a network, by the names of the fields."""
        return {
            "epochs": self.epochs,
            "batch": self.batch,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "seed": self.seed,
            "threads": self.threads,
        }
