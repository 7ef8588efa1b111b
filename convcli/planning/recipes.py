"""Recipes: chains that have a name of their own. Each is one line: its values and its chain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from convcli.designs.registry import step
from convcli.errors import RequestError
from convcli.planning.grammar import parse
from convcli.planning.plan import bind_chain
from convcli.signals import Signal
from convcli.units import Count

if TYPE_CHECKING:
    from convcli.core.binding import Site, Stage


@dataclass(frozen=True)
class Recipe:
    """A chain that a step stands for.

    outputs : names of the outputs for each channel that goes in, where there are several
    """

    chain: str
    outputs: tuple[str, ...] = ()

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return the stages of the chain.

        A RequestError has no caret in the chain, which the user has not written.
        """
        try:
            steps = bind_chain(parse(self.chain), site.signal, site.rules)
        except RequestError as error:
            raise RequestError(error.message, hint=error.hint) from None
        stages = [bound.stage for bound in steps]
        last = stages[-1]
        named = replace(last.after, channels=self._channels(site.signal, last.after))
        stages[-1] = replace(last, after=named)
        return tuple(stages)

    def _channels(self, before: Signal, after: Signal) -> tuple[str, ...]:
        """The names of the channels: `upper, lower`, of several columns `Close_upper ...`."""
        if not self.outputs:
            return after.channels
        if len(before.channels) == 1:
            return self.outputs
        return tuple(f"{channel}_{name}" for name in self.outputs for channel in before.channels)


def _series_alone(name: str, signal: Signal) -> None:
    """Raise RequestError for a picture: a series of prices has one axis."""
    if signal.axes != 1:
        message = f"{name} is for one series of values after the other, and a picture has two axes"
        raise RequestError(message, hint="`x - gaussian:3` is the detail of a picture")


@step("recipes", example="macd:3,6")
def macd(fast: Count = 12, slow: Count = 26, *, signal: Signal) -> Recipe:
    """Moving average convergence divergence: a fast EMA less a slow one.

    Its signal line is `macd:12,26 | ema:span=9`, its histogram `macd:12,26 | x - ema:span=9`.
    """
    _series_alone("macd", signal)
    return Recipe(f"ema:span={fast} - ema:span={slow}")


@step("recipes", example="rsi:3")
def rsi(n: Count = 14, *, signal: Signal) -> Recipe:
    """Relative strength index, 0 ... 100: the share of rises in all changes (Wilder's averages).

    Missing where nothing has changed yet.
    """
    _series_alone("rsi", signal)
    rises = f"(diff | relu | ema:alpha=1/{n})"
    changes = f"(diff | abs | ema:alpha=1/{n})"
    return Recipe(f"100 * {rises} / {changes}")
