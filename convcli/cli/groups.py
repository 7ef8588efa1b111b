"""Groups of options: a dataclass whose fields are options, as one parameter of a command."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def with_option_groups(command: Callable[..., int]) -> Callable[..., int]:
    """Return `command` as Typer sees it: fields of dataclasses among its parameters are options.

    A field is annotated as an option is, `Annotated[type, typer.Option(...)]`; or it is a group
    itself. When the command runs, each group is made from the values of its options.
    """
    shown: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for one in inspect.signature(command, eval_str=True).parameters.values():
        if is_dataclass(one.annotation):
            groups[one.name] = one.annotation
            shown += _options(one.annotation)
        else:
            shown.append(one.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    def run(**values: Any) -> int:
        for name, group in groups.items():
            values[name] = _filled_group(group, values)
        return command(**values)

    run.__name__ = command.__name__
    run.__doc__ = command.__doc__
    run.__annotations__ = {one.name: one.annotation for one in shown}
    vars(run)["__signature__"] = inspect.Signature(shown)
    return run


def _options(group: Any) -> Iterator[inspect.Parameter]:
    """The fields of a dataclass as keyword parameters."""
    types = get_type_hints(group, include_extras=True)
    for each in fields(group):
        annotation = types[each.name]
        if is_dataclass(annotation):
            yield from _options(annotation)
            continue
        default = inspect.Parameter.empty if each.default is MISSING else each.default
        yield inspect.Parameter(
            each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )


def _filled_group(group: Any, values: dict[str, Any]) -> Any:
    """A dataclass made from the values of its options, which are taken out of `values`."""
    types = get_type_hints(group, include_extras=True)
    found = {}
    for each in fields(group):
        if is_dataclass(types[each.name]):
            found[each.name] = _filled_group(types[each.name], values)
        else:
            found[each.name] = values.pop(each.name)
    return group(**found)
