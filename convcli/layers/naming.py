"""Networks whose tensors have names of their own: `conv(first) | relu | conv(second)`.

The name in parentheses is what the tensors of a layer begin with: `first.weight`, `first.bias`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from convcli.dataclass import dataclass
from convcli.errors import InputError, named_first, quoted_text
from convcli.planning.grammar import parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from convcli.layers.weights import Tensor
    from convcli.places import Place
    from convcli.planning.calls import Call

# The word that asks for layers in the order of the names.
AUTO = "auto"
# What a tensor of a layer is called behind the name of the layer.
KINDS = ("weight", "bias", "running_mean", "running_var")

_NAMED_LAYER = re.compile(r"(?<![\w.\"=])(?P<kind>[A-Za-z_]\w*)\((?P<name>[^()|]*)\)")
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class NamedCall:
    """A layer as written, and what its tensors begin with; None where it does not say so."""

    call: Call
    name: str | None


def parse_layers(text: str) -> list[NamedCall]:
    """The layers of `conv(first):stride=2 | relu`. RequestError points at what is wrong."""
    names = {found.start(): found["name"].strip() for found in _NAMED_LAYER.finditer(text)}

    def without_name(found: re.Match[str]) -> str:
        # Spaces keep every layer at its place in the text.
        return found["kind"] + " " * (len(found[0]) - len(found["kind"]))

    calls = parse(_NAMED_LAYER.sub(without_name, text))
    return [NamedCall(replace(call, source=text), names.get(call.at)) for call in calls]


def tensors_by_name(
    path: Place, tensors: Mapping[str, Tensor], layers: list[NamedCall]
) -> dict[int, dict[str, Tensor]]:
    """The tensors of each layer that names them, by its number.

    InputError where a name is that of no tensor; it lists the tensors.
    """
    found: dict[int, dict[str, Tensor]] = {}
    for number, layer in enumerate(layers):
        if layer.name is None:
            continue
        own = {
            kind: tensors[f"{layer.name}.{kind}"]
            for kind in KINDS
            if f"{layer.name}.{kind}" in tensors
        }
        if not own:
            told = f"no tensor of {path} begins with {quoted_text(layer.name)}"
            raise InputError(f"{told}; it has {tensor_list(tensors)}")
        found[number] = own
    return found


def unused_tensors(tensors: Mapping[str, Tensor], layers: list[NamedCall]) -> list[str]:
    """The names of the tensors that belong to none of the layers."""
    taken = {f"{layer.name}.{kind}" for layer in layers for kind in KINDS}
    return [name for name in tensors if name not in taken]


def unknown_names(path: Place, tensors: Mapping[str, Tensor]) -> InputError:
    """The error for tensors with names of their own, which proposes layers where they are plain."""
    told = f"{path}: expected tensors called 0.weight, 0.bias, 2.weight, ..."
    proposal = proposed_layers(tensors)
    hint = 'name them: layers="conv(NAME) | relu | conv(NAME)"'
    if proposal is not None:
        hint = f'if the activations are right: model:{path},layers="{proposal}"'
    return InputError(f"{told}, got {tensor_list(tensors)}", hint=hint)


def tensor_list(tensors: Mapping[str, Tensor]) -> str:
    """The first names with their shapes."""
    names = sorted(tensors, key=_natural)
    return named_first([f"{quoted_text(name)[1:-1]} {tensors[name].shape}" for name in names])


def proposed_layers(tensors: Mapping[str, Tensor]) -> str | None:
    """Layers in the order of their names, if the channels of each are those of the next.

    Activations are not in a file: a rectifier is put between convolutions that nothing else
    separates, unless their numbers in a Sequential follow each other. None where the order is not
    plain.
    """
    numbered = all(name.split(".")[0].isdecimal() for name in tensors)
    layers = list(_guessed_layers(tensors))
    if not layers or None in layers:
        return None
    texts: list[str] = []
    separated = True
    last = -1
    for layer in layers:
        text = str(layer)
        if numbered:
            number = int(text.partition("(")[2].rstrip(")"))
            separated = number == last + 1
            last = number
        convolves = text.startswith("conv")
        if convolves and not separated:
            texts.append("relu")
        separated = text.startswith("prelu") or (separated and not convolves)
        texts.append(text)
    return " | ".join(texts)


def _guessed_layers(tensors: Mapping[str, Tensor]) -> Iterator[str | None]:
    """Yield each named layer as written; None for one whose kind or place is not plain."""
    channels: int | None = None
    names = {name.rpartition(".")[0] for name in tensors}
    for name in sorted(names, key=_natural):
        own = {kind: tensors.get(f"{name}.{kind}") for kind in KINDS}
        guess = _guessed_layer(own, channels)
        if guess is None:
            yield None
            return
        kind, channels = guess
        yield f"{kind}({name})"


def _guessed_layer(
    own: Mapping[str, Tensor | None], channels: int | None
) -> tuple[str, int] | None:
    """The kind of a layer and how many channels it makes of `channels`; None if it is not plain."""
    weight, mean = own["weight"], own["running_mean"]
    if mean is not None:
        return ("batch_norm", mean.size) if channels in {None, mean.size} else None
    if weight is None or weight.ndim in {0, 2}:
        return None
    if weight.ndim == 1:
        plain = own["bias"] is None and channels is not None and weight.size in {1, channels}
        return ("prelu", channels) if plain and channels is not None else None
    if channels in {None, weight.shape[1]}:
        return "conv", weight.shape[0]
    if channels == weight.shape[0]:
        return "conv_transpose", weight.shape[1]
    return None


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts conv2 before conv10."""
    parts = _DIGITS.split(name)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
