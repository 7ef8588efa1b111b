"""Imports go strictly down the floors of the house (CONTRIBUTING.md, "The house")."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "convcli"
FLOORS = {
    # The version is a fact that the package itself holds.
    **dict.fromkeys(
        (
            *(
                "errors",
                "places",
                "named_files",
                "calendar_bins",
                "time_rules",
                "file_stamps",
                "units",
                "signals",
                "samples",
                "sndfile",
                "speakers",
                "facts",
                "stopping",
                "dataclass",
                "array_types",
                "digests",
                "losses",
            ),
            "__version__",
        ),
        0,
    ),
    "core": 1,
    "designs": 2,
    "planning": 3,
    "layers": 4,
    "running": 5,
    "learning": 6,
    "detecting": 6,
    "checking": 6,
    "previews": 6,
    "media": 7,
    "report": 7,
    "batch": 8,
    "cli": 9,
    "__init__": 10,
    "__main__": 10,
}
VOCABULARY = [name for name, floor in FLOORS.items() if floor == 0]
# Folders that import the vocabulary alone, whatever lies between.
STRANGERS = ("media", "report")
# A medium is a stranger to the other media. They share how files are opened and cut into parts, and
# where results go.
SHARED = (
    "files",
    "division",
    "block_parts",
    "object_stream",
    "inputs",
    "output_names",
    "outputs",
    "refusals",
    "replacing",
    "scratch",
)
# Objects in stores are read and written where files are.
REMOTE = ("remote", "remote_listing", "remote_reader", "remote_store", "remote_writer")


def imports(path: Path) -> set[str]:
    """Every module that a file names in an import, those for type checking and in functions included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def room(module: str) -> str:
    """The floor's room that `convcli.room...` names; `convcli.name` itself is the top."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else "__init__"


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    here = path.relative_to(ROOT).parts[0].removesuffix(".py")
    assert here in FLOORS, f"{here} stands on no floor"
    for module in imports(path):
        top, there = module.split(".")[0], room(module)
        assert top != "click", "Typer brings its own copy of Click"
        assert not (here == "cli" and top == "numpy"), "the command line does no maths"
        assert here == "dataclass" or module != "dataclasses.dataclass", (
            "convcli.dataclass has the dataclass of this program, which costs less at its start"
        )
        if top == "convcli" and there != here:
            assert FLOORS[there] < FLOORS[here] or FLOORS[there] == FLOORS[here] == 0, (
                f"{here} imports {module}"
            )
            assert here not in STRANGERS or there in VOCABULARY, f"{here} imports {module}"


@pytest.mark.parametrize("path", sorted((ROOT / "media").rglob("*.py")), ids=str)
def test_media_are_strangers(path: Path) -> None:
    here = path.relative_to(ROOT / "media").parts[0]
    for module in imports(path):
        if module.startswith("convcli.media."):
            assert module.split(".")[2] in (here, *SHARED, *REMOTE), f"{here} imports {module}"
