"""`dataclass` as in the standard library, at a part of its cost when a module is imported.

The decorator of the standard library reads the fields of a class, and writes and compiles up to six
methods: a quarter of the processor time of a small run, for the hundred and seventy classes that it
imports. Here the fields and `__init__` are made when they are first looked up, which spares the
classes of which no instance is made. The other methods are functions that all classes share. That
leaves a twentieth.

Type checkers see the decorator of the standard library. It is they who refuse assignments to fields
of a class that is `frozen=True`; nothing does when the program runs. There is no `init=False`.
"""

from __future__ import annotations

import dataclasses
from functools import cache, partial
from operator import attrgetter
from threading import RLock
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(
        cls: type | None = None,
        /,
        *,
        frozen: bool = False,
        eq: bool = True,
        kw_only: bool = False,
        slots: bool = False,
    ) -> Any:
        """Add `__init__`, `__repr__` and, unless `eq=False`, `__eq__` and `__hash__` to a class."""
        if cls is None:
            return partial(dataclass, frozen=frozen, eq=eq, kw_only=kw_only, slots=slots)
        made = cls
        # A class with slots is a new class. Without a docstring, one is made of the `__init__`.
        if slots or cls.__doc__ is None:
            made = dataclasses.dataclass(repr=False, eq=False, kw_only=kw_only, slots=slots)(cls)
        else:
            fields = _Fields(cls, kw_only=kw_only)
            cls.__dataclass_fields__ = fields
            _add_method(cls, "__init__", _Init(fields))
        _add_method(made, "__repr__", _shown_fields)
        if eq:
            _add_method(made, "__eq__", _is_equal)
            _add_method(made, "__hash__", _hash_of_values if frozen else None)
        return made


# Held while the members of a class are made, for which those of its base classes are made, too.
_MAKING = RLock()


class _Fields:
    """The fields of a class that has not been used: they are made when they are first looked up."""

    def __init__(self, cls: type, *, kw_only: bool) -> None:
        self.cls = cls
        self._kw_only = kw_only
        self._are_made = False

    def make(self) -> None:
        """Put the fields in the place of this object."""
        decorate = dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=self._kw_only)
        with _MAKING:
            if not self._are_made:
                decorate(self.cls)
                self._are_made = True

    def __get__(self, instance: object, owner: type) -> Any:
        self.make()
        return vars(self.cls)["__dataclass_fields__"]


class _Init:
    """The `__init__` of a class that has not been used: it is made when it is first looked up."""

    def __init__(self, fields: _Fields) -> None:
        self._fields = fields

    def __get__(self, instance: object, owner: type) -> Any:
        cls: Any = self._fields.cls
        with _MAKING:
            if vars(cls)["__init__"] is self:
                self._fields.make()
                cls.__init__ = _written_init(cls)
        return vars(cls)["__init__"].__get__(instance, owner)


def _written_init(cls: type) -> Any:
    """The `__init__` that takes the fields of a class as that of the standard library does."""
    values: dict[str, Any] = {}
    positional = ["self"]
    keywords = ["*"]
    statements = ["pass"]
    for each in dataclasses.fields(cls):
        parameter, value = _parameter(each, values)
        parameters = keywords if each.kw_only else positional
        parameters.append(parameter)
        statements.append(f"self.{each.name} = {value}")
    if len(keywords) > 1:
        positional += keywords
    if hasattr(cls, "__post_init__"):
        statements.append("self.__post_init__()")
    body = "\n ".join(statements)
    text = f"def __init__({', '.join(positional)}):\n {body}"
    exec(text, values)  # noqa: S102 -- it is made of names in the source of the class
    made = values["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _parameter(each: dataclasses.Field[Any], values: dict[str, Any]) -> tuple[str, str]:
    """The parameter for a field, and the expression for its value.

    values : what both refer to by names; these are added
    """
    name = each.name
    default = f"_default_{name}"
    if each.default is not dataclasses.MISSING:
        values[default] = each.default
        return f"{name}={default}", name
    if each.default_factory is not dataclasses.MISSING:
        values[default] = each.default_factory
        return f"{name}={default}", f"{default}() if {name} is {default} else {name}"
    return name, name


@cache
def _compared_getter(cls: Any) -> attrgetter[Any]:
    """A function that returns the fields of an instance that are compared."""
    names = [each.name for each in dataclasses.fields(cls) if each.compare]
    return attrgetter(*(names or ["__class__"]))


def _add_method(cls: type, name: str, method: object) -> None:
    """Give a class a method, unless its body has one."""
    if name not in vars(cls):
        setattr(cls, name, method)


def _shown_fields(self: Any) -> str:
    shown = [each.name for each in dataclasses.fields(self) if each.repr]
    values = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
    return f"{type(self).__qualname__}({values})"


def _is_equal(self: Any, other: Any) -> Any:
    if type(self) is not type(other):
        return NotImplemented
    cls: Any = type(self)
    compared_values = _compared_getter(cls)
    return compared_values(self) == compared_values(other)


def _hash_of_values(self: Any) -> int:
    cls: Any = type(self)
    compared_values = _compared_getter(cls)
    return hash(compared_values(self))
