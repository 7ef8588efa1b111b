"""Weights in files: safetensors, read with every size checked first, and never unpickled.

A file is the length of its header (8 bytes, little-endian), the header, and the numbers. The header
is JSON: the type, the shape and the place of each tensor, and a map of texts called `__metadata__`.
https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import json
import math
from dataclasses import field
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from convcli.array_types import FloatArray
from convcli.dataclass import dataclass
from convcli.errors import InputError, quoted_text
from convcli.named_files import opened_named
from convcli.samples import in_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.array_types import AnyArray
    from convcli.places import Place

Tensor = FloatArray

LARGEST_HEADER = 100_000_000
EXPECTED = "a model in a safetensors file"
LARGEST_FILE = 1 << 31
# The weights of a convolution over three axes have five. NumPy ends at 64.
MOST_AXES = 8
# How weights may be stored. BF16 is the upper half of a float32.
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
METADATA = "__metadata__"
# torch counts the batches that a batch normalisation has seen; running it takes no count.
COUNTER = "num_batches_tracked"
COUNTER_BYTES = 8
WRITER_HINT = "save_file of safetensors.torch, safetensors.flax or safetensors.numpy writes one"
# How other files with weights begin, and what they are.
OTHERS = {
    b"\x93NUMPY": "NumPy arrays without names, as equinox.tree_serialise_leaves writes them",
    b"PK\x03\x04": "a zip archive, as torch.save and numpy.savez write it",
    b"\x80": "a pickle, and nothing is ever unpickled",
    b"\x89HDF": "HDF5, as Keras writes it",
}


@dataclass(frozen=True)
class WeightFile:
    """Named tensors, as float64, and what the file says about itself."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_metadata(path: Place) -> dict[str, str]:
    """What a safetensors file says about itself, without its tensors. InputError as for those."""
    with opened_named(path, expected=EXPECTED, most=LARGEST_FILE) as (file, size):
        header = _header(path, size, file)
    return _metadata(path, header.get(METADATA, {}))


def read_weights(path: Place) -> WeightFile:
    """Read a safetensors file. InputError if it is not valid or holds infinite numbers."""
    with opened_named(path, expected=EXPECTED, most=LARGEST_FILE) as (file, size):
        header = _header(path, size, file)
        metadata = _metadata(path, header.pop(METADATA, {}))
        _check_places(path, header, size - file.tell())
        data = file.read()
    tensors = {
        name: _tensor(path, name, entry, data)
        for name, entry in header.items()
        if not _counts(name, entry)
    }
    return WeightFile(tensors, metadata)


def _counts(name: str, entry: Any) -> bool:
    """Whether a tensor is a counter, which is not a weight."""
    return name.endswith(COUNTER) and isinstance(entry, dict) and entry.get("dtype") == "I64"


def _bad(path: Place, why: str) -> InputError:
    return InputError(f"{path}: not a valid safetensors file: {why}", hint=WRITER_HINT)


def _header(path: Place, size: int, file: IO[bytes]) -> dict[str, Any]:
    """The header of a file of `size` bytes, which is then read up to the numbers."""
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    _check_header_length(path, prefix, length, size)
    try:
        header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_each_once)
    except _TwiceError as error:
        raise _bad(path, f"its header says {quoted_text(error.args[0])} twice") from None
    except (ValueError, RecursionError):
        raise _bad(path, "its header is not JSON") from None
    if not isinstance(header, dict):
        raise _bad(path, "its header is not a map of names to tensors")
    return header


def _check_header_length(path: Place, prefix: bytes, length: int, size: int) -> None:
    if length > size:
        for start, what in OTHERS.items():
            if prefix.startswith(start):
                message = f"{path}: expected a safetensors file, got {what}"
                raise InputError(message, hint=WRITER_HINT)
    if len(prefix) < 8:
        raise _bad(path, f"it has {len(prefix)} bytes, and the length of the header alone takes 8")
    said = f"header is said to have {length:,} bytes"
    if length > LARGEST_HEADER:
        raise _bad(path, f"its {said}, and at most {LARGEST_HEADER:,} are read")
    if 8 + length > size:
        raise _bad(path, f"truncated: the {said}, and {size - 8:,} are there")


class _TwiceError(Exception):
    """A name that occurs twice in one map."""


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _TwiceError(name)
        found[name] = value
    return found


def _metadata(path: Place, found: Any) -> dict[str, str]:
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise _bad(path, f"{METADATA} is not a map of texts")
    return found


def _check_places(path: Place, header: dict[str, Any], length: int) -> None:
    """Every entry well formed, and the tensors side by side from the first byte to the last."""
    places = sorted(_tensor_place(path, name, entry) for name, entry in header.items())
    end = 0
    for start, stop, name in places:
        if start != end:
            text = f"{quoted_text(name)} begins at byte {start:,} of the data"
            raise _bad(path, f"{text}, expected {end:,}")
        end = stop
    if end > length:
        raise _bad(path, f"truncated: the tensors take {end:,} bytes, and {length:,} are there")
    if end < length:
        raise _bad(path, f"{length - end:,} bytes follow the last tensor")
    if not places:
        raise _bad(path, "it holds no tensor")


def _tensor_place(path: Place, name: str, entry: Any) -> tuple[int, int, str]:
    """Where a tensor begins and ends, and its name, if it takes as much room as its shape says."""
    called = quoted_text(name)
    if not isinstance(entry, dict):
        entry = {}
    shape, offsets, kind = (entry.get(key) for key in ("shape", "data_offsets", "dtype"))
    if not _are_whole_numbers(shape) or not _are_whole_numbers(offsets):
        raise _bad(path, f"the entry of {called} has no shape and data_offsets of whole numbers")
    counts = _counts(name, entry)
    if not counts and (not isinstance(kind, str) or kind not in TYPES):
        known = ", ".join(TYPES)
        raise _bad(path, f"{called} is stored as {quoted_text(kind)}; weights are one of {known}")
    if len(offsets) != 2:
        raise _bad(path, f"the data_offsets of {called} are not two")
    _check_tensor_shape(path, called, shape)
    start, stop = offsets
    item = COUNTER_BYTES if counts else np.dtype(TYPES[kind]).itemsize
    wanted = math.prod(shape) * item
    if stop - start != wanted:
        message = f"{called} of shape {shape} takes {wanted:,} bytes, not {stop - start:,}"
        raise _bad(path, message)
    return start, stop, name


def _check_tensor_shape(path: Place, called: str, shape: list[int]) -> None:
    """Refuse a shape that no weights have, whatever the file holds for it."""
    if len(shape) > MOST_AXES:
        raise _bad(
            path, f"{called} has {len(shape):,} dimensions; weights have at most {MOST_AXES}"
        )
    if 0 in shape:
        raise _bad(path, f"{called} of shape {quoted_text(shape)} holds nothing")


def _are_whole_numbers(numbers: Any) -> bool:
    """Whether these are a list of whole numbers that may be sizes or places in a file."""
    if not isinstance(numbers, list):
        return False
    are_sizes = (type(n) is int and 0 <= n <= LARGEST_FILE for n in numbers)
    return all(are_sizes)


def _tensor(path: Place, name: str, entry: dict[str, Any], data: bytes) -> Tensor:
    start, _ = entry["data_offsets"]
    shape = entry["shape"]
    count = math.prod(shape)
    stored: AnyArray = np.frombuffer(data, TYPES[entry["dtype"]], count, start)
    if entry["dtype"] == "BF16":
        stored = (stored.astype(np.uint32) << 16).view(np.float32)
    tensor = in_type(stored, np.float64).reshape(shape)
    infinite = np.argwhere(~np.isfinite(tensor))
    if len(infinite):
        place = ", ".join(str(i) for i in infinite[0])
        message = f"{path}: {quoted_text(name)[1:-1]}[{place}] is not finite"
        raise InputError(message, hint="its training has diverged: train it anew")
    return tensor


def encode_weights(tensors: Mapping[str, AnyArray], metadata: Mapping[str, str]) -> bytes:
    """Encode float32 and float64 tensors, in the order of their names, and texts.

    The numbers begin at a multiple of 8 bytes, so that others can map them.
    """
    header: dict[str, Any] = {}
    if metadata:
        header[METADATA] = dict(metadata)
    parts: list[bytes] = []
    end = 0
    for name, tensor in sorted(tensors.items()):
        kind = "F32" if tensor.dtype == np.float32 else "F64"
        parts.append(np.ascontiguousarray(tensor, TYPES[kind]).tobytes())
        header[name] = {
            "dtype": kind,
            "shape": list(tensor.shape),
            "data_offsets": [end, end + len(parts[-1])],
        }
        end += len(parts[-1])
    text = json.dumps(header, ensure_ascii=True, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)
