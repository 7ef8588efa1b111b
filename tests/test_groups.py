"""Many signals in one table: each gets, to the last bit, what it gets alone, however the table is cut."""

from __future__ import annotations

import io
from collections import Counter
from typing import TYPE_CHECKING, get_args

import numpy as np
import pandas as pd
import pytest
from table_settings import table_options

from convcli.core.convolution.direct import dot_products
from convcli.core.missing import reads_gap
from convcli.media.files import closed_or_discarded
from convcli.media.tables import text
from convcli.media.tables.any_table import open_table
from convcli.media.tables.sink import TableSink
from convcli.planning.plan import make_plan, rules_for
from convcli.running.run import run
from convcli.signals import TABLE, Block, Edge, Groups, Signal, row_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from convcli.planning.plan import Plan
    from convcli.signals import AnyRows, Array, Rows

# Renormalised, held and empty gaps; long and short; strides within and beyond the window; several
# steps.
FILTERS = ("sma:5", "gaussian:4", "ema:alpha=0.4,adjust=false", "lowpass:0.2,taps=31", "diff:3", "savgol:7,2",
           "kernel:1,2,1,4 | stride:3", "downsample:3", "max_pool:4", "avg_pool:2,stride=3",
           "lowpass:0.2,taps=15 | diff", "sma:3 | ema:alpha=0.5,adjust=false | stride:2",
           "std:6", "median:5", "hampel:4 | rank:3", "stride:4 | lowpass:0.3,taps=9", "abs | wma:4 | normalize", "global_avg_pool | offset:1")  # fmt: skip


class Interleaved:
    """A table of signals by turns, in blocks that end at `cuts`."""

    def __init__(
        self, signal: Signal, x: Array, codes: npt.NDArray[np.int64] | None, cuts: list[int]
    ) -> None:
        self.signal, self.x, self.codes = signal, x, codes
        self.cuts = [0, *sorted(cuts), len(x)]

    def pieces(self) -> Iterator[tuple[int, int]]:
        yield from zip(self.cuts[:-1], self.cuts[1:], strict=True)

    def decode(self, raw: tuple[int, int]) -> Block:
        part = slice(*raw)
        if self.codes is None:
            return Block(self.x[part])
        met, codes = np.unique(self.codes[part], return_inverse=True)
        # The empty name is a name like any other.
        names = [b"" if code == 1 else b"%d" % code for code in met.tolist()]
        return Block(self.x[part], Groups(names, codes))


class Gathered:
    """What is written, row by row."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.y: list[Array] = []

    def encode(self, y: Array, rows: AnyRows) -> tuple[Array, Rows]:
        return y, row_numbers(rows)

    def write(self, encoded: tuple[Array, Rows]) -> None:
        self.y += list(encoded[0])
        self.rows += encoded[1].tolist()


def filtered(
    plan: Plan, x: Array, codes: npt.NDArray[np.int64] | None, cuts: list[int], threads: int = 1
) -> Gathered:
    sink = Gathered()
    run(plan, Interleaved(plan.signal, x, codes, cuts), sink, threads=threads)
    return sink


def table_of(seed: int, channels: int) -> tuple[Array, npt.NDArray[np.int64], list[int]]:
    """Signals of no length in particular, some of one row, with gaps at their starts, ends and within; and cuts."""
    random = np.random.default_rng(seed)
    codes = np.minimum(random.geometric(0.12, 240), 40)
    x = np.round(random.normal(0, 10, (240, channels)), 2)
    x[random.random(x.shape) < random.choice([0, 0.02, 0.3])] = np.nan
    return x, codes, random.integers(0, 241, random.integers(0, 12)).tolist()


@pytest.mark.parametrize("edge", get_args(Edge))
@pytest.mark.parametrize("filter", FILTERS)
def test_each_group_gets_what_it_gets_alone(filter: str, edge: Edge) -> None:
    kind = FILTERS.index(filter) + get_args(Edge).index(edge)
    # The other choices go round, so that each filter and each edge meets each of them.
    align = ("causal", "center")[kind // 3 % 2]
    missing = ("keep", "fill", "propagate")[kind % 3]
    x, codes, cuts = table_of(kind, 1 + kind // 2 % 2)
    signal = Signal(medium=TABLE, shape=(None,), channels=("a", "b")[: x.shape[1]])
    plan = make_plan(filter, signal, rules_for(signal, edge=edge, align=align, missing=missing))  # type: ignore[arg-type]
    found = filtered(plan, x, codes, cuts, threads=1 + kind % 2)
    alone: list[tuple[int, Array]] = []
    for code in np.unique(codes).tolist():
        mine = np.flatnonzero(codes == code)
        one = filtered(plan, x[mine], None, [])
        alone += [(int(mine[row]), y) for row, y in zip(one.rows, one.y, strict=True)]
    alone.sort(key=lambda pair: pair[0])
    assert found.rows == [row for row, _ in alone]
    np.testing.assert_array_equal(np.array(found.y), np.array([y for _, y in alone]))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("block", [7, 40, 200, 1 << 20])
@pytest.mark.parametrize("filter", ["global_avg_pool", "adaptive_avg_pool:2 | diff"])
def test_rows_without_a_group_name_are_reduced_beside_the_others(
    filter: str, block: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The empty name is a name like any other: pandas is asked what each group gives, and where."""
    monkeypatch.setattr(text, "BLOCK_BYTES", block)
    keys = ["b", "", "a", "", "NA", "a", "NA", "b", "c", "c", "", ""]
    table = pd.DataFrame({"x": np.arange(len(keys)) ** 2.0, "key": keys})
    data = table.to_csv(index=False, na_rep="").encode()
    source = open_table(
        None, options=table_options(columns=("x",), by=("key",)), stdin=io.BytesIO(data)
    )
    plan = make_plan(filter, source.signal, rules_for(source.signal))
    out = io.BytesIO()
    with closed_or_discarded(TableSink(out, source=source)) as sink:
        run(plan, source, sink, threads=threads)
    found = pd.read_csv(io.BytesIO(out.getvalue()), keep_default_na=False, na_values={"x": [""]})
    expected: dict[int, tuple[float, str]] = {}
    for key, rows in table.groupby("key", sort=False):
        n = len(rows)
        if filter == "global_avg_pool":
            expected[rows.index[-1]] = (rows.x.mean(), str(key))
            continue
        half = -(-n // 2)
        low, high = rows.x[:half].mean(), rows.x[n // 2 :].mean()
        expected[rows.index[half - 1]] = (np.nan, str(key))
        expected[rows.index[-1]] = (high - low, str(key))
    wanted = [expected[row] for row in sorted(expected)]
    assert found.key.tolist() == [key for _, key in wanted]
    np.testing.assert_allclose(found.x, [value for value, _ in wanted], rtol=1e-15)


@pytest.mark.parametrize(
    "filter", ["log | sma:3", "log | diff | stride:2", "log | sma:3 | normalize"]
)
def test_what_becomes_missing_in_several_signals_of_several_channels(filter: str) -> None:
    """The counts are those of the signals alone, whether they are filtered side by side or one by one."""
    x, codes, cuts = table_of(7, 3)
    x[:, 1] = np.abs(x[:, 1]) + 1  # has a logarithm everywhere
    x[:, 2] += 10
    signal = Signal(medium=TABLE, shape=(None,), channels=("a", "b", "c"))
    plan = make_plan(filter, signal, rules_for(signal, missing="keep"))
    ran = run(plan, Interleaved(signal, x, codes, cuts), Gathered(), threads=1)
    want: Counter[str] = Counter()
    for code in np.unique(codes).tolist():
        alone = Gathered()
        mine = x[codes == code]
        run(plan, Interleaved(signal, mine, None, []), alone, threads=1)
        lost = np.isnan(np.array(alone.y)) & ~np.isnan(mine[alone.rows])
        want.update(dict(zip(signal.channels, lost.sum(axis=0).tolist(), strict=True)))
    assert want["a"] != want["c"]
    assert dict(ran.losses.became_missing) == {name: count for name, count in want.items() if count}


@pytest.mark.parametrize("k", [3, 4, 11, 12, 13, 31, 32, 33, 255, 1001])
@pytest.mark.parametrize("step", [1, 3])
def test_many_lanes_are_filtered_bit_for_bit_as_each(k: int, step: int) -> None:
    random = np.random.default_rng(k)
    x, w = (
        random.normal(size=(k + 20, 40)) * 10.0 ** random.integers(-6, 6, 40),
        random.normal(size=k),
    )
    each = np.concatenate([dot_products(x[:, c : c + 1], w, step) for c in range(40)], axis=1)
    np.testing.assert_array_equal(dot_products(x, w, step), each)


@pytest.mark.parametrize("taps", [[1.0, 2, 3], [1.0, 0, 0, -1], [0.0, 1, 0, 0, 5, 6, 0], [0.0, 0]])
def test_what_a_gap_touches(taps: list[float]) -> None:
    missing, w = np.random.default_rng(1).random((50, 3)) < 0.1, np.array(taps)
    truth = [
        (missing[k : k + w.size] & (w != 0)[:, None]).any(axis=0)
        for k in range(0, 50 - w.size + 1, 2)
    ]
    np.testing.assert_array_equal(reads_gap(missing, w, (2,)), truth)


def test_many_groups_cost_little_more_than_few() -> None:
    """20,000 keys in 60,000 rows went one by one before, a third of a millisecond each and block: half a minute."""
    from time import process_time

    random = np.random.default_rng(5)
    signal = Signal(medium=TABLE, shape=(None,), channels=("a",))
    plan = make_plan("sma:20", signal, rules_for(signal))
    started = process_time()
    found = filtered(
        plan, random.normal(size=(60_000, 1)), random.integers(0, 20_000, 60_000), [20_000, 40_000]
    )
    assert process_time() - started < 8
    assert found.rows == list(range(60_000))
