"""Run the lines of PyTorch and Equinox that `convcli explain` prints, and store what they compute.

    pip install torch equinox
    python tests/reference/make_lines.py

writes lines.json beside this file. Made with torch 2.14.1 and equinox 0.13.8 on jax 0.10.2.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from convcli.checking.explain import explain_filter  # noqa: E402
from convcli.layers.weights import encode_weights  # noqa: E402

# FILTER, shape of the signal with its channels, edge rule, alignment.
CASES: list[tuple[str, tuple[int, ...], str, str]] = [
    ("kernel:1,2,3,4", (9, 1), "zero", "center"),
    ("correlate:3,1,2", (9, 1), "edge", "causal"),
    ("box:3", (8, 1), "reflect", "center"),
    ("correlate:1,2,3 | leaky_relu:0.1", (7, 1), "valid", "center"),
    ("kernel:1,-2,1 | sigmoid", (7, 1), "wrap", "center"),
    ("kernel:1,-2,1,stride=2 | tanh", (7, 1), "zero", "causal"),
    ("kernel:1,2,3;4,5,6", (5, 6, 1), "zero", "center"),
    ("correlate:1,2;3,-4 | relu", (4, 5, 1), "edge", "causal"),
    ("box:3", (6, 2), "zero", "center"),
    ("@layers", (9, 2), "valid", "center"),
    ("@network", (9, 1), "zero", "center"),
    ("@network", (9, 1), "reflect", "center"),
    ("@plane", (5, 6, 3), "valid", "center"),
]
# The layers of the models in CASES, with the shapes of their weights.
MODELS: dict[str, tuple[str, dict[str, tuple[int, ...]]]] = {
    "@layers": (
        "conv:stride=2,dilation=2,padding=2,groups=2",
        {"0.weight": (4, 1, 3), "0.bias": (4,)},
    ),
    "@network": (
        "conv | leaky_relu:0.1 | conv",
        {"0.weight": (3, 1, 3), "0.bias": (3,), "2.weight": (1, 3, 3), "2.bias": (1,)},
    ),
    "@plane": ("conv:padding=1,padding_mode=replicate", {"0.weight": (2, 3, 3, 3)}),
}


def explained(folder: Path, number: int) -> tuple[Any, Any]:
    """The signal of a case, (n, channels) or (rows, columns, channels), and its explanation."""
    text, shape, edge, align = CASES[number]
    rng = np.random.default_rng(number)
    x = rng.integers(-9, 10, shape).astype(float)
    if text in MODELS:
        layers, shapes = MODELS[text]
        tensors = {name: rng.integers(-4, 5, size).astype(float) for name, size in shapes.items()}
        path = folder / f"{number}.safetensors"
        path.write_bytes(encode_weights(tensors, {"layers": layers}))
        text = f"model:{path}"
    elif ",stride=2" in text:
        text = text.replace(",stride=2", "")
        text = text.replace(" | tanh", " | stride:2 | tanh")
    options: Any = {"edge": edge, "align": align}
    return x, explain_filter(text, x, axes=len(shape) - 1, **options)


def of_torch(text: str, x: Any) -> Any:
    """What the line of PyTorch computes."""
    import torch
    from torch.nn import functional

    call, _, meanings = text.partition(" with ")
    axes = x.ndim - 1
    names: dict[str, Any] = {"x": torch.tensor(np.moveaxis(x, -1, 0))}
    for meaning in meanings.split("; "):
        name, _, value = meaning.partition(" = ")
        numbers, _, divisor = value.partition(" / ")
        tensor = torch.tensor(json.loads(numbers), dtype=torch.float64) / float(divisor or 1)
        if name.startswith("w") and tensor.ndim == axes:
            tensor = tensor.expand(1, 1, *tensor.shape)
        names[name] = tensor
    for name in ("conv1d", "conv2d", "pad", "relu", "leaky_relu", "sigmoid", "tanh"):
        names[name] = getattr(functional, name)
    return eval(call, names).numpy()


def of_equinox(text: str, x: Any) -> Any:
    """What the line of Equinox computes."""
    import equinox
    import jax

    jax.config.update("jax_enable_x64", val=True)
    call, _, meanings = text.partition(" with ")
    names: dict[str, Any] = {"x": jax.numpy.asarray(np.moveaxis(x, -1, 0))}
    for name in ("relu", "leaky_relu", "sigmoid", "tanh"):
        names[name] = getattr(jax.nn, name)
    for meaning in meanings.split("; "):
        name, _, value = meaning.partition(" = ")
        layer, _, field = name.partition(".")
        if not field:
            made = re.sub(r"\)$", ", key=jax.random.PRNGKey(0))", value)
            names[layer] = eval(made, vars(equinox.nn) | {"jax": jax})
            continue
        numbers, _, divisor = value.partition(" / ")
        array = jax.numpy.asarray(json.loads(numbers), dtype="float64") / float(divisor or 1)
        names[layer] = equinox.tree_at(lambda one, f=field: getattr(one, f), names[layer], array)
    return np.asarray(eval(call, names))


def main() -> None:
    """Write lines.json."""
    import tempfile

    stored = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(len(CASES)):
            x, facts = explained(Path(folder), number)
            case: dict[str, Any] = {"torch": facts.torch, "equinox": facts.equinox}
            if facts.torch:
                case["torch_result"] = of_torch(facts.torch, x).tolist()
            if facts.equinox:
                case["equinox_result"] = of_equinox(facts.equinox, x).tolist()
            stored.append(case)
    (HERE / "lines.json").write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
