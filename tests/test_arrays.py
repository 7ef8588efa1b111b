"""The functions for Python: arrays, Series and DataFrames."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import pytest

import convcli
from convcli.errors import InputError, RequestError
from convcli.running.arrays import apply

if TYPE_CHECKING:
    from pathlib import Path

    from program import Program


def test_shapes_stay() -> None:
    rng = np.random.default_rng(0)
    for shape, text in (
        ((7,), "box:3"),
        ((7, 2), "box:3"),
        ((7, 5, 3), "gaussian:1"),
        ((0,), "box:3"),
        ((0, 2), "abs"),
    ):
        x = rng.normal(size=shape)
        kept = x.copy()
        assert apply(text, x).shape == shape
        np.testing.assert_array_equal(x, kept)
    assert apply("stride:2", np.zeros((7, 2))).shape == (4, 2)
    assert apply("stride:2", np.zeros((7, 4)), axes=2).shape == (4, 2)
    assert apply("kernel:1,1,1", np.zeros(2), edge="valid").shape == (0,)
    assert apply("kernel:1,1,1", np.zeros((2, 5)), edge="valid").shape == (0, 5)


def test_channels_are_filtered_each_by_itself() -> None:
    x = np.random.default_rng(1).normal(size=(30, 3))
    y = apply("kernel:1,-2,4", x)
    for channel in range(3):
        np.testing.assert_array_equal(y[:, channel], apply("kernel:1,-2,4", x[:, channel]))


def test_a_grey_picture_is_asked_for() -> None:
    x = np.zeros((5, 5))
    x[2, 2] = 9
    np.testing.assert_allclose(apply("box:3", x, axes=2)[1:4, 1:4], 1)
    np.testing.assert_allclose(apply("box:3", x)[:, 2], [0, 3, 3, 3, 0])


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "int64", "uint16", "bool", "float64", ">f8"]
)
def test_numbers_of_every_kind_become_float64(dtype: str) -> None:
    y = apply("kernel:1,1", np.array([100, 100, 1]).astype(dtype))
    assert y.dtype == np.float64
    truth = np.array([100, 100, 1]).astype(dtype).astype(float)
    np.testing.assert_array_equal(y, np.convolve(truth, [1, 1])[:3])


def test_float32_stays() -> None:
    for text in (
        "box:3",
        "abs",
        "downsample:2",
        "normalize",
        "global_avg_pool",
        "max_pool:2",
        "resample:2",
        "log",
    ):
        assert apply(text, np.ones(64, np.float32), rate=1).dtype == np.float32, text
    for order in "<>":
        single: Any = np.ma.array([1, 2, 3], mask=[False, True, False], dtype=f"{order}f4")
        assert apply("box:3", single.data).dtype == np.float32
        assert apply("box:3", single).dtype == np.float32


def test_lists_are_read_and_views_are_fine() -> None:
    assert apply("kernel:1,1", [1, 2, 3], align="causal").tolist() == [1, 3, 5]  # type: ignore[attr-defined]
    x = np.arange(20.0)
    np.testing.assert_array_equal(apply("box:3", x[::-2]), apply("box:3", x[::-2].copy()))


def test_rates_edges_and_alignment() -> None:
    x = np.arange(8.0)
    assert apply("stride:2", x, rate=8000).tolist() == [0, 2, 4, 6]
    assert apply("diff:1", x, edge="edge").tolist() == [0, 1, 1, 1, 1, 1, 1, 1]
    assert apply("box:250us", x, rate=8000).tolist() == apply("box:2", x).tolist()
    assert apply("box:3", x, align="causal", edge="edge").tolist()[0] == 0
    np.testing.assert_array_equal(apply("box:5", x, threads=1), apply("box:5", x, threads=2))


BAD: list[tuple[str, Any, dict[str, Any], str]] = [
    ("box:3", np.array(["a", "b"]), {}, "expected numbers"),
    ("box:3", np.array([1j]), {}, "expected numbers"),
    ("box:3", np.array([None, 1.0]), {}, "expected numbers"),
    ("box:3", np.float64(3), {}, "expected an array of shape"),
    ("box:3", np.zeros((2, 2, 2, 2)), {}, "expected an array of shape"),
    ("box:3", np.zeros(4), {"axes": 3}, "sample axes"),
    ("box:3", np.zeros(4), {"axes": 2}, "expected an array of shape"),
    ("bux:3", np.zeros(4), {}, "unknown step"),
    ("lowpass:1k", np.zeros(4), {}, "cycles/sample"),
    ("box:20ms", np.zeros(4), {}, "durations need a rate"),
    (cast("str", 3), np.zeros(4), {}, "filter expects a FILTER such as 'box:3', got 3"),
    (cast("str", None), np.zeros(4), {}, "filter expects a FILTER"),
    *[
        ("box:3", np.zeros(4), {"rate": rate}, "rate expects")
        for rate in (0, -1, np.nan, np.inf, "fast", True, [1])
    ],
    ("abs", np.zeros(4), {"rate": 0}, "rate expects samples per second, a number above 0, got 0"),
    *[
        ("box:3", np.zeros(4), {"threads": threads}, "threads expects")
        for threads in (0, -1, 1.5, "2", True)
    ],
    *[("box:3", np.zeros(4), {"axes": axes}, "sample axes") for axes in (0, "2", 1.5)],
    (
        "box:3",
        np.zeros(4),
        {"missing": "drop"},
        "missing expects keep, fill, propagate or error, got 'drop'",
    ),
    (
        "box:3",
        np.zeros(4),
        {"missing": 7},
        "missing expects keep, fill, propagate or error, got 7",
    ),
    ("box:3", np.zeros(4), {"align": ["center"]}, "align expects center or causal, got"),
    (
        "box:3",
        pd.Series(np.zeros(4)),
        {"edge": "nearest"},
        "edge expects shrink, missing, zero, edge, .* got 'nearest'",
    ),
]

WORDS = [
    ("edge", "nearest", "edge"),
    ("edge", "replicate", "edge"),
    ("edge", "mirror", "reflect"),
    ("edge", "constant", "zero"),
    ("edge", "zeros", "zero"),
    ("edge", "ZERO", "zero"),
    ("edge", "circular", "wrap"),
    ("edge", "symetric", "symmetric"),
    ("align", "centre", "center"),
    ("align", "same", "center"),
    ("missing", "fil", "fill"),
]


@pytest.mark.parametrize(("name", "word", "ours"), WORDS)
def test_words_of_other_libraries(name: str, word: str, ours: str) -> None:
    rules: dict[str, Any] = {name: word}
    with pytest.raises(RequestError) as raised:
        apply("box:3", np.arange(5.0), **rules)
    assert raised.value.hint == f"did you mean {ours}?"


class OnlyDlpack:
    """An array that other libraries can read by DLPack alone, as those of some frameworks."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __dlpack__(self, **wanted: Any) -> Any:
        return self.x.__dlpack__(**wanted)

    def __dlpack_device__(self) -> Any:
        return self.x.__dlpack_device__()


class Lazy:
    """A table that is not computed before it is asked for, as the LazyFrame of polars."""

    def collect(self) -> Any:
        return np.zeros(3)


class OnAnotherDevice:
    """An array that refuses to become one of NumPy, as those on a graphics card do."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("use .cpu() to copy it to host memory first")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_arrays_of_other_libraries_come_by_dlpack(dtype: Any) -> None:
    x = (100 * np.random.default_rng(2).normal(size=(50, 2))).astype(dtype)
    y = apply("gaussian:2", OnlyDlpack(x))
    np.testing.assert_array_equal(y, apply("gaussian:2", x))
    found = convcli.compare(OnlyDlpack(x), x)
    assert all(each.rms == 0 for each in found.channels)


def test_what_is_no_array_is_refused() -> None:
    with pytest.raises(RequestError, match="expected numbers, got a Lazy") as raised:
        apply("box:2", Lazy())
    assert raised.value.hint == "its numbers are made by .collect()"
    with pytest.raises(RequestError, match=r"a OnAnotherDevice: use \.cpu\(\) to copy"):
        apply("box:2", OnAnotherDevice())
    with pytest.raises(RequestError, match="expected numbers, got a list"):
        apply("box:2", [[1.0], [1.0, 2.0]])
    with pytest.raises(RequestError, match="expected numbers, got a dict") as raised:
        apply("box:2", {"a": 1})
    assert raised.value.hint is None
    for given in (np.array([1, None]), pd.Series(["1", "2"]), np.array([1j])):
        with pytest.raises(RequestError, match=r"expected numbers, got a.* of [\s\S]*x\.astype"):
            apply("box:2", given)


def test_a_rate_far_below_the_old_one_is_reached_in_two_steps() -> None:
    with pytest.raises(RequestError, match="taps; at most") as raised:
        apply("resample:1", np.zeros(10), rate=44100)
    assert raised.value.hint == "a higher rate, or two steps: resample:100 | resample:1"
    assert apply("resample:100 | resample:1", np.zeros(88200), rate=44100).shape == (2,)


def test_numbers_of_numpy_are_numbers() -> None:
    y = apply("box:250us", np.arange(8.0), rate=np.float32(8000), threads=np.int64(1))  # type: ignore[arg-type]
    np.testing.assert_array_equal(y, apply("box:2", np.arange(8.0)))


@pytest.mark.parametrize(("text", "x", "rules", "message"), BAD)
def test_refused(text: str, x: Any, rules: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        apply(text, x, **rules)


def test_missing_samples() -> None:
    x = np.array([1.0, np.nan, 3, 4])
    np.testing.assert_array_equal(
        apply("box:3", x, edge="shrink", missing="fill"), [1, 2, 3.5, 3.5]
    )
    np.testing.assert_array_equal(apply("box:3", x, edge="shrink"), [1, np.nan, 3.5, 3.5])
    with pytest.raises(InputError, match="data row 2"):
        apply("box:3", x, missing="error")


# ------------------------------------------------------------------------------------------- pandas


@pytest.fixture
def prices() -> pd.DataFrame:
    index = pd.date_range("2024-01-01", periods=5, name="Date")
    return pd.DataFrame(
        {
            "Ticker": list("ABABA"),
            "Close": [10.0, 11, 12, 11, 13],
            "Volume": [1, 2, 3, 4, 5],
            "Note": [None] * 5,
        },
        index=index,
    )


def test_a_series_comes_back(prices: pd.DataFrame) -> None:
    y = apply("sma:3", prices["Close"])
    assert isinstance(y, pd.Series)
    assert y.name == "Close"
    pd.testing.assert_index_equal(y.index, prices.index)
    np.testing.assert_allclose(y, [10, 10.5, 11, 34 / 3, 12])
    np.testing.assert_allclose(y, prices["Close"].rolling(3, min_periods=1).mean())


def test_a_frame_comes_back_with_its_other_columns(prices: pd.DataFrame) -> None:
    before = prices.copy()
    y = apply("sma:2", prices)
    assert isinstance(y, pd.DataFrame)
    pd.testing.assert_frame_equal(prices, before)
    assert list(y.columns) == list(prices.columns)
    pd.testing.assert_index_equal(y.index, prices.index)
    pd.testing.assert_series_equal(y["Ticker"], prices["Ticker"])
    assert y["Volume"].tolist() == [1, 1.5, 2.5, 3.5, 4.5]
    assert y["Close"].tolist() == [10, 10.5, 11.5, 11.5, 12]


def test_rows_of_a_downsampled_frame(prices: pd.DataFrame) -> None:
    y = apply("max_pool:2", prices)
    assert y["Close"].tolist() == [11, 12, 13]
    assert y.index.tolist() == prices.index[[1, 3, 4]].tolist()
    assert y["Ticker"].tolist() == ["B", "B", "A"]
    assert apply("stride:2", prices["Volume"]).tolist() == [1, 3, 5]
    assert len(apply("sma:9", prices, edge="valid")) == 0


def test_ema_is_that_of_pandas(prices: pd.DataFrame) -> None:
    y = apply("ema:span=3", prices["Close"])
    np.testing.assert_allclose(y, prices["Close"].ewm(span=3, adjust=False).mean(), rtol=1e-14)
    y = apply("ema:span=3,adjust=true", prices["Close"])
    np.testing.assert_allclose(y, prices["Close"].ewm(span=3).mean(), rtol=1e-14)


def test_pandas_missing_values() -> None:
    x = pd.Series([1, None, 3, 4], dtype="Int64", name="n")
    np.testing.assert_array_equal(apply("sma:2", x).to_numpy(float), [1, np.nan, 3, 3.5])


def test_duplicate_index_and_column_names() -> None:
    x = pd.Series([1.0, 2, 3], index=["a", "a", "b"])
    assert apply("diff:1", x, edge="edge").tolist() == [0, 1, 1]
    frame = pd.DataFrame([[1.0, 5], [2, 6]], columns=["x", "x"])
    assert apply("diff:1", frame, edge="edge").to_numpy().tolist() == [[0, 0], [1, 1]]


def test_frames_without_numbers_and_wrong_series() -> None:
    with pytest.raises(RequestError, match="no numeric column"):
        apply("box:3", pd.DataFrame({"a": ["x"]}))
    with pytest.raises(RequestError, match="expected numbers"):
        apply("box:3", pd.Series(["x", "y"]))


def test_convcli_apply_is_this_function() -> None:
    assert convcli.apply is apply
    assert "lowpass" in convcli.filters()


def test_design_returns_taps_and_response() -> None:
    facts = convcli.design("lowpass:1k", rate=8000)
    taps = np.array(facts.weights)
    assert facts.taps == taps.size
    y = convcli.apply("lowpass:1k", np.eye(1, 2 * taps.size, taps.size)[0], rate=8000)
    middle = taps.size - (taps.size - 1) // 2
    np.testing.assert_allclose(y[middle : middle + taps.size], taps, atol=1e-15)
    assert facts.frequency_unit == "Hz"
    assert facts.response[0][1] == pytest.approx(0, abs=1e-9)
    both = convcli.design("box:3 | kernel:1,1")
    np.testing.assert_allclose(both.weights, np.convolve([1 / 3] * 3, [1, 1]))
    assert convcli.design("box:3 | relu").weights == ()
    with pytest.raises(convcli.RequestError, match="unknown step"):
        convcli.design("nosuch:3")


def test_learn_finds_the_filter_between_two_arrays() -> None:
    x = np.random.default_rng(1).normal(size=(3000, 2))
    y = convcli.apply("kernel:0.2,0.5,-0.3", x)
    model = convcli.learn(x, y, taps=3)
    np.testing.assert_allclose(model.tensors["0.weight"][0, 0], [-0.3, 0.5, 0.2], atol=1e-9)
    blind = convcli.learn(x, taps=5)
    assert blind.tensors["0.weight"][0, 0, 2] == 0
    frame = pd.DataFrame({"a": x[:, 0]})
    assert convcli.learn(frame, frame, taps=2, ahead=1).facts.task.startswith("ahead 1")
    with pytest.raises(convcli.RequestError, match="taps expects one or two lengths"):
        convcli.learn(np.ones((20, 20)), np.ones((20, 20)), taps=(3,), axes=2)


def test_a_learned_model_is_run_from_its_file(tmp_path: Path) -> None:
    x = np.random.default_rng(2).normal(size=4000)
    y = convcli.apply("tanh", convcli.apply("box:3", x))
    model = convcli.learn(x, y, taps=3, layers="conv:1,3 | tanh", holdout=0.1)
    path = tmp_path / "net.safetensors"
    path.write_bytes(model.encoded())
    error = np.abs(convcli.apply(f"model:{path}", x) - y).mean()
    assert error < 0.1


def test_detect_finds_places_as_slices() -> None:
    random = np.random.default_rng(3)
    x = random.normal(size=500)
    template = random.normal(size=20)
    x[100:120] = 3 * template + 1
    (hit,) = convcli.detect(template, x, threshold=0.9).hits
    assert (hit["start"], hit["end"], hit["score"]) == (100, 120, 1.0)
    picture = random.normal(size=(40, 50))
    (found,) = convcli.detect(picture[7:15, 20:32], picture, axes=2, threshold=0.9).hits
    assert (found["x"], found["y"], found["width"], found["height"]) == (20, 7, 12, 8)
    assert convcli.detect(template, random.normal(size=300)).hits == ()


# ------------------------------------------------------------------------------- times of an index


def indexed(index: pd.DatetimeIndex | pd.TimedeltaIndex) -> pd.Series:
    values = np.random.default_rng(0).normal(size=len(index)).cumsum()
    return pd.Series(values, index=index, name="price")


def test_a_regular_index_sets_the_rate() -> None:
    x = indexed(pd.date_range("2024-01-01", periods=60, freq="D"))
    pd.testing.assert_series_equal(apply("sma:20d", x), apply("sma:20", x))
    hours = indexed(pd.date_range("2024-01-01", periods=60, freq="h"))
    pd.testing.assert_series_equal(apply("sma:1d", hours), apply("sma:24", hours))
    # Without a unit a frequency is in cycles per row, as without times.
    bare = pd.Series(x.to_numpy(), name="price")
    y = apply("lowpass:0.1,taps=9", x).to_numpy()
    np.testing.assert_array_equal(y, apply("lowpass:0.1,taps=9", bare).to_numpy())


def test_an_irregular_index_is_that_of_rolling() -> None:
    days = pd.date_range("2024-01-01", periods=200, freq="D")
    x = indexed(days[np.random.default_rng(1).random(200) < 0.6])
    expected = x.rolling("20D").mean()
    pd.testing.assert_series_equal(apply("sma:20d", x), expected, rtol=1e-12)
    # Rows are counted where no time is asked for.
    pd.testing.assert_series_equal(apply("sma:5", x), x.rolling(5, min_periods=1).mean())
    assert len(apply("lowpass:0.1,taps=9", x)) == len(x)


BUSINESS_DAYS = pd.bdate_range("2023-12-01", periods=60)
INDEXES = {
    "business days": BUSINESS_DAYS,
    "business days but for holidays": BUSINESS_DAYS.delete([16, 21, 31]),
    "months": pd.date_range("2023-01-31", periods=40, freq="ME"),
    "last business days of months": pd.date_range("2023-01-31", periods=40, freq="BME"),
    "days": pd.date_range("2024-01-01", periods=60),
    "thirds of a second": pd.Timestamp("2024-01-01")
    + pd.to_timedelta(np.arange(60) * 1e9 // 3, unit="ns"),
}


@pytest.mark.parametrize("name", INDEXES)
@pytest.mark.parametrize(
    "filter", ["lag:1d", "diff:1w", "sma:20d", "sma:1w", "avg_pool:1mo", "lowpass:1e-7Hz,taps=9"]
)
def test_an_index_is_regular_as_the_same_times_in_a_table_are(
    name: str, filter: str, program: Program, tmp_path: Path
) -> None:
    x = indexed(INDEXES[name])
    frame = x.to_frame().reset_index(names="t")
    frame.to_csv(tmp_path / "t.csv", index=False)
    words = ("csv", filter, "t.csv", "--time", "t", "-c", "price", "-q")
    ended = program.run(*words, cwd=tmp_path)
    if ended.code:
        with pytest.raises(RequestError):
            apply(filter, x)
    else:
        expected = pd.read_csv(io.StringIO(ended.text)).price
        np.testing.assert_allclose(apply(filter, x).to_numpy(), expected, rtol=1e-12)


def test_a_day_of_an_index_is_a_row_where_rows_are_days() -> None:
    x = indexed(BUSINESS_DAYS)
    pd.testing.assert_series_equal(apply("lag:1d", x), x.shift(1))
    pd.testing.assert_series_equal(apply("lag:1w", x), x.shift(5))
    in_zone = indexed(pd.date_range("2024-03-01", periods=20, tz="America/New_York"))
    pd.testing.assert_series_equal(apply("lag:1d", in_zone), in_zone.shift(1))


def test_lengths_of_time_are_no_dates() -> None:
    # From Thursday on, as 1970 began, these would be business days.
    x = indexed(pd.to_timedelta([0, 1, 4, 5, 6], unit="D"))
    with pytest.raises(RequestError, match="rows do not come at equal steps"):
        apply("lag:1d", x)


def test_months_of_an_index_with_a_zone() -> None:
    index = pd.date_range("2024-01-01", periods=100, freq="D", tz="America/New_York")
    x = indexed(index)
    y = apply("avg_pool:1mo", x)
    np.testing.assert_allclose(y.to_numpy(), x.groupby(index.month).mean().to_numpy())


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_times_come_once_a_day(count: int) -> None:
    """As in a table: a part of a longer series takes the same filter."""
    prices = pd.Series([3.0], index=pd.DatetimeIndex(["2026-01-05"])).iloc[:count]
    for step in ("sma:20d", "avg_pool:1mo", "ema:halflife=5d"):
        pd.testing.assert_series_equal(convcli.apply(step, prices), prices)


def test_an_index_that_goes_back_is_refused() -> None:
    index = pd.DatetimeIndex(["2024-01-02", "2024-01-01", "2024-01-03"])
    with pytest.raises(RequestError, match="goes back in time at row 1"):
        apply("sma:2d", indexed(index))
    assert len(apply("sma:2", indexed(index))) == 3
    with pytest.raises(RequestError, match="without a time"):
        apply("sma:2d", indexed(pd.DatetimeIndex(["2024-01-02", None, "2024-01-03"])))


def test_new_columns_of_a_frame_whose_columns_have_several_levels() -> None:
    columns = pd.MultiIndex.from_tuples([("a", "x"), ("a", "y"), ("b", "note")])
    frame = pd.DataFrame([[1.0, 5.0, "u"], [3.0, 9.0, "v"]], columns=columns)
    made = apply("mix:1,1", frame)
    assert list(map(tuple, made.columns)) == [("y0", ""), ("b", "note")]
    assert made["y0"].tolist() == [6.0, 12.0]
