"""Commands whose options are the fields of a dataclass."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable

Options = TypeVar("Options")


def with_fields(
    options: type[Options],
) -> Callable[[Callable[[Options], int]], Callable[..., int]]:
    """Turn `command(options)` into a function with one keyword for each field of the dataclass `options`.

    Typer reads the annotations of the fields as it reads those of parameters. A field of the type
    TableOptions is left to `with_table`.
    """
    annotations = get_type_hints(options, localns={"TableOptions": object}, include_extras=True)
    parameters = []
    for each in fields(options):  # type: ignore[arg-type]
        default = inspect.Parameter.empty if each.default is MISSING else each.default
        parameters.append(
            inspect.Parameter(
                each.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=annotations[each.name],
            )
        )

    def decorated(command: Callable[[Options], int]) -> Callable[..., int]:
        def run(**values: Any) -> int:
            return command(options(**values))

        run.__name__ = command.__name__
        run.__doc__ = command.__doc__
        vars(run)["__signature__"] = inspect.Signature(parameters)
        return run

    return decorated
