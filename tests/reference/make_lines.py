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
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from explained_lines import CASES, explained  # noqa: E402


def of_torch(text: str, x: Any) -> Any:
    """What the line of PyTorch computes."""
    import torch
    from torch.nn import functional

    call, _, meanings = text.partition(" with ")
    axes = x.ndim - 1
    names: dict[str, Any] = {"x": torch.tensor(np.moveaxis(x, -1, 0))}
    for meaning in filter(None, meanings.split("; ")):
        name, _, value = meaning.partition(" = ")
        numbers, _, divisor = value.partition(" / ")
        tensor = torch.tensor(json.loads(numbers), dtype=torch.float64) / float(divisor or 1)
        if name.startswith("w") and tensor.ndim == axes:
            tensor = tensor.expand(1, 1, *tensor.shape)
        names[name] = tensor
    return eval(call, vars(torch) | vars(functional) | names).numpy()


def of_equinox(text: str, x: Any) -> Any:
    """What the line of Equinox computes."""
    import equinox
    import jax

    jax.config.update("jax_enable_x64", val=True)
    call, _, meanings = text.partition(" with ")
    names: dict[str, Any] = {"x": jax.numpy.asarray(np.moveaxis(x, -1, 0))}
    functions = vars(jax.numpy) | vars(jax.nn) | {"abs": abs}
    for meaning in filter(None, meanings.split("; ")):
        name, _, value = meaning.partition(" = ")
        layer, _, field = name.partition(".")
        if not field:
            made = value
            if value.startswith("Conv"):
                made = re.sub(r"\)$", ", key=jax.random.PRNGKey(0))", value)
            made = eval(made, vars(equinox.nn) | {"jax": jax, "arange": jax.numpy.arange})
            names[layer] = jax.numpy.asarray(made) if isinstance(made, list) else made
            continue
        numbers, _, divisor = value.partition(" / ")
        array = jax.numpy.asarray(json.loads(numbers), dtype="float64") / float(divisor or 1)
        names[layer] = equinox.tree_at(lambda one, f=field: getattr(one, f), names[layer], array)
    return np.asarray(eval(call, functions | names))


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
