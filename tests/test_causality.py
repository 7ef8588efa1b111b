"""`--causal-check` and `--fail-on lookahead` catch a filter that reads later rows, and no other."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from program import SAMPLES, Program

from convcli import ConvcliError
from convcli.checking import causality
from convcli.checking.causality import check_causality
from convcli.layers.weights import encode_weights
from convcli.planning.plan import Plan, make_plan, rules_for
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.signals import TABLE, Block, Groups, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convcli.facts.causality import CausalityFacts
    from convcli.signals import Array

COLUMNS = [
    "file",
    "group",
    "column",
    "verdict",
    "row",
    "whole",
    "prefix",
    "known",
    "difference",
    "largest",
]


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, shape)


@dataclass
class Interleaved:
    """Blocks of rows of which each belongs to one of some groups."""

    signal: Signal
    x: Array
    codes: Any
    size: int

    def pieces(self) -> Iterator[slice]:
        yield from (slice(a, a + self.size) for a in range(0, len(self.x), self.size))

    def decode(self, raw: slice) -> Block:
        names = [f"g{code}".encode() for code in range(int(self.codes.max()) + 1)]
        return Block(self.x[raw], Groups(names, self.codes[raw]))


def signal_of(x: Array) -> Signal:
    return Signal(medium=TABLE, shape=(None,), channels=tuple(f"c{c}" for c in range(x.shape[1])))


def plan_of(filter: str, x: Array, **rules: Any) -> Plan:
    signal = signal_of(x)
    return make_plan(filter, signal, rules_for(signal, filter, **rules))


def checked(
    plan: Plan, x: Array, cuts: tuple[int, ...] = (), codes: Any = None, size: int = 7
) -> CausalityFacts:
    ends = [0, *cuts, len(x)]
    blocks = [x[a:b] for a, b in pairwise(ends)]
    source: Any = (
        Blocks(plan.signal, blocks) if codes is None else Interleaved(plan.signal, x, codes, size)
    )
    facts, _ = check_causality(
        plan, source, tempfile.TemporaryFile, group_name=bytes.decode, threads=1
    )
    return facts


def changed(found: CausalityFacts) -> set[tuple[str, str]]:
    return {(each.group, each.column) for each in found.changed}


def slow_truth(plan: Plan, x: Array) -> tuple[int, Any, Any, int] | None:
    """The first row that any prefix changes in the first column.

    Returns the row, its value in the whole and in the prefix, and the length of the prefix.
    """

    def outputs(part: Array) -> dict[int, float]:
        sink = Collected()
        try:
            run(plan, Blocks(plan.signal, [part]), sink, threads=1)
        except ConvcliError:
            return {}
        pairs = [
            (int(r), float(v))
            for y, rows in zip(sink.parts, sink.rows, strict=True)
            for v, r in zip(y[:, 0], rows, strict=True)
        ]
        return dict(pairs)

    whole, first = outputs(x), None
    for n in range(1, len(x)):
        part = outputs(x[:n])
        for row in range(n):
            a, b = whole.get(row), part.get(row)
            if row == n - 1 and a is None and plan.look_ahead is not None:
                continue
            if repr(a) != repr(b) and (first is None or row < first[0]):
                first = (row, a, b, n)
    return first


FILTERS = [
    "sma:3",
    "sma:3 | diff:1",
    "kernel:1,-2,0.5",
    "lowpass:0.2,taps=9",
    "ema:span=4",
    "ema:alpha=0.3,adjust=false",
    "avg_pool:3",
    "avg_pool:2 | max_pool:3,stride=2",
    "downsample:2",
    "stride:3 | sma:2",
    "log | sma:2",
    "normalize",
    "sma:2 | normalize:50%",
    "global_avg_pool",
    "adaptive_max_pool:3",
    "adaptive_avg_pool:2 | diff:1",
    "gain:2 | offset:1",
    "kernel:1",
]


@pytest.mark.parametrize("number", range(len(FILTERS)), ids=FILTERS)
@pytest.mark.parametrize("align", ["causal", "center"])
def test_the_first_row_that_changes_is_that_of_the_slow_truth(number: int, align: Any) -> None:
    x = noise(9, 1)
    x[[2, 5]] = np.nan
    edges: list[Any] = ["shrink", "zero", "edge", "reflect", "symmetric", "wrap", "valid"]
    for turn, edge in enumerate(edges):
        missing = ("keep", "fill", "propagate")[(number + turn) % 3]
        plan = plan_of(FILTERS[number], x, align=align, edge=edge, missing=missing)
        found = checked(plan, x, cuts=(1, 4))
        assert found.prefixes == 8
        (verdict,) = found.columns
        expected = slow_truth(plan, x)
        told = (
            None
            if verdict.row is None
            else (verdict.row - 1, verdict.whole, verdict.prefix, verdict.known)
        )
        assert repr(told) == repr(expected), (edge, missing, told, expected)
        # What the reach and the edge rule promise is kept.
        if plan.look_ahead is not None and plan.look_ahead <= 0 and plan.edge_look_ahead == 0:
            assert told is None


@pytest.mark.parametrize("ahead", [1, 2])
def test_a_learned_filter(ahead: int, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(
        encode_weights(
            {"0.weight": noise(2, 1, 3), "0.bias": noise(2), "2.weight": noise(1, 2, 1)}, {}
        )
    )
    x = noise(200, 1, seed=ahead)
    text = f'model:{path},layers="conv | relu | conv"'
    assert not changed(checked(plan_of(text, x), x, cuts=(50, 60)))
    found = checked(plan_of(text, x, align="center"), x, cuts=(50, 60))
    assert changed(found) == {("", "c0")}
    padded = f'model:{path},layers="conv:padding=same | relu | conv:padding=0"'
    assert not changed(checked(plan_of(padded, x), x))
    assert changed(checked(plan_of(padded, x, align="center"), x))


@pytest.mark.parametrize("n", [101, 200, 1000])
@pytest.mark.parametrize("ahead", [1, 5, 30])
def test_a_long_table_is_cut_where_it_shows(n: int, ahead: int) -> None:
    """One later row with a tiny weight, and of the prefixes but some thirty are run."""
    x = noise(n, 2, seed=ahead)
    taps = ",".join(["1e-9", *["0"] * (ahead - 1), "1", *["0"] * ahead])
    found = checked(
        plan_of(f"kernel:{taps}", x, align="center", edge="zero"), x, cuts=(n // 3, n // 2)
    )
    assert changed(found) == {("", "c0"), ("", "c1")}
    assert found.prefixes <= 40
    assert not changed(checked(plan_of(f"kernel:{taps}", x, edge="zero"), x, cuts=(n // 3, n // 2)))


def test_every_group_is_cut() -> None:
    rng = np.random.default_rng(3)
    for codes in (rng.integers(0, 8, 160), np.repeat(np.arange(8), 20)):
        x = noise(160, 2)
        every = {(f"g{g}", c) for g in range(8) for c in ("c0", "c1")}
        assert (
            changed(checked(plan_of("sma:3", x, align="center"), x, codes=codes, size=50)) == every
        )
        assert not changed(checked(plan_of("sma:3 | ema:span=3", x), x, codes=codes, size=50))


def test_groups_do_not_leak_into_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter that takes the rows of all groups for one signal changes with them: it is caught."""
    x, codes = noise(20, 1), np.arange(20) % 2
    plan = plan_of("sma:3", x)
    assert not changed(checked(plan, x, codes=codes))

    def leaking(plan: Plan, source: Any, sink: Any, **options: Any) -> Any:
        rows = sum(len(source.decode(raw).x) for raw in source.pieces())
        ended = run(plan, source, sink, **options)
        sink.write(sink.encode(np.full((1, 1), float(rows)), np.zeros(1, np.int64)))
        return ended

    monkeypatch.setattr(causality, "run", leaking)
    assert changed(checked(plan, x, codes=codes)) == {("g0", "c0")}


def test_a_long_filter_is_compared_bit_for_bit() -> None:
    x = noise(12_000, 1)
    x[9000] = 1e15
    plan = plan_of("lowpass:0.001,taps=5001", x)
    assert not changed(checked(plan, x, cuts=(3000, 7000)))
    assert changed(checked(plan_of("lowpass:0.001,taps=5001", x, align="center"), x))


def test_empty_and_short() -> None:
    for n in (0, 1):
        found = checked(plan_of("sma:3", noise(n, 1)), noise(n, 1))
        assert (found.prefixes, changed(found)) == (0, set())


# -------------------------------------------------------------------------------------- the command


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


STOCKS = (SAMPLES / "stocks.csv", "--by", "symbol", "-c", "price")


def test_the_verdict_goes_to_standard_output_and_the_code_says_it(
    program: Program, tmp_path: Path
) -> None:
    good = program.run("csv", "sma:3", *STOCKS, "--causal-check", cwd=tmp_path)
    assert good.code == 0
    assert good.text.splitlines()[0].split(",") == COLUMNS
    assert {row["verdict"] for row in rows_of(good.text)} == {"ok"}
    assert len(rows_of(good.text)) == 5
    assert "no row changed in" in good.err
    bad = program.run("csv", "sma:3", *STOCKS, "--causal-check", "--align", "center", cwd=tmp_path)
    assert bad.code == 1
    (first,) = [row for row in rows_of(bad.text) if row["group"] == "MSFT"]
    assert (first["row"], first["prefix"], first["known"]) == ("1", "39.81", "1")
    assert float(first["whole"]) == pytest.approx((39.81 + 36.35) / 2)
    assert float(first["difference"]) == pytest.approx(39.81 - float(first["whole"]))
    assert "looks into the future: row 1 of price (MSFT)" in bad.errors[0]
    quiet = program.run("csv", "sma:3", *STOCKS, "--causal-check", "-q", cwd=tmp_path)
    assert (quiet.code, quiet.err, quiet.text) == (0, "", good.text)


def test_a_pipe_is_checked_too(program: Program, tmp_path: Path) -> None:
    table = b"x\n1\n5\n3\n"
    for step, code in (("sma:2", 0), ("normalize", 1), ("global_max_pool", 1)):
        ended = program.run("csv", step, "--causal-check", stdin=table, cwd=tmp_path)
        assert ended.code == code, (step, ended)
    shown = program.run("csv", "normalize", "--causal-check", stdin=b"x\n5\n1\n3\n", cwd=tmp_path)
    assert shown.code == 0
    assert shown.warnings == [
        "warning: no row of these data changed, but the filter looks over the whole signal"
    ]


def test_several_tables_and_the_report(program: Program, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.csv").write_bytes(b"x,y\n1,2\n2,9\n4,4\n")
    words = (
        "csv",
        "sma:3",
        "a.csv",
        "b.csv",
        "--align",
        "center",
        "--causal-check",
        "--report",
        "r.json",
    )
    ended = program.run(*words, cwd=tmp_path)
    assert ended.code == 1
    assert [(row["file"], row["column"]) for row in rows_of(ended.text)] == [
        (f"{f}.csv", c) for f in "ab" for c in "xy"
    ]
    facts = json.loads((tmp_path / "r.json").read_text())
    first = facts["runs"][0]
    assert first["causality"]["prefixes"] == 2
    assert first["causality"]["columns"][1]["row"] == 1
    assert first["outputs"] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv", "r.json"]


def test_nothing_is_written_and_nothing_followed(program: Program, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"x\n1\n2\n")
    for option in (("-o", "o.csv"), ("--in-place",), ("--follow",)):
        ended = program.run("csv", "sma:2", "t.csv", "--causal-check", *option, cwd=tmp_path)
        assert (ended.code, ended.out, len(ended.errors)) == (2, b"", 1)
        assert "--causal-check" in ended.errors[0]
    bad = program.run("csv", "sma:2", "--causal-check", stdin=b"x\n1\nb\n", cwd=tmp_path)
    assert (bad.code, bad.out, len(bad.errors)) == (3, b"", 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv"]


# ------------------------------------------------------------------------------ --fail-on lookahead


def test_lookahead_is_refused_before_anything_is_written(program: Program, tmp_path: Path) -> None:
    model, flat = tmp_path / "m.safetensors", tmp_path / "f.safetensors"
    model.write_bytes(encode_weights({"0.weight": noise(1, 1, 5), "0.bias": noise(1)}, {}))
    flat.write_bytes(encode_weights({"0.weight": noise(1, 1, 3, 3), "0.bias": noise(1)}, {}))
    cases: list[tuple[str, str, Any, str, tuple[str, ...], int]] = [
        ("audio", "hello.wav", f"model:{model}", "o.wav", (), 1),
        ("audio", "hello.wav", f"model:{model}", "o.wav", ("--align", "causal"), 0),
        ("audio", "hello.wav", "box:3", "o.wav", ("--align", "causal", "--edge", "reflect"), 1),
        ("csv", "vix.csv", f"model:{model}", "o.csv", ("-c", "close", "--align", "center"), 1),
        ("csv", "vix.csv", f"model:{model}", "o.csv", ("-c", "close"), 0),
        ("csv", "vix.csv", "box:3", "o.csv", ("-c", "close", "--edge", "symmetric"), 1),
        ("csv", "vix.csv", "box:2", "o.csv", ("-c", "close", "--edge", "symmetric"), 0),
        ("csv", "vix.csv", "box:2", "o.csv", ("-c", "close", "--edge", "wrap"), 1),
        ("csv", "vix.csv", "gain:2", "o.csv", ("-c", "close", "--edge", "wrap"), 0),
        ("image", "hole.png", f"model:{flat}", "o.png", (), 1),
        ("image", "hole.png", f"model:{flat}", "o.png", ("--align", "causal"), 0),
        ("image", "hole.png", "gaussian:1", "o.png", ("--align", "causal", "--edge", "wrap"), 1),
        ("image", "hole.png", "global_avg_pool", "o.png", ("--align", "causal"), 1),
    ]
    for command, name, step, output, rules, code in cases:
        words = (
            command,
            step,
            SAMPLES / name,
            "-o",
            output,
            "--force",
            *rules,
            "--fail-on",
            "lookahead",
        )
        ended = program.run(*words, cwd=tmp_path)
        assert ended.code == code, (words, ended)
        assert (tmp_path / output).exists() == (code == 0)
        (tmp_path / output).unlink(missing_ok=True)
        if code:
            assert "--fail-on lookahead" in ended.errors[0]
