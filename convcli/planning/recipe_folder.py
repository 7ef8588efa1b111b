"""The folder in which users keep recipes, so that `@name` finds them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from convcli.errors import RequestError, named_first
from convcli.places import is_file, path_of

# The variable of the environment that names the folder.
VARIABLE = "CONVCLI_RECIPES"
SUFFIX = ".conv"

# Anything else is the path of a file, so that no name leads out of the folder.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


def recipe_folder() -> Path:
    """The folder of the user's recipes, which need not exist."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    from typer import get_app_dir

    return Path(get_app_dir("convcli")) / "recipes"


def find_recipe(word: str) -> Path:
    """The file of a recipe.

    word : the name of a recipe in the user's folder, or the path of a file

    Raises RequestError for an unknown name, with the known ones in the hint.
    """
    path = path_of(word)
    if not _NAME.fullmatch(word):
        _refuse_values(word)
        return path
    kept = recipe_folder() / (word + SUFFIX)
    if is_file(kept):
        return kept
    if is_file(path):
        return path
    raise RequestError(f"there is no recipe {word!r}", hint=_hint(kept.parent, kept.name))


def _refuse_values(word: str) -> None:
    """Raise RequestError for the name of a recipe with values behind it, unless it is a file."""
    name, colon, _ = word.partition(":")
    if colon and name in known_recipes() and not is_file(word):
        raise RequestError(
            f"the recipe {name} takes no values",
            hint=f"{recipe_folder() / (name + SUFFIX)} holds its chain, with values to be changed",
        )


def known_recipes() -> list[str]:
    """The names of all recipes in the folder of the user."""
    files = recipe_folder().glob(f"*{SUFFIX}")
    return sorted(path.stem for path in files if path.is_file())


def _hint(folder: Path, name: str) -> str:
    known = known_recipes()
    if known:
        return f"{folder} holds {named_first(known)}"
    return f"write its chain into {folder / name}"
