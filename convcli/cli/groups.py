"""Groups of options: a dataclass whose fields are options, as one parameter of a command."""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable


def with_option_groups(command: Callable[..., int]) -> Callable[..., int]:
    """Return `command` as Typer sees it: fields of dataclasses among its parameters are options.

    A field is annotated as an option is, `Annotated[type, typer.Option(...)]`, and has a default. When
    the command runs, each group is made from the values of its options.
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    groups: dict[str, Any] = {
        one.name: one.annotation for one in own if is_dataclass(one.annotation)
    }
    shown: list[inspect.Parameter] = []
    for one in own:
        shown += _options(groups[one.name]) if one.name in groups else [one]

    def run(**values: Any) -> int:
        for name, group in groups.items():
            options = {each.name: values.pop(each.name) for each in fields(group)}
            values[name] = group(**options)
        return command(**values)

    run.__name__ = command.__name__
    run.__doc__ = command.__doc__
    run.__annotations__ = {one.name: one.annotation for one in shown}
    vars(run)["__signature__"] = inspect.Signature(shown)
    return run


def _options(group: Any) -> list[inspect.Parameter]:
    """Return the fields of a dataclass as keyword parameters."""
    types = get_type_hints(group, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(each.name, keyword, default=each.default, annotation=types[each.name])
        for each in fields(group)
    ]
