"""Sums over a part of a dataset in a file, so that several machines learn one filter.

The normal equations add up over signals. A file holds the sums of each pair of input and target by
itself. Whoever merges files adds all of them in the order of their names, so that the taps have the
same bits however the pairs were divided, and the bits that one machine finds.

The file is a NumPy archive (.npz): for each unit its arrays, and `about.npy`, a text in JSON.
"""

from __future__ import annotations

import errno
import json
import struct
import zipfile
import zlib
from dataclasses import asdict, replace
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from convcli.core.correlation.normal_equations import ProductSums
from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError, quoted_text
from convcli.facts.learning import DelayFacts
from convcli.learning.dataset import DataOrigin, open_dataset
from convcli.learning.learn import linear_model
from convcli.learning.least_squares import (
    MOST_WEIGHTS,
    DatasetSums,
    check_weights,
    solved_layer,
    unit_sums,
)
from convcli.learning.pairs import Channels, check_pairs
from convcli.learning.task import Task
from convcli.learning.windows import ProvisionalMeans, SquaredChanges
from convcli.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from convcli.learning.dataset import Dataset
    from convcli.learning.learned_model import LearnedModel
    from convcli.learning.pairs import Pair
    from convcli.places import Place
    from convcli.signals import Medium

    # A file of sums and the number of a unit in it.
    UnitPlace = tuple["SumsFile", int]

FORMAT = "convcli sums 1"
# Most bytes of `about.npy`, so that a damaged file cannot fill the memory.
LONGEST_TEXT = 1 << 26
# The date of all members of the archive, so that equal sums are equal files.
NO_DATE = (1980, 1, 1, 0, 0, 0)
# What damage to an archive, to an array or to the text in JSON raises.
DAMAGES = (
    KeyError,
    ValueError,
    TypeError,
    EOFError,
    OverflowError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class ShareOfInputs:
    """Which share of a list of inputs one of several machines has added up.

    index, count : of the share, from 1, and of all shares
    inputs : how many there are in the whole list
    """

    index: int
    count: int
    inputs: int

    @property
    def others(self) -> Iterator[str]:
        """All shares that have inputs, in the words of `--shard`."""
        for index in range(1, min(self.count, self.inputs) + 1):
            yield f"{index}/{self.count}"


# ---------------------------------------------------------------------------------------- writing


def write_sums(
    task: Task,
    pairs: Sequence[Pair],
    file: IO[bytes],
    on_samples: Callable[[int], None],
    *,
    share: ShareOfInputs | None = None,
) -> int:
    """Write the sums over each pair to a file; return how many windows were added up.

    share : which pairs of a longer list these are

    Raises RequestError and InputError as learning a filter does.
    """
    check_pairs(pairs, task.delay)
    check_weights(task, Channels.of(task, pairs[0]))
    dataset = open_dataset(task, pairs)
    units: list[dict[str, Any]] = []
    windows = 0
    with zipfile.ZipFile(file, "w") as archive:
        for number, sums in enumerate(unit_sums(task, dataset, on_samples)):
            delay = asdict(dataset.delays[number]) if dataset.delays else None
            units.append({"name": pairs[number].name, "delay": delay, **_unit_numbers(sums)})
            for name, array in _arrays(sums).items():
                _write_array(archive, f"{number}/{name}", array)
            windows += sums.train.count + sums.held.count
        about = _description(task, dataset)
        about["units"] = units
        about["share"] = None if share is None else asdict(share)
        _write_description(archive, about)
    return windows


def _description(task: Task, dataset: Dataset) -> dict[str, Any]:
    """The filter that is learned, for `about.npy`."""
    return {
        "format": FORMAT,
        "task": asdict(task),
        "signal": _signal_text(dataset.signal),
        "channels": asdict(dataset.channels),
    }


def _write_description(archive: zipfile.ZipFile, about: Mapping[str, Any]) -> None:
    """Write the filter that is learned and the numbers of each unit, as JSON in `about.npy`."""
    text = json.dumps(about, allow_nan=False).encode()
    _write_array(archive, "about", np.frombuffer(text, np.uint8))


def _arrays(sums: DatasetSums) -> dict[str, Any]:
    """The arrays of a unit by their names in the file."""
    found = {}
    for part, each in (("train", sums.train), ("held", sums.held)):
        found[f"{part}/gram"] = each.gram
        found[f"{part}/cross"] = each.cross
        found[f"{part}/energy"] = each.energy
    if sums.means.known:
        found["means/x"] = np.asarray(sums.means.x, np.float64)
        found["means/y"] = np.asarray(sums.means.y, np.float64)
    return found


def _unit_numbers(sums: DatasetSums) -> dict[str, Any]:
    """The numbers of a unit that are in no array."""
    changes = [[sums.changes[part].sum, sums.changes[part].count] for part in (False, True)]
    return {"skipped": sums.skipped, "changes": changes, "means": sums.means.known}


def _signal_text(signal: Signal) -> dict[str, Any]:
    """The properties of the signals that a model file records."""
    return {
        "medium": signal.medium.name,
        "axes": signal.axes,
        "channels": list(signal.channels),
        "rate": signal.rate,
        "cycle": signal.cycle,
        "full_scale": signal.full_scale,
    }


def _write_array(archive: zipfile.ZipFile, name: str, array: Any) -> None:
    entry = zipfile.ZipInfo(f"{name}.npy", NO_DATE)
    with archive.open(entry, "w", force_zip64=True) as member:
        np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


# ---------------------------------------------------------------------------------------- reading


@dataclass(frozen=True, kw_only=True)
class SumsFile:
    """A file of sums.

    task, signal, channels : of the filter that is learned
    units : name, delay and numbers of each unit; its arrays are read by `sums`
    share : which inputs of a longer list they are; None for a whole list
    """

    path: Place
    task: Task
    signal: Signal
    channels: Channels
    units: Sequence[Mapping[str, Any]]
    share: ShareOfInputs | None = None

    def sums(self, number: int) -> DatasetSums:
        """The sums over a unit. InputError if the file does not hold them."""
        weights = self.channels.weights(self.task.taps)
        outputs = self.channels.outputs
        unit = self.units[number]
        with self.path.open("rb") as file, zipfile.ZipFile(file) as archive:

            def array(name: str, *shape: int) -> Any:
                return _checked_array(self.path, archive, f"{number}/{name}", shape, np.float64)

            def sums_of(part: str) -> ProductSums:
                return ProductSums(
                    gram=array(f"{part}/gram", weights + 1, weights + 1),
                    cross=array(f"{part}/cross", weights + 1, outputs),
                    energy=array(f"{part}/energy", outputs),
                )

            train, held = sums_of("train"), sums_of("held")
            means = ProvisionalMeans()
            if unit["means"]:
                means.known = True
                means.x = array("means/x", self.channels.inputs)
                means.y = array("means/y", outputs)
        changes = _changes_of_unit(unit)
        return DatasetSums(train, held, means, changes, int(unit["skipped"]))

    @property
    def kind(self) -> tuple[Any, ...]:
        """A value that is equal for all files that can be merged."""
        task = replace(self.task, ridge=None)
        signal = self.signal
        return task, self.channels, signal.medium.name, signal.rate, signal.channels


def _changes_of_unit(unit: Mapping[str, Any]) -> dict[bool, SquaredChanges]:
    """The squared changes of the targets of a unit: in training, and held out (True)."""
    changes = {}
    for held_out, (total, count) in zip((False, True), unit["changes"], strict=True):
        change = SquaredChanges()
        change.sum = float(total)
        change.count = int(count)
        changes[held_out] = change
    return changes


def read_sums(path: Place, mediums: Mapping[str, Medium]) -> SumsFile:
    """Read the description in a file of sums. InputError if it is no such file.

    mediums : the mediums by their names
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            text = _checked_array(path, archive, "about", None, np.uint8).tobytes()
        about = json.loads(text)
        return _sums_file(path, about, mediums)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except DAMAGES:
        raise _no_sums(path) from None


def _sums_file(path: Place, about: Mapping[str, Any], mediums: Mapping[str, Medium]) -> SumsFile:
    if about["format"] != FORMAT:
        raise ValueError
    checked = _stored_task(about["task"])
    channels = Channels(**about["channels"])
    signal = _stored_signal(about["signal"], mediums)
    sides = [*checked.taps, int(channels.inputs), int(channels.outputs)]
    if min(sides) < 1 or len(checked.taps) != signal.axes:
        raise ValueError
    if channels.weights(checked.taps) > MOST_WEIGHTS:
        raise ValueError
    if not about["units"]:
        raise ValueError
    for unit in about["units"]:
        _check_unit(unit)
    return SumsFile(
        path=path,
        task=checked,
        signal=signal,
        channels=channels,
        units=about["units"],
        share=_stored_share(about.get("share")),
    )


def _stored_share(stored: Mapping[str, Any] | None) -> ShareOfInputs | None:
    """The share that a file of sums describes. One of `DAMAGES` if it describes none."""
    if stored is None:
        return None
    share = ShareOfInputs(**{name: int(number) for name, number in stored.items()})
    if not 1 <= share.index <= min(share.count, share.inputs):
        raise ValueError
    return share


def _stored_task(stored: Mapping[str, Any]) -> Task:
    """The task that a file of sums describes. One of `DAMAGES` if it describes none."""
    task = dict(stored)
    for name in ("taps", "delay", "inputs", "targets"):
        if task[name] is not None:
            task[name] = tuple(int(number) for number in task[name])
    # `float` raises one of `DAMAGES` for anything but a number.
    for name in ("ahead", "bias", "holdout"):
        float(task[name])
    if task["ridge"] is not None:
        float(task["ridge"])
    return Task(**task)


def _check_unit(unit: Mapping[str, Any]) -> None:
    """Raise one of `DAMAGES` if a unit is not described as `_unit_numbers` does."""
    if not isinstance(unit["name"], str):
        raise TypeError
    _changes_of_unit(unit)
    int(unit["skipped"])
    bool(unit["means"])
    if unit["delay"] is not None:
        _delay_facts(unit["delay"])


def _stored_signal(stored: Mapping[str, Any], mediums: Mapping[str, Medium]) -> Signal:
    """The signal that a file of sums describes. KeyError or ValueError if it describes none."""
    axes = int(stored["axes"])
    return Signal(
        medium=mediums[stored["medium"]],
        shape=(None,) * axes,
        channels=tuple(map(str, stored["channels"])),
        rate=stored["rate"],
        cycle=float(stored["cycle"]),
        full_scale=float(stored["full_scale"]),
    )


def _no_sums(path: Place) -> InputError:
    return InputError(
        f"{path}: holds no sums of convcli learn", hint="convcli learn ... --partial sums.npz"
    )


def _checked_array(
    path: Place,
    archive: zipfile.ZipFile,
    name: str,
    shape: tuple[int, ...] | None,
    dtype: Any,
) -> Any:
    """Read an array after a check of its type and shape. InputError if one of them differs.

    shape : the expected shape; None for a text, one axis of at most LONGEST_TEXT bytes
    """
    damaged = InputError(f"{path}: the sums {quoted_text(name)} are missing or damaged")
    try:
        with archive.open(f"{name}.npy") as member:
            found, found_dtype = _header_of(member)
        if shape is None and len(found) == 1 and found[0] <= LONGEST_TEXT:
            shape = found
        if found == shape and found_dtype == dtype:
            with archive.open(f"{name}.npy") as member:
                return np.lib.format.read_array(member, allow_pickle=False)
    except DAMAGES:
        raise damaged from None
    except OSError as error:
        # A damaged directory may point to a place before the start of the file.
        if error.errno == errno.EINVAL:
            raise damaged from None
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    raise damaged


def _header_of(member: IO[bytes]) -> tuple[tuple[int, ...], Any]:
    """The shape and the type of an array, without its numbers. ValueError if it is not an array."""
    if np.lib.format.read_magic(member) != (1, 0):
        raise ValueError
    shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    return shape, dtype


# ---------------------------------------------------------------------------------------- merging


def merged_model(files: Sequence[SumsFile], ridge: float | None) -> LearnedModel:
    """The filter of least squared error by the sums of all files.

    ridge : its strength; None takes that of the files, which may be the best of several
    Raises RequestError for sums of different tasks or of one unit twice; InputError as in learning.
    """
    places = _unit_places(files)
    if not places:
        raise InputError("the files hold no sums")
    first = files[0]
    task = first.task if ridge is None else replace(first.task, ridge=ridge)
    total = _total_sums(places)
    delays = _merged_delays(places)
    origin = DataOrigin(first.signal, first.channels, delays)
    return linear_model(task, solved_layer(task, origin, total), first.signal)


def missing_shares(files: Sequence[SumsFile]) -> list[str]:
    """The shares of the list of inputs whose sums are in none of the files, as `2/3`."""
    shares = [file.share for file in files if file.share is not None]
    found = {f"{share.index}/{share.count}" for share in shares}
    expected = dict.fromkeys(other for share in shares for other in share.others)
    return [other for other in expected if other not in found]


def _unit_places(files: Sequence[SumsFile]) -> list[UnitPlace]:
    """The units of all files, sorted by name. RequestError for sums that cannot be merged."""
    first = files[0]
    places: dict[str, UnitPlace] = {}
    for file in files:
        if file.kind != first.kind:
            raise RequestError(
                f"{file.path} holds sums of another task than {first.path}",
                hint="all parts are made by one command but for its inputs",
            )
        for number, unit in enumerate(file.units):
            name = unit["name"]
            if name in places:
                text = f"{quoted_text(name)} is in {places[name][0].path} and in {file.path}"
                raise RequestError(f"{text}: it would count twice")
            places[name] = file, number
    return [places[name] for name in sorted(places)]


def _total_sums(places: Sequence[UnitPlace]) -> DatasetSums:
    """Add up the sums of at least one unit, in the order of the places."""
    (file, number), *others = places
    total = file.sums(number)
    for file, number in others:
        total.add(file.sums(number))
    return total


def _merged_delays(places: Sequence[UnitPlace]) -> tuple[DelayFacts, ...]:
    """The measured delays of all units that have one."""
    stored = [file.units[number]["delay"] for file, number in places]
    return tuple(_delay_facts(delay) for delay in stored if delay is not None)


def _delay_facts(stored: Mapping[str, Any]) -> DelayFacts:
    given = dict(stored)
    for name in ("samples", "rival", "limit"):
        if given[name] is not None:
            given[name] = tuple(given[name])
    return DelayFacts(**given)
