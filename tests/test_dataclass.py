"""The decorator does what that of the standard library does, where this program relies on it."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import dataclass as standard
from dataclasses import field, fields, replace
from typing import Any

import pytest

from convcli.dataclass import dataclass


def classes(decorate: Any) -> list[Any]:
    """The same classes by either decorator: values, things, with words of their own, derived."""

    @decorate(frozen=True, kw_only=True)
    class Value:
        a: int
        b: tuple[int, ...] = ()
        hidden: str = field(default="", repr=False, compare=False)

    @decorate(eq=False)
    class Thing:
        a: list[int] = field(default_factory=list)

    @decorate
    class Changing:
        a: int = 0

    @decorate(frozen=True)
    class Named:
        a: int

        def __repr__(self) -> str:
            return "named"

    @decorate(frozen=True)
    class Derived(Named):
        b: int = 2

    @decorate(frozen=True)
    class Empty:
        pass

    @decorate
    class Mixed:
        a: int
        key: str = field(default="k", kw_only=True)
        b: int = 2

    @decorate(kw_only=True)
    class Made(Thing):
        b: int = 3

    @decorate
    class Completed:
        a: int
        twice: int = field(init=False)

        def __post_init__(self) -> None:
            self.twice = 2 * self.a

    @decorate
    class CompletedToo(Completed):
        b: int = 1

    return [Value, Thing, Changing, Named, Derived, Empty, Mixed, Made, Completed, CompletedToo]


def told(value: Any) -> str:
    return repr(value).replace("classes.<locals>.", "")


def facts(decorate: Any) -> list[Any]:
    """What can be seen of the instances of `classes`."""
    every = classes(decorate)
    value, thing, changing, named, derived, empty, mixed, made, completed, completed_too = every
    one = value(a=1, b=(2,))
    return [
        told(one),
        one == value(a=1, b=(2,), hidden="x"),
        one != value(a=2, b=(2,)),
        one != named(1),
        hash(one) == hash(value(a=1, b=(2,), hidden="x")),
        told(replace(one, a=5)),
        copy.deepcopy(one) == one,
        [each.name for each in fields(value)],
        thing() == thing(),
        hash(thing()) != hash(None),
        changing() == changing(0),
        told(changing()),
        changing.__hash__ is None,
        told(named(1)),
        named(1) == named(1),
        told(derived(1)),
        derived(1) == derived(1, 2),
        derived(1) == derived(1, 3),
        derived(1) == named(1),
        empty() == empty(),
        hash(empty()) == hash(empty()),
        told(mixed(1, 3, key="x")),
        told(mixed(1)),
        told(made([1], b=5)),
        told(made()),
        told(completed(4)),
        told(completed_too(4, 5)),
        [str(inspect.signature(each)) for each in every],
        [each.__init__.__qualname__ for each in every],
    ]


def test_it_is_that_of_the_standard_library() -> None:
    assert facts(dataclass) == facts(standard)


def test_arguments_are_checked() -> None:
    value = classes(dataclass)[0]
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'a'"):
        value()
    with pytest.raises(TypeError, match="positional"):
        value(1)


@dataclass(frozen=True, slots=True)
class Packed:
    """A class at the top of a module, which pickle can find."""

    a: int
    b: str = "b"


def test_slots_and_pickle() -> None:
    assert not hasattr(Packed(1), "__dict__")
    assert pickle.loads(pickle.dumps(Packed(1))) == Packed(1)
