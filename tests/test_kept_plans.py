"""Plans that are kept for the next array or the next input: when one is used again, and when it is not."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from program import checked, run

from convcli import apply
from convcli.designs.registry import steps
from convcli.errors import ConvcliError
from convcli.file_stamps import RECENT, files_noted
from convcli.layers.weights import encode_weights
from convcli.planning.plan import make_plan
from convcli.running.kept_plans import MOST_FILE_BYTES, MOST_PLANS, KeptPlans, PlanRequest
from convcli.signals import ARRAY, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.planning.plan import Plan
    from convcli.signals import Edge

RNG = np.random.default_rng(0)
SOUND = Signal(medium=ARRAY, shape=(30,), channels=("1",), rate=22050.0)
PICTURE = Signal(medium=ARRAY, shape=(30, 30), channels=("1",))


def request(text: str, signal: Signal = SOUND) -> PlanRequest:
    return PlanRequest(filter=text, signal=signal, edge=None, align=None, missing=None)


def aged(path: Path) -> Path:
    """A file that was changed long enough ago for a further change to show."""
    long_ago = path.stat().st_mtime_ns - 2 * RECENT
    os.utime(path, ns=(long_ago, long_ago))
    return path


@pytest.fixture
def _old_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as old at once; os.utime cannot set the time of the change of an inode."""
    monkeypatch.setattr("convcli.file_stamps.RECENT", 0)


def kernel_file(path: Path, *taps: float) -> Path:
    path.write_bytes(encode_weights({"0.weight": np.array([[taps]])}, {"layers": "conv"}))
    return path


@pytest.mark.usefixtures("_old_files")
def test_a_plan_is_kept_until_its_file_changes(tmp_path: Path) -> None:
    path = kernel_file(tmp_path / "m.safetensors", 1, 2, 3)
    kept = KeptPlans()
    text = f"model:{path}"
    plan = kept.plan(request(text))
    assert kept.plan(request(text)) is plan
    kernel_file(path, 3, 2, 1)
    changed = kept.plan(request(text))
    assert changed is not plan
    assert changed.plan.chain.ops[0].formula.convolutions[0].taps.tolist() == [1, 2, 3]
    path.unlink()
    with pytest.raises(Exception, match="no such file"):
        kept.plan(request(text))


def test_a_file_that_was_just_written_is_read_again(tmp_path: Path) -> None:
    path = kernel_file(tmp_path / "m.safetensors", 1, 2, 3)
    kept = KeptPlans()
    plan = kept.plan(request(f"model:{path}"))
    assert kept.plan(request(f"model:{path}")) is not plan


def test_what_is_not_the_same_request() -> None:
    kept = KeptPlans()
    plan = kept.plan(request("box:3"))
    assert kept.plan(request("box:3")) is plan
    assert kept.plan(request("box:5")) is not plan
    assert kept.plan(request("box:3", PICTURE)) is not plan
    assert kept.plan(request("box:3")._replace(edge="wrap")) is not plan


def test_recipes_are_looked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = KeptPlans()
    for folder, text in (("a", "box:3"), ("b", "box:5")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "smooth.conv").write_text(text, encoding="utf-8")
        monkeypatch.setenv("CONVCLI_RECIPES", str(tmp_path / folder))
        assert kept.plan(request("x - @smooth")).plan.filter == "x - @smooth"
        assert kept.plan(request("@smooth")) is not kept.plan(request("@smooth"))


def test_the_plans_that_are_kept_are_few() -> None:
    kept = KeptPlans()
    plans = [kept.plan(request(f"box:{n}")) for n in range(1, MOST_PLANS + 2)]
    assert kept.plan(request("box:2")) is plans[1]
    assert kept.plan(request("box:1")) is not plans[0]
    huge = "kernel:" + ",".join(["1"] * 9)
    assert kept.plan(request(huge)) is kept.plan(request(huge))
    long = request("box:200001")
    assert kept.plan(long) is not kept.plan(long)


@pytest.mark.usefixtures("_old_files")
def test_the_files_that_are_kept_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convcli.running.kept_plans.MOST_FILE_BYTES", 250)
    assert MOST_FILE_BYTES > 250
    kept = KeptPlans()
    texts = [f"model:{kernel_file(tmp_path / f'{n}.safetensors', n)}" for n in range(3)]
    first, *_ = [kept.plan(request(text)) for text in texts]
    assert kept.plan(request(texts[2])) is kept.plan(request(texts[2]))
    assert kept.plan(request(texts[0])) is not first


_OPENED: list[str] | None = None


def _record_open(event: str, arguments: tuple[Any, ...]) -> None:
    if _OPENED is not None and event == "open" and isinstance(arguments[0], str):
        _OPENED.append(arguments[0])


@pytest.fixture(scope="module")
def opened() -> Iterator[list[str]]:
    """The names of the files that are opened."""
    global _OPENED  # noqa: PLW0603 -- a hook cannot be removed, only silenced
    _OPENED = []
    sys.addaudithook(_record_open)
    yield _OPENED
    _OPENED = None


def test_every_file_that_a_filter_names_is_noted(opened: list[str], tmp_path: Path) -> None:
    taps = tmp_path / "taps.csv"
    taps.write_text("1,2,1", encoding="utf-8")
    examples = [step.example for step in steps().values() if "sample_data" in step.example]
    assert len(examples) > 2
    for example in (*examples, f"kernel:@{taps}"):
        opened.clear()
        with files_noted() as files:
            KeptPlans().plan(request(example))
        read = {Path(name) for name in opened if "sample_data" in name or name == str(taps)}
        assert read
        assert read <= set(files.stamps)


def test_repeated_calls_give_the_same(tmp_path: Path) -> None:
    path = aged(kernel_file(tmp_path / "m.safetensors", 1, 2, 3))
    x = np.arange(9.0)
    for text in (f"model:{path}", "gaussian:2 | normalize", "x - box:3"):
        first = apply(text, x)
        np.testing.assert_array_equal(apply(text, x), first)
        np.testing.assert_array_equal(
            apply(text, 2 * x), 2 * first if "norm" not in text else first
        )


WHOLE = [
    "box:3",
    "ema:span=5",
    "kernel:1,2,1 | abs | downsample:3",
    "kernel:1,-2,3",
    "resample:3/2",
    "x - gaussian:2",
    "median:5",
    "normalize",
    "global_avg_pool",
    "gain:1",
    "model:sample_data/denoise.safetensors",
]


@pytest.mark.parametrize("edge", ["zero", "shrink", "missing", "valid", "wrap", "reflect"])
@pytest.mark.parametrize("text", WHOLE)
def test_one_job_gives_what_the_loop_gives(
    text: str, edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = RNG.random((40, 1))
    gaps = np.where(np.arange(40)[:, None] % 9 == 0, np.nan, x)
    arrays = [x, gaps, x[:1], x[:0], x.astype(np.float32)]
    short = [_applied(text, array, edge) for array in arrays]
    again = [_applied(text, array, edge) for array in arrays]
    monkeypatch.setattr("convcli.running.arrays.SHORT", -1)
    looped = [_applied(text, array, edge) for array in arrays]
    for once, twice, loop in zip(short, again, looped, strict=True):
        np.testing.assert_array_equal(once, twice)
        np.testing.assert_array_equal(once, loop)


def _applied(text: str, x: Any, edge: Edge) -> Any:
    """The outputs of a filter, or the text of its error."""
    try:
        return apply(text, x, edge=edge)
    except ConvcliError as error:
        return str(error)


def test_outputs_are_never_the_input_itself() -> None:
    x = np.arange(5.0)
    for _ in range(2):
        apply("gain:1", x)[:] = 7
    assert x.tolist() == [0, 1, 2, 3, 4]


def test_a_missing_sample_is_refused_where_it_is_asked_for() -> None:
    for _ in range(2):
        with pytest.raises(ConvcliError, match="missing value in data row 2"):
            apply("box:3", np.array([0, np.nan]), missing="error")


@pytest.mark.usefixtures("_old_files")
def test_no_call_gives_what_an_earlier_file_said(tmp_path: Path) -> None:
    taps = tmp_path / "taps.csv"
    recipe = tmp_path / "own.conv"
    model = tmp_path / "m.safetensors"
    response = tmp_path / "room.wav"
    texts = [f"kernel:@{taps}", f"@{recipe}", f"model:{model}", f"ir:{response}"]
    x = np.array([0, 0, 1.0, 0, 0])
    for gain in (0.25, 0.5, 0.125):
        taps.write_text(f"{gain}", encoding="utf-8")
        recipe.write_text(f"kernel:{gain}", encoding="utf-8")
        kernel_file(model, gain)
        soundfile.write(response, [gain], 8000, subtype="FLOAT")
        for text in texts:
            for _ in range(2):
                assert apply(text, x, rate=8000).tolist() == [0, 0, gain, 0, 0]


def test_inputs_of_a_command_share_plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = []

    def recorded(*arguments: Any) -> Plan:
        planned.append(arguments)
        return make_plan(*arguments)

    monkeypatch.setattr("convcli.running.kept_plans.make_plan", recorded)
    lengths = {"a.wav": 900, "b.wav": 900, "c.wav": 700, "d.wav": 900}
    for name, length in lengths.items():
        soundfile.write(tmp_path / name, RNG.uniform(-0.5, 0.5, length), 8000)
    checked(run("audio", "lowpass:1k", *lengths, "-o", "all/", "-j", "1", cwd=tmp_path))
    assert len(planned) == 2
    for name in lengths:
        checked(run("audio", "lowpass:1k", name, "-o", "one/", cwd=tmp_path))
        one, _ = soundfile.read(tmp_path / "one" / name, dtype="int16")
        shared, _ = soundfile.read(tmp_path / "all" / name, dtype="int16")
        np.testing.assert_array_equal(shared, one)


def test_another_process_makes_its_own_plans() -> None:
    kept = KeptPlans()
    plan = kept.plan(request("box:3"))
    elsewhere = pickle.loads(pickle.dumps(kept))
    assert elsewhere.plan(request("box:3")) is not plan
