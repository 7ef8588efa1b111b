"""Recipes: chains that have a name. Each is one line, in which capitals are the parameters."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass
from convcli.designs.registry import in_time, step
from convcli.errors import RequestError
from convcli.planning.grammar import parse
from convcli.planning.plan import bind_chain
from convcli.units import Count, Duration, Integer, Length, Number, WindowCount

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.core.binding import Site, Stage
    from convcli.signals import Signal

_PLACEHOLDER = re.compile(r"\b[A-Z]+\b")
# In a chain: the brightest value of a picture.
_FULL_SCALE = "WHITE"


@dataclass(frozen=True, eq=False, kw_only=True)
class Recipe:
    """A chain whose parameters have values.

    outputs : names of the outputs of each channel, where there are several; they hold no `_`,
        which comes between the name of the channel and theirs
    axes : number of sample axes of the signals that it takes: 1 (prices), 2 (pictures), None (any)
    """

    name: str
    chain: str
    values: dict[str, Any]
    outputs: tuple[str, ...] = ()
    axes: int | None = None

    def text(self, signal: Signal) -> str:
        """The FILTER that the recipe stands for."""
        known = {name.upper(): value for name, value in self.values.items()}
        known[_FULL_SCALE] = signal.full_scale

        def value(placeholder: re.Match[str]) -> str:
            found = known[placeholder[0]]
            if isinstance(found, Duration):
                return found.text
            # Without an exponent, which would lose digits.
            return repr(found).removesuffix(".0")

        return _PLACEHOLDER.sub(value, self.chain)

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return the stages of the chain.

        A RequestError shows no excerpt of the chain, because the user has not written it.
        """
        if self.axes not in {None, site.signal.axes}:
            expected = "a picture" if self.axes == 2 else "a series of values along one axis"
            message = f"expected {expected}, got {site.signal.medium.thing}"
            raise RequestError(message, hint="`x - gaussian:3` works on all media")
        try:
            calls = parse(self.text(site.signal))
            steps = bind_chain(calls, site.signal, site.rules, in_branch=site.in_branch)
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
        return tuple(f"{channel}_{name}" for channel in before.channels for name in self.outputs)


def recipe(
    chain: str,
    *,
    example: str,
    outputs: tuple[str, ...] = (),
    axes: int | None = None,
    takes_durations: bool = True,
    reads_twice: bool = False,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a chain as a step with the name, parameters and help of a function.

    chain : a FILTER in which words in capitals are the parameters of the function
    outputs, axes : as in `Recipe`; example, reads_twice : as in `Step`
    takes_durations : the chain means the same with durations in place of numbers of samples
    """

    def enter(signature: Callable[..., None]) -> Callable[..., None]:
        @wraps(signature)
        def design(**given: Any) -> Recipe:
            values = inspect.signature(signature).bind(**given)
            values.apply_defaults()
            return Recipe(
                name=signature.__name__,
                chain=chain,
                values=values.arguments,
                outputs=outputs,
                axes=axes,
            )

        enter_step = step(
            "recipes",
            example=example,
            stands_for=chain,
            pictures=axes == 2,
            reads_twice=reads_twice,
        )
        enter_step(design)
        if takes_durations:
            in_time(signature.__name__)(design)
        return signature

    return enter


@recipe("ema:span=FAST - ema:span=SLOW", example="macd:3,6", axes=1)
def macd(fast: WindowCount = 12, slow: WindowCount = 26) -> None:
    """Moving average convergence divergence: a fast EMA less a slow one.

    Its signal line is `macd:12,26 | ema:span=9`, its histogram `macd:12,26 | x - ema:span=9`.
    """


@recipe(
    "100 * (diff | relu | ema:alpha=1/N) / (diff | abs | ema:alpha=1/N)",
    example="rsi:3",
    axes=1,
    takes_durations=False,
)
def rsi(n: Count = 14) -> None:
    """Relative strength index, 0 ... 100: the share of rises in all changes (Wilder's averages).

    Missing where nothing has changed yet.
    """


@recipe("(x - sma:N) / std:N", example="zscore:5", axes=1)
def zscore(n: Count = 20) -> None:
    """How many standard deviations x lies above the mean of N samples; missing where that is 0."""


@recipe("x - global_avg_pool", example="demean", axes=1, takes_durations=False, reads_twice=True)
def demean() -> None:
    """Subtract the mean of the whole signal: of each column and group, of each channel of a sound.

    Needs a first pass over the signal, as every look at the whole of it.
    """


@recipe(
    "(x - global_avg_pool) / (x - global_avg_pool | square | global_avg_pool | sqrt)",
    example="standardize",
    axes=1,
    takes_durations=False,
    reads_twice=True,
)
def standardize() -> None:
    """Scale the whole signal to mean 0 and standard deviation 1, of each column and group.

    The mean of the squared deviations is divided by N. `zscore:20` looks at a window alone. Needs
    passes over the signal.
    """


@recipe(
    "sma:N + K * std:N,ddof=DDOF & sma:N - K * std:N,ddof=DDOF",
    example="bollinger:5,2",
    outputs=("upper", "lower"),
    axes=1,
)
def bollinger(n: Count = 20, k: Number = 2, *, ddof: Integer = 1) -> None:
    """Bollinger bands: K standard deviations above and below the mean of N samples.

    The outputs `upper` and `lower` take the place of a column, or follow it with --append. ddof=0
    divides the squared deviations by N, as TA-Lib does, and not by N - 1.
    """


@recipe("x + AMOUNT * (x - gaussian:SIGMA)", example="unsharp:2,0.5")
def unsharp(sigma: Length, amount: Number) -> None:
    """Sharpen by AMOUNT times the detail that a Gaussian of SIGMA removes (unsharp mask)."""


@recipe(
    "WHITE/2 + WHITE/6 * (x - box:N) / (std:N + WHITE/255)",
    example="local_contrast:9",
    axes=2,
    takes_durations=False,
)
def local_contrast(n: Count = 31) -> None:
    """Deviation from the mean of N x N pixels in standard deviations: as much detail everywhere.

    Mid-grey is the mean, black and white are 3 deviations away. One grey level of 255 is added to
    each deviation, so that flat areas stay grey.
    """
