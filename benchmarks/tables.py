"""Jobs on tables, and their peers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import peers as p
from job import OUT, Job, Peer, Sizes, script, shell

if TYPE_CHECKING:
    from collections.abc import Sequence

EXACT = 1e-9
BY_SUMS = 1e-7  # a running sum leaks


def tables(sizes: Sizes) -> list[Job]:
    """Large tables, and the same of 1,000 rows through a pipe."""
    large = f"prices-{sizes.rows}.csv"
    small = "prices-1000.csv"
    # Tables of one column, where parsing and printing numbers is most of the work.
    long_numbers = f"numbers-17-digits-{sizes.rows}.csv"
    short_numbers = f"numbers-6-digits-{sizes.rows}.csv"
    jobs = [
        mean(large),
        deviation(large),
        table_median(large),
        deviation(long_numbers, "-17-digits"),
        table_median(long_numbers, "-17-digits"),
        deviation(short_numbers, "-6-digits"),
        table_median(short_numbers, "-6-digits"),
        table_lowpass(large),
        ema(large),
        macd(large),
    ]
    return jobs + [
        _piped(job, small, large) for job in (mean(large), table_lowpass(large), ema(large))
    ]


def _table(
    name: str,
    says: str,
    table: str,
    filter: Sequence[str],
    peers: tuple[Peer, ...],
    *,
    taps: bool = False,
    equal: str = "",
) -> Job:
    return Job(
        name=name,
        says=says,
        inputs=(table, "taps-table.npy") if taps else (table,),
        command=("convcli", "csv", "-q", *filter, table, "-c", "close", "--append", "-o", OUT),
        peers=peers,
        kind="table",
        suffix=".csv",
        equal=equal,
    )


def mean(table: str) -> Job:
    """20 rows."""
    miller = ("mlr", "--icsv", "--ocsv", "step", "-a", "slwin_19_0", "-f", "close", table)
    return _table(
        "csv-mean",
        f"20-row mean of one column of {table} as a new one",
        table,
        ["sma:20"],
        (
            Peer("Miller", p.MILLER, _into(miller), 10, EXACT),
            Peer("pandas", p.PANDAS, script("pandas_mean", table, OUT), 12, BY_SUMS),
            Peer("polars", p.POLARS, script("polars_mean", table, OUT), 1.1, BY_SUMS),
            Peer("Arrow", p.ARROW, script("arrow_mean", table, OUT), 1.1, BY_SUMS),
        ),
        equal="the mean of what is there at the start",
    )


def deviation(table: str, kind: str = "") -> Job:
    """20 rows."""
    return _table(
        f"csv-std{kind}",
        f"20-row standard deviation of one column of {table} as a new one",
        table,
        ["std:20"],
        (Peer("pandas", p.PANDAS, script("pandas_std", table, OUT), 10, BY_SUMS),),
        equal="divided by n - 1, of what is there at the start",
    )


def table_median(table: str, kind: str = "") -> Job:
    """20 rows."""
    return _table(
        f"csv-median{kind}",
        f"20-row median of one column of {table} as a new one",
        table,
        ["median:20"],
        (Peer("pandas", p.PANDAS, script("pandas_median", table, OUT), 10, EXACT),),
        equal="of what is there at the start",
    )


def table_lowpass(table: str) -> Job:
    """255 taps."""
    given = (table, OUT, "taps-table.npy")
    return _table(
        "csv-lowpass",
        f"255-tap low-pass of one column of {table}, causal",
        table,
        ["lowpass:0.05,taps=255"],
        (
            Peer("pandas + SciPy", p.PANDAS, script("pandas_lowpass", *given), 12, EXACT),
            Peer("polars + SciPy", p.POLARS, script("polars_lowpass", *given), 1.1, EXACT),
            Peer("Arrow + NumPy", p.ARROW, script("arrow_lowpass", *given), 1.1, EXACT),
        ),
        taps=True,
        equal="the same taps, the first value held before the start; Miller has no such filter",
    )


def ema(table: str) -> Job:
    """An exponential mean for every ticker."""
    miller = (
        "mlr",
        "--icsv",
        "--ocsv",
        "step",
        "-a",
        "ewma",
        "-d",
        "0.1",
        "-f",
        "close",
        "-g",
        "ticker",
        table,
    )
    return _table(
        "csv-ema",
        f"exponential mean (alpha 0.1) of one column of {table}, for each of 50 tickers",
        table,
        ["ema:alpha=0.1,adjust=false", "--by", "ticker"],
        (
            Peer("Miller", p.MILLER, _into(miller), 10, EXACT),
            Peer("pandas", p.PANDAS, script("pandas_ema", table, OUT), 12, EXACT),
            Peer("polars", p.POLARS, script("polars_ema", table, OUT), 1.1, EXACT),
        ),
        equal="the recursion that starts with the first value",
    )


def macd(table: str) -> Job:
    """Branches: the difference of two exponential means."""
    return _table(
        "csv-macd",
        f"difference of two exponential means (12 and 26 rows) of one column of {table}",
        table,
        ["ema:span=12,adjust=false - ema:span=26,adjust=false"],
        (
            Peer("pandas", p.PANDAS, script("pandas_macd", table, OUT), None, EXACT),
            Peer("polars", p.POLARS, script("polars_macd", table, OUT), None, EXACT),
        ),
        equal="the recursions that start with the first value",
    )


def _into(command: tuple[str, ...]) -> tuple[str, ...]:
    """A command that writes standard output."""
    return shell(" ".join([*command, ">", OUT]))


def _piped(job: Job, small: str, large: str) -> Job:
    """The job on a small table through a pipe: pandas (3 times as fast is to be reached) and Miller."""
    steps = [
        f"'{word}'" if ":" in word else word for word in job.command[3 : job.command.index(large)]
    ]
    ours = f"cat {small} | convcli csv -q {' '.join(steps)} -c close --append | cat > {OUT}"
    peers = []
    for peer in job.peers:
        if peer.needs not in (p.MILLER, p.PANDAS):
            continue
        if peer.needs is p.MILLER:
            words = peer.command[-1].replace(f" {large} >", " | cat >")
            line = f"cat {small} | {words}"
        else:
            words = " ".join(peer.command).replace(large, "/dev/stdin").replace(OUT, "/dev/stdout")
            line = f"cat {small} | {words} | cat > {OUT}"
        goal = 3.0 if peer.needs is p.PANDAS else None
        peers.append(Peer(peer.name, peer.needs, shell(line), goal, peer.limit, peer.why))
    return Job(
        name=f"{job.name}-1000",
        says=job.says.replace(large, "1,000 rows through a pipe"),
        inputs=(small, *(name for name in job.inputs if name != large)),
        command=shell(ours),
        peers=tuple(peers),
        kind="table",
        suffix=".csv",
        equal=job.equal,
    )
