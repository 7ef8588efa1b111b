"""The list of all steps, as text and as a table in Markdown."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convcli.designs.registry import Step


def step_list() -> list[str]:
    """List every step under its family, with its usage and its help."""
    from convcli.designs import steps

    lines: list[str] = []
    for family, members in groupby(steps().values(), key=lambda step: step.family):
        lines += ["", f"{family}:"]
        for step in members:
            lines += [f"  {step.usage}{_aliases_text(step)}", f"      {step.help}"]
            if step.stands_for:
                lines.append(f"      = {step.stands_for}")
    return [*lines[1:], *_kept_recipes()]


def _kept_recipes() -> list[str]:
    """List the recipes that the user keeps in a folder."""
    from convcli.planning.recipe_folder import known_recipes, recipe_folder

    names = known_recipes()
    if not names:
        return []
    return ["", f"recipes in {recipe_folder()}:", *(f"  @{name}" for name in names)]


def markdown_list() -> list[str]:
    """List every step as a row of a Markdown table."""
    from convcli.designs import steps

    lines = ["| step | what it does |", "| --- | --- |"]
    for family, members in groupby(steps().values(), key=lambda step: step.family):
        lines.append(f"| **{family}** | |")
        for step in members:
            usage = f"`{step.usage}`{_aliases_text(step)}"
            text = step.help
            if step.stands_for:
                text += f" `{step.stands_for}`"
            cells = [cell.replace("|", "\\|") for cell in (usage, text)]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _aliases_text(step: Step) -> str:
    return f" (also {', '.join(step.aliases)})" if step.aliases else ""
