"""The decorator does what that of the standard library does, where this program relies on it."""

from __future__ import annotations

import copy
import inspect
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, field, fields, is_dataclass, replace
from dataclasses import dataclass as standard
from threading import Barrier
from typing import Any

import pytest

from convcli.dataclass import dataclass


def classes(decorate: Any) -> list[Any]:
    """The same classes by either decorator: values, things, with words of their own, derived."""

    @decorate(frozen=True, kw_only=True)
    class Value:
        """Keywords alone."""

        a: int
        b: tuple[int, ...] = ()
        hidden: str = field(default="", repr=False, compare=False)

    @decorate(eq=False)
    class Thing:
        """Known by its identity."""

        a: list[int] = field(default_factory=list)

    @decorate
    class Changing:
        """May be changed."""

        a: int = 0

    @decorate(frozen=True)
    class Named:
        """Has words of its own."""

        a: int

        def __repr__(self) -> str:
            return "named"

    @decorate(frozen=True)
    class Derived(Named):
        """Has the fields of its base, too."""

        b: int = 2

    @decorate(frozen=True)
    class Mixed:
        """Keywords after arguments, and something to do at the end."""

        a: int
        _: KW_ONLY
        b: list[int] = field(default_factory=lambda: [1])
        sums: list[int] = field(default_factory=list, repr=False)

        def __post_init__(self) -> None:
            self.sums.append(self.a + sum(self.b))

    @decorate(frozen=True)
    class Empty:
        """No fields."""

    class Plain(Derived):
        """Not decorated itself."""

    @decorate(frozen=True)
    class Bare:
        a: int

    return [Value, Thing, Changing, Named, Derived, Empty, Mixed, Plain, Bare]


def told(value: Any) -> str:
    return repr(value).replace("classes.<locals>.", "")


def facts(decorate: Any) -> list[Any]:
    """What can be seen of the instances of `classes`."""
    value, thing, changing, named, derived, empty, mixed, plain, bare = classes(decorate)
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
        told(mixed(1)),
        mixed(1, b=[2, 3]).sums,
        mixed(1).b is not mixed(1).b,
        mixed(1) == mixed(1, b=[1]),
        told(plain(1, 5)),
        told(bare(1)),
        bare.__doc__,
        [parameters_of(each) for each in classes(decorate)],
    ]


def parameters_of(cls: Any) -> list[tuple[str, Any]]:
    """The parameters of a class that was not used before, with their kinds."""
    return [(each.name, each.kind) for each in inspect.signature(cls).parameters.values()]


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


def test_pickle_makes_the_first_instance() -> None:
    value = classes(dataclass)[0]
    unused = value.__new__(value)
    vars(unused).update(a=1, b=(), hidden="x")
    assert unused == value(a=1)
    assert hash(classes(dataclass)[5].__new__(classes(dataclass)[5])) is not None


def test_fields_are_known_before_the_first_instance() -> None:
    value, *_, derived, _, _, plain, _ = classes(dataclass)
    assert is_dataclass(value)
    assert is_dataclass(plain)
    assert [each.name for each in fields(derived)] == ["a", "b"]


def test_threads_make_the_first_instances_at_once() -> None:
    threads = 4
    ready = Barrier(threads)

    def made(cls: Any) -> str:
        ready.wait()
        return told(cls(1))

    with ThreadPoolExecutor(threads) as pool:
        for _ in range(50):
            *_, mixed, plain, _ = classes(dataclass)
            found = list(pool.map(made, [mixed, plain] * (threads // 2)))
            assert found == ["Mixed(a=1, b=[1])", "Plain(a=1, b=2)"] * (threads // 2)
