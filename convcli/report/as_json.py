"""The facts as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from convcli.facts import to_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.facts import RunFacts


def render_json(runs: Sequence[RunFacts]) -> str:
    """Render one run as an object, several as a list; keys are the fields of `convcli.facts`."""
    if len(runs) == 1:
        return json_text(runs[0])
    return json_text(runs)


def detection_json(run: RunFacts) -> str:
    """Render a run of `detect` as one flat object, with the hits among the facts of the run."""
    facts = run.to_dict()
    kept = ("version", "command", "inputs", "warnings", "seconds")
    flat = {name: facts[name] for name in kept}
    return json_text(flat | facts["detection"])


def json_text(facts: Any) -> str:
    """Render any facts; NaN and infinity are null."""
    plain = to_plain(facts)
    return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
