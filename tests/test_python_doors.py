"""The functions for Python users: what they take, and errors in the words of Python."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import threadpoolctl

import convcli
from convcli.running import blas_threads
from convcli.running.blas_threads import one_blas_thread

if TYPE_CHECKING:
    from collections.abc import Callable

X = np.arange(50.0)
TABLE: Any = pd.Series(X)


def test_a_masked_sample_is_missing() -> None:
    masked: Any = np.ma.array([1.0, 2, 3], mask=[False, True, False])
    gaps = np.array([1.0, np.nan, 3.0])
    np.testing.assert_array_equal(convcli.apply("sma:2", masked), convcli.apply("sma:2", gaps))
    assert np.isnan(convcli.apply("sma:2", masked)[1])
    whole: Any = np.ma.array([1, 2, 3], mask=[False, True, False])
    np.testing.assert_array_equal(convcli.apply("sma:2", whole), convcli.apply("sma:2", gaps))
    single: Any = np.ma.array([1, 2], mask=[False, True], dtype=np.float32)
    assert convcli.apply("x", single).dtype == np.float32
    assert convcli.apply("x", np.ma.array([1.0, 2.0])).tolist() == [1, 2]
    assert convcli.compare(masked, gaps).channels[0].equal
    assert convcli.explain("sma:2", masked).result == convcli.explain("sma:2", gaps).result
    model = convcli.learn(np.ma.array(X, mask=X == 7), X, taps=3)
    expected = convcli.learn(np.where(X == 7, np.nan, X), X, taps=3)
    np.testing.assert_array_equal(model.tensors["0.weight"], expected.tensors["0.weight"])


def test_explain_has_the_rules_of_apply() -> None:
    frame: Any = pd.DataFrame({"a": X[:6], "b": X[:6] ** 2})
    facts = convcli.explain("sma:3", frame)
    assert (facts.edge, facts.align, facts.channels) == ("shrink", "causal", ("a", "b"))
    np.testing.assert_array_equal(np.array(facts.result).T, convcli.apply("sma:3", frame))
    series = convcli.explain("sma:3", frame.b)
    np.testing.assert_array_equal(series.result, convcli.apply("sma:3", frame.b))


def test_one_column_is_compared_as_a_whole() -> None:
    facts = convcli.compare(TABLE, TABLE + 1)
    assert facts.together is not None
    assert facts.together.rms == 1
    two = pd.DataFrame({"a": X, "b": X})
    assert convcli.compare(two, two).together is None


@pytest.mark.parametrize("index", [
    pd.period_range("2020-01-01", periods=50, freq="D"),
    pd.timedelta_range("0D", periods=50, freq="D"),
])  # fmt: skip
def test_every_index_of_times_sets_the_times(index: Any) -> None:
    x = pd.Series(X, index)
    found = convcli.apply("sma:20d", x)
    np.testing.assert_allclose(found, pd.Series(X).rolling(20, min_periods=1).mean())
    assert found.index.equals(index)
    holes = x.iloc[[0, 1, 2, 5, 6, 9, 20, 21]]
    expected = pd.Series(holes.to_numpy(), pd.Timestamp(0) + pd.to_timedelta(holes * 1.0, "D"))
    np.testing.assert_allclose(convcli.apply("sma:4d", holes), expected.rolling("4D").mean())


WRONG: dict[str, Callable[[], Any]] = {
    "design filter": lambda: convcli.design(None),  # type: ignore[arg-type]
    "design align": lambda: convcli.design("sma:3", align="soon"),  # type: ignore[arg-type]
    "explain filter": lambda: convcli.explain(None, X),  # type: ignore[arg-type]
    "explain text": lambda: convcli.explain("sma:3", "abc"),
    "explain words": lambda: convcli.explain("sma:3", pd.Series(["a"])),
    "explain complex": lambda: convcli.explain("sma:3", X * 1j),
    "explain edge": lambda: convcli.explain("sma:3", X, edge="soon"),  # type: ignore[arg-type]
    "explain dimensions": lambda: convcli.explain("sma:3", np.zeros((2, 2, 2, 2))),
    "compare scale": lambda: convcli.compare(X, X, full_scale="k"),  # type: ignore[arg-type]
    "learn taps": lambda: convcli.learn(X, X, taps="a"),  # type: ignore[arg-type]
    "learn layers": lambda: convcli.learn(X, X, taps=3, layers=3),  # type: ignore[arg-type]
    "learn flag as taps": lambda: convcli.learn(X, X, taps=True),
    "learn bias": lambda: convcli.learn(X, X, taps=3, bias="no"),  # type: ignore[arg-type]
    "learn residual": lambda: convcli.learn(X, X, taps=3, residual=1),  # type: ignore[arg-type]
    "learn mix": lambda: convcli.learn(X, X, taps=3, mix=None),  # type: ignore[arg-type]
    "learn ridge below 0": lambda: convcli.learn(X, X, taps=3, ridge=-1),
    "learn holdout below 0": lambda: convcli.learn(X, X, taps=3, holdout=-0.1),
    "learn all held out": lambda: convcli.learn(X, X, taps=3, holdout=1),
    "learn no seed": lambda: convcli.learn(X, X, taps=3, seed=None),  # type: ignore[arg-type]
    "apply huge rate": lambda: convcli.apply("box:3", X, rate=10**400),
    "apply scalar": lambda: convcli.apply("box:3", np.array(5.0)),
    "apply picture of one axis": lambda: convcli.apply("box:3", X, axes=2),
    "detect overlap below 0": lambda: convcli.detect(X[:9], X, overlap=-0.1),
    "detect overlap above 1": lambda: convcli.detect(X[:9], X, overlap=1.1),
    "detect no threshold": lambda: convcli.detect(X, X, threshold=None),  # type: ignore[arg-type]
    "learn ahead": lambda: convcli.learn(X, X, taps=3, ahead=0.5),  # type: ignore[arg-type]
    "learn ridge": lambda: convcli.learn(X, X, taps=3, ridge="a"),  # type: ignore[arg-type]
    "detect threshold": lambda: convcli.detect(X, X, threshold="a"),  # type: ignore[arg-type]
    "detect top": lambda: convcli.detect(X, X, top="a"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_a_request_error(name: str) -> None:
    with pytest.raises(convcli.RequestError, match="expect"):
        WRONG[name]()


@pytest.mark.parametrize(
    ("filter", "x", "words", "said"),
    [
        ("sma:20d", TABLE, {}, "durations need rate= or times as the index"),
        ("lag:-1", TABLE, {}, 'with align="center" reads one ahead'),
        ("sma:3", TABLE.where(X != 3), {"missing": "error"}, 'missing="keep", "fill" or'),
        ("response:@none.csv", TABLE, {}, "rate= gives it, or times as the index"),
    ],
)
def test_errors_name_arguments_of_python(
    filter: str, x: Any, words: dict[str, Any], said: str
) -> None:
    with pytest.raises(convcli.ConvcliError) as error:
        convcli.apply(filter, x, **words)
    assert said in str(error.value)
    assert "--" not in str(error.value)


def test_matrix_libraries_have_one_thread_inside_of_a_call_and_what_they_had_after_it() -> None:
    # Other tests may have loaded a further library since the first call.
    blas_threads._libraries.cache_clear()
    controller = threadpoolctl.ThreadpoolController()

    def threads() -> list[int]:
        return [each["num_threads"] for each in controller.info() if each["user_api"] == "blas"]

    with controller.limit(limits=3, user_api="blas"):
        before = threads()
        with one_blas_thread():
            with one_blas_thread():
                assert set(threads()) <= {1}
            # Another call is still inside.
            assert set(threads()) <= {1}
        assert threads() == before
        convcli.apply("box:3", np.ones(5))
        assert threads() == before


def test_matrix_libraries_have_one_thread_inside_of_a_call_from_another_thread() -> None:
    blas_threads._libraries.cache_clear()
    controller = threadpoolctl.ThreadpoolController()
    blas = controller.select(user_api="blas")
    # The one within OpenCV, which no product here is made by, takes a number from one thread only.
    libraries = [each for each in blas.lib_controllers if "opencv" not in each.filepath]

    def threads() -> list[int]:
        return [each.get_num_threads() for each in libraries]

    @one_blas_thread()
    def inside() -> list[int]:
        return threads()

    with controller.limit(limits=3, user_api="blas"):
        before = threads()
        assert set(inside()) == {1}
        with ThreadPoolExecutor(1) as other:
            assert set(other.submit(inside).result()) == {1}
        assert threads() == before
        assert set(inside()) <= {1}
        assert threads() == before


@pytest.mark.parametrize(("shape", "axes"), [((5, 0), 1), ((4, 3, 0), 2)])
def test_what_has_no_channel_is_refused(shape: tuple[int, ...], axes: int) -> None:
    nothing = np.zeros(shape)
    refused = pytest.raises(convcli.RequestError, match="has no channels")
    with refused:
        convcli.apply("box:3", nothing, axes=axes)
    with refused:
        convcli.compare(nothing, nothing, axes=axes)
    with refused:
        convcli.detect(nothing, nothing, axes=axes)


def test_taps_may_be_left_out() -> None:
    rng = np.random.default_rng(8)
    x, picture = rng.normal(size=900), rng.random((40, 50))
    assert convcli.learn(x, x).facts.taps == (64,)
    assert convcli.learn(pd.Series(x), pd.Series(x)).facts.taps == (20,)
    assert convcli.learn(picture, axes=2).facts.taps == (9, 9)
    network = convcli.learn(x, x, layers="conv:2,3 | relu | conv:1,3")
    assert network.tensors["0.weight"].shape == (2, 1, 3)


def test_lengths_that_differ_are_refused_in_words_of_python() -> None:
    with pytest.raises(convcli.RequestError, match="cut them to one length") as error:
        convcli.learn(X, X[1:], taps=3)
    assert "--" not in str(error.value)
