"""The facts as JSON: one object for one run, a list for several."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.facts import RunFacts


def render(runs: Sequence[RunFacts]) -> str:
    """The runs as JSON text; the keys are the names of the fields in `convcli.facts`."""
    objects = [run.to_dict() for run in runs]
    return (
        json.dumps(
            objects[0] if len(objects) == 1 else objects,
            indent=2,
            ensure_ascii=False,
            allow_nan=False,
        )
        + "\n"
    )
