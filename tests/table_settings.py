"""Options of tables in one line, for the tests."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from convcli.media.tables.table_options import (
    ColumnOptions,
    OutputOptions,
    TableOptions,
    TextOptions,
    TimeOptions,
)

# As the options are called on the command line.
FIELDS = {"columns": "names", "time": "column", "time_unit": "unit", "time_zone": "zone"}


def table_options(**given: Any) -> TableOptions:
    """The options of a table, each in the group that has it."""
    named = {FIELDS.get(name, name): value for name, value in given.items()}
    follow = named.pop("follow", False)

    def group(kind: Any) -> Any:
        return kind(
            **{each.name: named.pop(each.name) for each in fields(kind) if each.name in named}
        )

    options = TableOptions(
        columns=group(ColumnOptions),
        times=group(TimeOptions),
        text=group(TextOptions),
        output=group(OutputOptions),
        follow=follow,
    )
    assert not named
    return options
