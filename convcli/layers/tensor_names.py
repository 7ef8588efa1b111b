"""Networks whose tensors have names of their own: `conv(first) | relu | conv(second)`.

The name in parentheses is what the tensors of a layer begin with: `first.weight`, `first.bias`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice
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
TENSOR_KINDS = ("weight", "bias", "running_mean", "running_var")

# Kinds of layers that are recognised by their tensors.
_GUESSED = frozenset({"conv", "conv_transpose", "batch_norm", "prelu"})

# Beginnings of networks that are tried to find the order of layers, and orders that may fit.
MOST_CHAINS, MOST_ORDERS = 10_000, 100

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
        kind = found["kind"]
        blanks = len(found[0]) - len(kind)
        return kind + " " * blanks

    calls = parse(_NAMED_LAYER.sub(without_name, text))
    return [NamedCall(replace(call, source=text), names.get(call.at)) for call in calls]


def tensors_by_name(
    path: Place, tensors: Mapping[str, Tensor], layers: list[NamedCall]
) -> dict[int, dict[str, Tensor]]:
    """The tensors of each layer that names them, by its number.

    Raises InputError where a name is that of no tensor; it lists the tensors.
    """
    found: dict[int, dict[str, Tensor]] = {}
    for number, layer in enumerate(layers):
        if layer.name is None:
            continue
        own = {
            kind: tensors[f"{layer.name}.{kind}"]
            for kind in TENSOR_KINDS
            if f"{layer.name}.{kind}" in tensors
        }
        if not own:
            text = f"no tensor of {path} begins with {quoted_text(layer.name)}"
            raise InputError(f"{text}; it has {tensor_list(tensors)}")
        found[number] = own
    return found


def unused_tensors(tensors: Mapping[str, Tensor], layers: list[NamedCall]) -> list[str]:
    """The names of the tensors that belong to none of the layers."""
    taken = {f"{layer.name}.{kind}" for layer in layers for kind in TENSOR_KINDS}
    return [name for name in tensors if name not in taken]


def with_names(tensors: Mapping[str, Tensor], layers: list[NamedCall]) -> str | None:
    """The text of layers without names, with the names of the tensors in their plain order.

    None where the order is not plain, or where other layers have tensors than in the file.
    """
    found = _ordered_layers(tensors)
    weighted = [number for number, layer in enumerate(layers) if layer.call.name in _GUESSED]
    if not found or [layer.kind for layer in found] != [layers[n].call.name for n in weighted]:
        return None
    texts = [layer.call.text for layer in layers]
    for number, layer in zip(weighted, found, strict=True):
        arguments = texts[number].removeprefix(layer.kind)
        texts[number] = f"{layer.kind}({layer.name}){arguments}"
    return " | ".join(texts)


def unknown_names(path: Place, tensors: Mapping[str, Tensor]) -> InputError:
    """The error for tensors with names of their own, which proposes layers where they are plain."""
    text = f"{path}: expected tensors called 0.weight, 0.bias, 2.weight, ..."
    return InputError(f"{text}, got {tensor_list(tensors)}", hint=naming_hint(path, tensors))


def naming_hint(path: Place, tensors: Mapping[str, Tensor]) -> str:
    """The hint how layers are named, with those of the tensors where their order is plain."""
    if any(".parametrizations." in f".{name}" for name in tensors):
        return "torch.nn.utils.parametrize.remove_parametrizations before saving"
    layers = proposed_layers(tensors)
    if layers is None:
        named = 'name them: layers="conv(NAME) | relu | conv(NAME)"'
        return f"{named}; a network with branches runs from an ONNX file (torch.onnx.export)"
    return f'if the activations are right: model:{path},layers="{layers}"'


def tensor_list(tensors: Mapping[str, Tensor]) -> str:
    """The first names with their shapes."""
    names = sorted(tensors, key=_natural)
    return named_first([f"{quoted_text(name)[1:-1]} {tensors[name].shape}" for name in names])


def proposed_layers(tensors: Mapping[str, Tensor]) -> str | None:
    """Layers in a plain order, in which the channels of each are those of the next.

    The order is plain if the names differ in their numbers alone (or are single letters), or if
    every other order that fits has more channels at its ends. Activations are not in a file: a
    rectifier is put between convolutions that nothing else separates, unless their numbers in a
    Sequential follow each other. None where the order is not plain.
    """
    layers = _ordered_layers(tensors)
    if not layers:
        return None
    numbered = all(layer.name.isdecimal() for layer in layers)
    texts: list[str] = []
    separated = True
    last = -1
    for layer in layers:
        if numbered:
            number = int(layer.name)
            separated = number == last + 1
            last = number
        if layer.convolves and not separated:
            texts.append("relu")
        separated = layer.kind == "prelu" or (separated and not layer.convolves)
        texts.append(f"{layer.kind}({layer.name})")
    return " | ".join(texts)


@dataclass(frozen=True)
class _GuessedLayer:
    """A layer, found by the names of its tensors.

    inputs, outputs : channels; None: as many as come
    """

    kind: str
    name: str
    inputs: int | None
    outputs: int | None

    @property
    def convolves(self) -> bool:
        """Whether an activation may follow: the layer is a convolution, transposed or not."""
        return self.kind.startswith("conv")


def _ordered_layers(tensors: Mapping[str, Tensor]) -> list[_GuessedLayer]:
    """The layers in the order in which they run; none where it is not plain."""
    names = sorted({name.rpartition(".")[0] for name in tensors}, key=_natural)
    guesses = {}
    for name in names:
        own = {kind: tensors.get(f"{name}.{kind}") for kind in TENSOR_KINDS}
        guesses[name] = list(_guessed_layers(name, own))
    words = {_DIGITS.sub("", name) for name in names}
    if len(words) == 1 or max(map(len, words)) <= 1:
        return next(_fitting_chains(guesses, names), [])
    found = list(islice(_fitting_chains(guesses), MOST_ORDERS + 1))
    if not found or len(found) > MOST_ORDERS:
        return []
    # A network mostly reads and makes few channels, and has more of them in between.
    ends = [_channels_at_ends(chain) for chain in found]
    if ends.count(min(ends)) > 1:
        return []
    return found[ends.index(min(ends))]


def _channels_at_ends(chain: list[_GuessedLayer]) -> int:
    """The channels that a network reads and makes, added up."""
    inputs = next((layer.inputs for layer in chain if layer.inputs), 0)
    outputs = next((layer.outputs for layer in reversed(chain) if layer.outputs), 0)
    return inputs + outputs


def _fitting_chains(
    guesses: Mapping[str, list[_GuessedLayer]], order: list[str] | None = None
) -> Iterator[list[_GuessedLayer]]:
    """Yield chains of all layers in which channels fit; at most `MOST_CHAINS` beginnings are tried.

    order : of the names; None tries every order
    """
    budget = MOST_CHAINS
    begun: list[list[_GuessedLayer]] = [[]]
    while begun and budget:
        budget -= 1
        chain = begun.pop()
        if len(chain) == len(guesses):
            yield chain
            continue
        used = {layer.name for layer in chain}
        names = [name for name in guesses if name not in used]
        if order is not None:
            names = [order[len(chain)]]
        coming = next((each.outputs for each in reversed(chain) if each.outputs), None)
        candidates = [layer for name in names for layer in guesses[name]]
        fitting = [each for each in candidates if coming is None or each.inputs in {None, coming}]
        # The last one is tried first.
        begun += [[*chain, layer] for layer in reversed(fitting)]


def _guessed_layers(name: str, own: Mapping[str, Tensor | None]) -> Iterator[_GuessedLayer]:
    """Yield what a layer with these tensors may be, the likeliest first."""
    weight, bias, mean = own["weight"], own["bias"], own["running_mean"]
    if mean is not None:
        yield _GuessedLayer("batch_norm", name, mean.size, mean.size)
        return
    if weight is None or weight.ndim in {0, 2}:
        return
    if weight.ndim == 1:
        channels = weight.size if weight.size > 1 else None
        if bias is None:
            yield _GuessedLayer("prelu", name, channels, channels)
        return
    first, second = weight.shape[:2]
    if bias is None or bias.size == first:
        yield _GuessedLayer("conv", name, second, first)
    if first != second and (bias is None or bias.size == second):
        yield _GuessedLayer("conv_transpose", name, first, second)


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts conv2 before conv10."""
    parts = _DIGITS.split(name)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
