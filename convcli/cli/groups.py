"""Commands, and groups of options: a dataclass whose fields are options, as one parameter."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import typer

# By the name of a command whose module was imported: adds it to a program.
ADD_COMMAND: dict[str, Callable[[typer.Typer], object]] = {}


def command(
    name: str, *examples: str, **settings: bool
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Make a function a command of the program; its parameters may be groups of options.

    examples : command lines at the end of its help
    settings : of its context in Click
    """

    def registered(function: Callable[..., int]) -> Callable[..., int]:
        epilog = "\n\n".join(["Examples:", *(f"\b\n  {line}" for line in examples)])

        def add(app: typer.Typer) -> None:
            from convcli.cli.option_words import Command

            made = app.command(name=name, cls=Command, epilog=epilog, context_settings=settings)
            made(with_option_groups(function))

        ADD_COMMAND[name] = add
        return function

    return registered


def with_option_groups(function: Callable[..., int]) -> Callable[..., int]:
    """Return a function as Typer sees it: fields of dataclasses among its parameters are options.

    A field is annotated as an option is, `Annotated[type, typer.Option(...)]`; or it is a group
    itself. When the command runs, each group is made from the values of its options.
    """
    shown: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for one in inspect.signature(function, eval_str=True).parameters.values():
        if is_dataclass(one.annotation):
            groups[one.name] = one.annotation
            shown += _options(one.annotation)
        else:
            shown.append(one.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    def run(**values: Any) -> int:
        for name, group in groups.items():
            values[name] = _filled_group(group, values)
        return function(**values)

    run.__name__ = function.__name__
    run.__doc__ = function.__doc__
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
