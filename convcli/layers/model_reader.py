"""Model files read: safetensors and ONNX become a model, and the step `model` runs it."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, get_args

from convcli.core.binding import Bindable
from convcli.designs.registry import step
from convcli.errors import InputError, RequestError, named_first, quoted_text
from convcli.layers.model import Model
from convcli.layers.tensor_names import (
    AUTO,
    naming_hint,
    parse_layers,
    proposed_layers,
    tensor_list,
    tensors_by_name,
    unknown_names,
    unused_tensors,
    with_names,
)
from convcli.layers.weights import read_metadata, read_weights
from convcli.named_files import named_place
from convcli.signals import Align, LearnedRules, Missing
from convcli.units import Integer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from convcli.layers.model import On
    from convcli.layers.onnx.model import OnnxModel
    from convcli.layers.weights import Tensor, WeightFile
    from convcli.places import Place

SCALED = ("inputs", "outputs")
ONNX_SUFFIX = ".onnx"
TRUTHS = ("true", "false")

# What separates the parts of a name, in whatever library's spelling.
_SEPARATORS = re.compile(r"[\[\]'\"/.]+")
_TENSOR_NAME = re.compile(r"(?:(.*)\.)?(\d+)\.(weight|bias|running_mean|running_var)")


def learned_rules_of(path: str) -> LearnedRules:
    """How the model in a file was learned. InputError for a file that does not say so sanely."""
    return _learned_rules(named_place(path))


def _learned_rules(place: Place) -> LearnedRules:
    if place.suffix.lower() == ONNX_SUFFIX:
        from convcli.layers.onnx.model import read_onnx

        return read_onnx(place).learned
    about = read_metadata(place)
    return LearnedRules(
        align=_known_word(place, about, "align", get_args(Align)),
        missing=_known_word(place, about, "missing", get_args(Missing)),
        columns=_names(place, about.get("columns")),
    )


@step(
    "learned",
    example="model:sample_data/denoise.safetensors",
    correlates=True,
    runs_model=True,
    learned_rules=learned_rules_of,
)
def model(path: str, *, layers: str = "", upto: Integer | None = None) -> Bindable:
    """Run a learned filter or network from a safetensors or ONNX file.

    path : what `convcli learn` or torch wrote: tensors `0.weight` (out, in / groups, k...) and
        `0.bias`, numbered as in torch.nn.Sequential. Or a graph of operations that see a
        neighbourhood of a sample, FILE.onnx, whose layers pad as it says.
    layers : layers="conv:stride=2 | leaky_relu:0.1 | conv", where the file does not say so itself.
        Where tensors have other names, conv(encoder.conv1) says which are those of a layer, and
        layers=auto takes them in the order of their names, with relu between convolutions; layers
        without names take them in that order, too, where it is plain.
    upto : the result is what comes out of the layer of this number, counted from 0: its channels,
        the feature maps.
        conv takes stride=, padding= (a number or same), padding_mode= (zeros, reflect, replicate,
        circular), dilation= and groups=; conv_transpose, batch_norm, prelu, pad, pixel_shuffle,
        pixel_unshuffle and upsample are those of torch; every other layer is a step: the
        activations and the pools (adaptive ones with the bins of torch); flatten | dense is a
        Linear. Without any padding=
        the layers are filters: aligned by --align and extended by --edge once for the whole chain;
        `--edge valid` is what torch computes. With a padding= each layer pads its own input as
        torch does, and one without does not: the answer is that of torch in shape and values, also
        under `--edge valid`, which other steps keep to; with --align causal all of the padding
        comes first. Pictures enter as 0 ... 1 and leave so; columns in the scaling that the
        file carries, if it does, and as changes where it says `on: differences`. One channel in and
        out: every channel of the signal is filtered by itself. Alignment, missing rule and columns
        are those that the file was learned with, unless others are asked for. Raises InputError for
        a file that is no valid safetensors, RequestError where model and signal do not fit.
    """
    found = read_model(named_place(path), layers=layers)
    if upto is None:
        return found
    return found.up_to(upto)


def read_model(path: Place, *, layers: str = "") -> Model | OnnxModel:
    """The model in a file; `layers` overrules what the file says of them."""
    if path.suffix.lower() == ONNX_SUFFIX:
        if layers:
            raise RequestError(f"{path} says its own layers", hint="leave layers= out")
        from convcli.layers.onnx.model import read_onnx

        return read_onnx(path)
    return read_safetensors(path, layers=layers)


def read_safetensors(path: Place, *, layers: str = "") -> Model:
    """The model in a safetensors file; `layers` overrules what the file says of them."""
    file = read_weights(path)
    text, guessed = _layers_of(path, file, layers)
    tensors, unused = _tensors_of(path, file, text)
    if not text:
        weight = tensors[min(tensors)].get("weight")
        if list(tensors) != [0] or weight is None or weight.ndim < 3:
            raise _unsaid_layers(path, file)
        text = "conv"
    return Model(
        path=str(path),
        layers=text,
        tensors=tensors,
        rate=_positive(path, file.metadata, "rate", "samples per second"),
        cycle=_positive(path, file.metadata, "cycle", "seconds") or 1.0,
        medium=file.metadata.get("medium"),
        learned=_learned_rules(path),
        targets=_names(path, file.metadata.get("targets")),
        scaling=_scaling(path, file.metadata.get("scaling")),
        on=_on(path, file.metadata),
        residual=_known_word(path, file.metadata, "residual", TRUTHS) == "true",
        about=file.metadata,
        guessed=guessed,
        unused=unused,
    )


def _layers_of(path: Place, file: WeightFile, layers: str) -> tuple[str, str]:
    """The layers as asked for or as the file says, and what of them is guessed; both may be empty.

    Raises RequestError for `auto` where the layers do not follow from the tensors.
    """
    text = layers or file.metadata.get("layers") or ""
    if text == AUTO:
        proposed = proposed_layers(_cleaned(path, file))
        if proposed is None:
            raise _no_plain_order(path, file)
        return proposed, "its activations"
    if text:
        named = _named_by_order(path, file, text)
        if named is not None:
            return named, "the order of its layers"
    return text, ""


def _named_by_order(path: Place, file: WeightFile, text: str) -> str | None:
    """Layers without names, with those of the tensors where these are plain but not numbered.

    None where the layers have names, or the tensors numbers, or their order is not plain.
    """
    layers = parse_layers(text)
    if any(layer.name is not None for layer in layers):
        return None
    tensors = _cleaned(path, file)
    numbered = [_TENSOR_NAME.fullmatch(name) for name in tensors]
    one_network = len({found[1] for found in numbered if found is not None}) == 1
    if (None not in numbered and one_network) or set(tensors) <= {"weight", "bias"}:
        return None
    return with_names(tensors, layers)


def _tensors_of(
    path: Place, file: WeightFile, layers: str
) -> tuple[dict[int, dict[str, Tensor]], tuple[str, ...]]:
    """The tensors by the number of their layer, and the names of those of no layer.

    layers : as written, empty where they are not known
    """
    named = parse_layers(layers) if layers else []
    if all(layer.name is None for layer in named):
        return _by_layer(path, file), ()
    tensors = _cleaned(path, file)
    unused = unused_tensors(tensors, named)
    return tensors_by_name(path, tensors, named), tuple(unused)


def _unsaid_layers(path: Place, file: WeightFile) -> RequestError:
    """The error for a file that does not name its layers: it lists the tensors, proposes layers."""
    tensors = _cleaned(path, file)
    message = f"{path} does not say what its layers are; it has {tensor_list(tensors)}"
    proposal = proposed_layers(tensors)
    hint = f'model:{path},layers="conv|relu|conv"'
    if proposal is not None:
        hint = f'if the activations are right: model:{path},layers="{proposal}"'
    return RequestError(message, hint=hint)


def _no_plain_order(path: Place, file: WeightFile) -> RequestError:
    names = named_first([quoted_text(name)[1:-1] for name in file.tensors])
    message = f"the layers of {path} do not follow from its tensors: {names}"
    return RequestError(message, hint='layers="conv(NAME) | relu | conv(NAME)" says them')


def _cleaned(path: Place, file: WeightFile) -> dict[str, Tensor]:
    """The tensors by names whose parts are separated by dots, in whatever library's spelling."""
    tensors = {
        _SEPARATORS.sub(".", name).strip("."): tensor for name, tensor in file.tensors.items()
    }
    if len(tensors) < len(file.tensors):
        raise _several_networks(path, file.tensors, file.tensors)
    return tensors


def _by_layer(path: Place, file: WeightFile) -> dict[int, dict[str, Tensor]]:
    """The tensors by the number of their layer.

    Names may have a common prefix (`net.0.weight`) or be bare.

    jax.tree_util.keystr writes the path of a leaf as `.layers[0].weight` or
    `['layers'][0]['weight']`.
    """
    tensors = _cleaned(path, file)
    if set(tensors) <= {"weight", "bias"} and "weight" in tensors:
        return {0: tensors}
    layers: dict[int, dict[str, Tensor]] = {}
    prefixes = set()
    for name, tensor in tensors.items():
        match = _TENSOR_NAME.fullmatch(name)
        if match is None:
            raise unknown_names(path, tensors)
        prefix, number, kind = match.groups()
        prefixes.add(str(prefix))
        layers.setdefault(int(number), {})[kind] = tensor
    if len(prefixes) > 1:
        raise _several_networks(path, sorted(prefixes), tensors)
    for number, layer in layers.items():
        if not layer.keys() & {"weight", "running_mean"}:
            (name, *_) = layer
            raise InputError(f"{path}: {number}.{name} has no {number}.weight")
    return dict(sorted(layers.items()))


def _several_networks(
    path: Place, names: Iterable[str], tensors: Mapping[str, Tensor]
) -> InputError:
    known = named_first([quoted_text(name)[1:-1] for name in names])
    return InputError(f"{path}: holds several networks: {known}", hint=naming_hint(path, tensors))


def _known_word(path: Place, about: Mapping[str, str], name: str, known: tuple[Any, ...]) -> Any:
    """One of the known words in the metadata, or None where the file has none."""
    word = about.get(name)
    if word is not None and word not in known:
        given = quoted_text(word)
        message = f"{path}: the {name} in its metadata is {given}, expected {' or '.join(known)}"
        raise InputError(message)
    return word


def _positive(path: Place, metadata: Mapping[str, str], name: str, unit: str) -> float | None:
    """The number under a name; None without one. InputError for a number that is not above 0."""
    text = metadata.get(name)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e15:
        given = quoted_text(text)
        raise InputError(f"{path}: the {name} in its metadata is {given}, expected {unit}")
    return number


def _names(path: Place, text: str | None) -> tuple[str, ...]:
    """The names in a list, as JSON."""
    try:
        names = [] if text is None else json.loads(text)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        given = quoted_text(text)
        raise InputError(f"{path}: expected a list of names in its metadata, got {given}")
    return tuple(names)


def _on(path: Place, about: Mapping[str, str]) -> On:
    """What the network sees.

    The level that a predicted change is added to is one of its columns.
    """
    on = about.get("on", "levels")
    columns, targets = (_names(path, about.get(name)) for name in ("columns", "targets"))
    if on == "levels":
        return "levels"
    if on != "differences" or len(targets) != 1 or targets[0] not in columns:
        quoted = [quoted_text(target)[1:-1] for target in targets]
        of = named_first(quoted) or "nothing"
        message = f"{path}: its metadata says on {quoted_text(on)} of {of}"
        raise InputError(f"{message}; expected levels, or differences of one of its columns")
    return "differences"


def _scaling(path: Place, text: str | None) -> dict[str, tuple[tuple[float, float], ...]]:
    """Means and units, as JSON: {"inputs": [[mean, unit], ...], "outputs": [[mean, unit], ...]}."""
    if text is None:
        return {}
    try:
        found = json.loads(text)
        scaling = {
            name: tuple((float(mean), float(unit)) for mean, unit in found[name]) for name in SCALED
        }
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        scaling = {}
    pairs = [pair for some in scaling.values() for pair in some]
    are_valid = all(
        math.isfinite(mean) and math.isfinite(unit) and unit > 0 for mean, unit in pairs
    )
    if not pairs or not are_valid:
        expected = "expected a mean and a unit above 0 for each column in its scaling"
        raise InputError(f"{path}: {expected}, got {quoted_text(text)}")
    return scaling
