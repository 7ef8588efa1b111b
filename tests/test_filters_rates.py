"""More samples and other sizes: `upsample`, and `resize` with `fit=`."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import program
import pytest
import pyvips
import scipy.signal

from convcli import apply, design
from convcli.designs.fir import Specification
from convcli.designs.frequency import lowpass
from convcli.errors import RequestError
from convcli.media.images.medium import IMAGE
from convcli.planning.plan import make_plan, rules_for
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.signals import ARRAY, TABLE, Signal

if TYPE_CHECKING:
    from pathlib import Path

Samples = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)
PLAIN = Signal(medium=ARRAY, shape=(None,), channels=("x",))


def low_noise(n: int, band: float) -> Samples:
    """Noise without frequencies above `band`, in cycles per sample."""
    spectrum = np.fft.rfft(RNG.standard_normal(n))
    spectrum[np.fft.rfftfreq(n) > band] = 0
    return np.fft.irfft(spectrum, n)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_upsample_is_the_low_pass_of_downsample_between_zeros(n: int) -> None:
    x = RNG.standard_normal((300, 2))
    y = apply(f"upsample:{n}", x)
    assert y.shape == (300 * n, 2)
    taps = lowpass(0.45 / n, Specification(width=0.1 / n, attenuation=80), signal=PLAIN).taps
    truth = scipy.signal.upfirdn(n * taps, x, n, axis=0)[taps.size // 2 :][: 300 * n]
    # Each phase is scaled to a sum of 1, which it misses by the ripple of the low-pass.
    inner = slice(40 * n, -40 * n)
    np.testing.assert_allclose(y[inner], truth[inner], rtol=0, atol=1e-3)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_upsample_reads_no_input_without_a_weight(n: int) -> None:
    taps = design(f"downsample:{n}").weights
    assert taps is not None
    middle = len(taps) // 2
    # Output k reads the inputs i with a tap at middle + k - n * i.
    before = middle // n
    after = (middle + n - 1) // n
    x = RNG.standard_normal(200)
    whole = scipy.signal.upfirdn(n * np.asarray(taps), x, n)[middle:][: 200 * n]
    y = apply(f"upsample:{n}", x, edge="valid")
    assert len(y) == n * (200 - before - after)
    np.testing.assert_allclose(y, whole[n * before : n * (200 - after)], rtol=0, atol=2e-3)
    causal = apply(f"upsample:{n}", x, align="causal")
    delay = n * after
    np.testing.assert_allclose(causal[n * 100 :], whole[n * 100 - delay : -delay], atol=2e-3)


@pytest.mark.parametrize(("rate", "phases", "step"), [(44100, 441, 160), (24000, 3, 2)])
def test_resample_reads_no_input_without_a_weight(rate: int, phases: int, step: int) -> None:
    x = np.zeros(2000)
    x[1000] = 1
    y = apply(f"resample:{rate}", x, rate=16000)
    reads = np.flatnonzero(np.abs(y) > 0)
    aligned = reads * step // phases
    reach = design(f"resample:{rate}", rate=16000).reach[0]
    assert reach.after == 1000 - aligned.min()
    assert reach.before == aligned.max() - 1000


def test_upsample_is_the_inverse_of_downsample_in_the_pass_band() -> None:
    x = low_noise(2000, 0.38)
    y = apply("upsample:4 | downsample:4", x)
    np.testing.assert_allclose(y[100:-100], x[100:-100], rtol=0, atol=5e-4)
    np.testing.assert_allclose(apply("upsample:7", np.full(40, 5.0)), 5.0, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(apply("upsample:1", x), x)


def test_a_causal_interpolation_is_late_and_reads_no_later_sample() -> None:
    x = low_noise(400, 0.3)
    centred = apply("upsample:3", x)
    causal = apply("upsample:3", x, align="causal")
    plan = make_plan("upsample:3", PLAIN, rules_for(PLAIN, align="causal"))
    delay = plan.chain.ops[0].formula.delay
    assert delay is not None
    late = round(3 * delay)
    np.testing.assert_allclose(causal[300:900], centred[300 - late : 900 - late], atol=1e-3)
    np.testing.assert_array_equal(apply("upsample:3", x[:200], align="causal"), causal[:600])


def test_pictures_are_interpolated_along_both_axes() -> None:
    x = RNG.uniform(0, 255, (9, 12, 3))
    y = apply("upsample:2", x)
    assert y.shape == (18, 24, 3)
    np.testing.assert_allclose(y[::2, ::2], x, rtol=0, atol=1e-12)
    # At 1/2 between samples the Lanczos kernel of 3 lobes, normalised.
    distances = np.array([2.5, 1.5, 0.5, -0.5, -1.5, -2.5])
    weights = np.sinc(distances) * np.sinc(distances / 3)
    middle = weights / weights.sum() @ x[4, 3:9]
    np.testing.assert_allclose(y[8, 11], middle, atol=1e-12)


def test_rows_of_a_table_are_repeated_beside_the_new_numbers(tmp_path: Path) -> None:
    x = RNG.integers(0, 99, 400)
    frame = pd.DataFrame({"key": RNG.choice(["a", "b"], 400), "x": x})
    frame.to_csv(tmp_path / "t.csv", index=False)
    words = ("csv", "upsample:3", "t.csv", "-c", "x", "--by", "key", "--align", "center", "-q")
    (tmp_path / "y.csv").write_bytes(program.run(*words, cwd=tmp_path).out)
    found = pd.read_csv(tmp_path / "y.csv")
    np.testing.assert_array_equal(found["key"], np.repeat(frame["key"], 3))
    for key, rows in frame.groupby("key"):
        truth = apply("upsample:3", rows[["x"]].astype(float), align="center")
        y = found.loc[found["key"] == key, "x"]
        np.testing.assert_allclose(y, truth["x"], rtol=1e-12)
    weather = program.SAMPLES / "weather.csv"
    timed = ("csv", "upsample:2", weather, "--time", "date", "-c", "wind")
    assert "times of their own" in program.run(*timed, cwd=tmp_path).err
    for text in ("upsample:2", "stride:2 | upsample:2"):
        checked = program.run("csv", text, "t.csv", "-c", "x", "--causal-check", cwd=tmp_path)
        assert checked.code == 2
        assert "compares one output for each row" in checked.err


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("stride:2 | upsample:2", [0, 0, 2, 2]),
        ("avg_pool:2 | upsample:2", [1, 1, 3, 3]),
        ("upsample:2 | stride:2", [0, 1, 2, 3]),
        ("stride:4 | upsample:2", [0, 0]),
        ("stride:2 | upsample:4", [0, 0, 0, 0, 2, 2, 2, 2]),
    ],
)
def test_ratios_that_cancel_lose_no_row(text: str, rows: list[int], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n,v\n0,5\n1,6\n2,7\n3,8\n")
    written = program.done("csv", text, "a.csv", "-c", "v", cwd=tmp_path).text.splitlines()[1:]
    assert [int(line.partition(",")[0]) for line in written] == rows
    # More than are filtered as one short array.
    count = 40_000
    frame = pd.DataFrame({"v": np.arange(float(count)), "w": np.zeros(count)})
    made = apply(f"{text} | mono", frame)
    cycles = np.arange(0, count, 4)
    assert made.index.tolist() == np.add.outer(cycles, rows).ravel().tolist()


def test_rows_do_not_depend_on_blocks() -> None:
    x = RNG.standard_normal((90, 1))
    x[30:33] = np.nan
    signal = Signal(medium=TABLE, shape=(90,), channels=("a",))
    plan = make_plan("upsample:4 | sma:3", signal, rules_for(signal))
    whole = None
    for size in (90, 1, 7):
        sink = Collected()
        cuts = [*range(0, 90, size), 90]
        run(plan, Blocks(signal, [x[a:b] for a, b in pairwise(cuts)]), sink)
        y = np.concatenate(sink.parts)
        whole = y if whole is None else whole
        np.testing.assert_array_equal(y, whole)


def size_of(text: str, rows: int, columns: int) -> tuple[int | None, ...]:
    signal = Signal(medium=IMAGE, shape=(rows, columns), channels=("R", "G", "B"))
    return make_plan(text, signal, rules_for(signal)).result.shape


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("resize:200x200", (200, 200)),
        ("resize:200x200,fit=stretch", (200, 200)),
        ("resize:200x200,fit=inside", (133, 200)),
        ("resize:200x200,fit=cover", (200, 200)),
        ("resize:900x300,fit=inside", (300, 451)),
        ("resize:1x900,fit=inside", (1, 1)),
        ("resize:10x900,fit=cover", (900, 10)),
        ("resize:451x300,fit=cover", (300, 451)),
    ],
)
def test_the_size_that_is_asked_for(text: str, size: tuple[int, int]) -> None:
    assert size_of(text, 300, 451) == size


@pytest.mark.parametrize("size", [(60, 200), (200, 60), (75, 75), (149, 40)])
def test_cover_is_the_middle_of_the_larger_picture(size: tuple[int, int]) -> None:
    height, width = size
    x = RNG.uniform(0, 255, (100, 150, 3))
    scale = max(height / 100, width / 150)
    rows, columns = round(100 * scale), round(150 * scale)
    larger = apply(f"resize:{columns}x{rows}", x, edge="edge")
    top, left = (rows - height) // 2, (columns - width) // 2
    signal = Signal(medium=IMAGE, shape=(100, 150), channels=("R", "G", "B"))
    text = f"resize:{width}x{height},fit=cover"
    plan = make_plan(text, signal, rules_for(signal))
    for cut in (100, 1, 33):
        sink = Collected()
        cuts = [*range(0, 100, cut), 100]
        counts = run(plan, Blocks(signal, [x[a:b] for a, b in pairwise(cuts)]), sink)
        y = np.concatenate(sink.parts)
        wanted = larger[top : top + height, left : left + width]
        np.testing.assert_allclose(y, wanted, rtol=0, atol=1e-10)
        assert 0 <= counts.losses.edge_affected <= height * width


def test_a_cropped_picture_is_filtered_further_and_kept(tmp_path: Path) -> None:
    run = program.run(
        "image",
        "resize:64x64,fit=cover | gaussian:1 | stride:2",
        program.SAMPLES / "cat.png",
        "-o",
        "y.png",
        cwd=tmp_path,
    )
    assert run.code == 0
    y = pyvips.Image.new_from_file(str(tmp_path / "y.png"))
    assert (y.width, y.height) == (32, 32)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("resize:50%,fit=inside", "fit=inside needs both sides"),
        ("resize:300x,fit=cover", "fit=cover needs both sides"),
        ("resize:9x9,fit=crop", "expected inside or cover or stretch"),
        ("x - resize:451x200,fit=cover", "keeps 200 samples"),
    ],
)
def test_a_fit_that_cannot_be_is_refused(text: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        size_of(text, 300, 451)


def test_cover_and_valid_do_not_go_together() -> None:
    with pytest.raises(RequestError, match="fit=cover cuts off"):
        apply("resize:4x9,fit=cover", np.zeros((9, 9)), axes=2, edge="valid")


def test_jobs_of_an_interpolation_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.DataFrame({"v": np.random.default_rng(7).normal(size=500)})
    whole = apply("upsample:4", table)
    monkeypatch.setattr("convcli.running.stream.MOST_INTERPOLATED", 33)
    pieces = apply("upsample:4", table)
    assert len(pieces) == 2000
    pd.testing.assert_frame_equal(pieces, whole, check_exact=True)
