"""Sums of channels, in which a sample of the result reads the channels of one input sample.

The opacity of a picture is not summed: it is kept and becomes the last channel.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import numpy as np

from convcli.array_types import FloatArray
from convcli.core.one_sample import Mix
from convcli.dataclass import dataclass
from convcli.designs.registry import step
from convcli.errors import RequestError, named_first
from convcli.signals import LUMA, LUMA_SUM, Signal
from convcli.units import Kind, UnitError, plural, read_plain_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.core.binding import Site, Stage


# The most channels that `mix` makes; `pick` takes more of them if its matrix has no more weights.
MOST_OUTPUTS = 1024
MOST_WEIGHTS = 1 << 25


def _read_weights(text: str, signal: Signal) -> FloatArray:
    """The weights of `0.5,0.5` or `1,0;0.5,0.5`: (outputs, inputs)."""
    rows = text.split(";")
    if len(rows) > MOST_OUTPUTS:
        raise UnitError(f"expected at most {MOST_OUTPUTS:,} rows of weights, got {len(rows):,}")
    names = _mixed_channels(signal)
    weights = np.zeros((len(rows), len(names)))
    for number, row in enumerate(rows):
        items = row.split(",")
        if len(items) != len(names):
            where = f" in row {number + 1}" if len(rows) > 1 else ""
            came = f"{plural(len(items), 'weight')}{where}"
            channels = plural(len(names), signal.medium.channel)
            ones = ",".join("1" for _ in names[:8])
            hint = f"one weight for each: mix:{ones}; `mono` is the mean of all"
            raise UnitError(f"{came} for {channels} ({named_first(names)})", hint=hint)
        weights[number] = [read_plain_number(item, signal) for item in items]
    if float(np.abs(weights).max()) > sys.float_info.max / len(names):
        raise UnitError("the weights add up to more than the largest number")
    return weights


WeightsText = Annotated[FloatArray, Kind("weights", _read_weights, takes_all=True)]


@step("channels", example="mix:0.5,0.5")
def mix(weights: WeightsText, *, signal: Signal) -> Mix:
    """Weighted sum of the channels, sample by sample (a 1 x 1 convolution).

    weights : one for each channel (column, colour); rows split by ";" make several channels. In
        sound mix:0,1;1,0 swaps left and right.

    y = sum_i w[i] x[i]. Nothing is scaled: weights that sum to more than 1 may clip. An output is
    missing where a channel whose weight is not 0 is missing. Raises UnitError unless there is one
    weight for each channel.
    """
    return Mix(weights=weights, axes=signal.axes, keeps=signal.alpha)


@step("channels", example="mono")
def mono(*, signal: Signal) -> Mix | None:
    """Mean of all channels (columns, colours) as one.

    An output is missing where a channel is missing. `grey` weighs colours as eyes do.
    """
    count = len(_mixed_channels(signal))
    if count == 1:
        return None
    ones = np.ones((1, count))
    return Mix(weights=ones, divisor=count, axes=signal.axes, keeps=signal.alpha)


@step("channels", example="grey", aliases=("gray", "grayscale", "greyscale", "luma"), pictures=True)
def grey(*, signal: Signal) -> Mix | None:
    """Colours as grey: luma 0.2126 R + 0.7152 G + 0.0722 B (BT.709).

    The weights of --channels luma. A grey picture stays as it is. Raises RequestError for anything
    but a picture of red, green and blue.
    """
    if signal.axes != 2:
        message = f"needs a picture, and this signal has one axis of {signal.medium.sample}s"
        raise RequestError(message, hint="mono is the mean of all channels")
    names = _mixed_channels(signal)
    if len(names) == 1:
        return None
    if names != signal.medium.names_of(len(LUMA)):
        message = f"needs red, green and blue; this picture has {named_first(names)}"
        raise RequestError(message, hint="mono is the mean of all channels, mix:W1,W2,... any sum")
    weights = np.array([LUMA], dtype=np.float64)
    return Mix(weights=weights, divisor=LUMA_SUM, axes=signal.axes, keeps=signal.alpha)


def _read_picked(text: str, signal: Signal) -> tuple[int, ...]:
    """The numbers, from 0, of the channels in `left`, `2,1` or `#2`."""
    names = list(_mixed_channels(signal))
    words = text.split(",")
    picked: list[int] = []
    while words:
        number, count = _first_picked(words, names)
        if number is None:
            raise UnitError(
                f"expected the name or the number of a {signal.medium.channel} "
                f"({named_first(names)}), got {words[0].strip()!r}"
            )
        picked.append(number)
        del words[:count]
    most = max(MOST_OUTPUTS, MOST_WEIGHTS // len(names))
    if len(picked) > most:
        channels = plural(len(names), signal.medium.channel)
        raise UnitError(f"expected at most {most:,} of {channels}, got {len(picked):,}")
    return tuple(picked)


def _first_picked(words: Sequence[str], names: list[str]) -> tuple[int | None, int]:
    """The number of the channel that the first words name, None if they name none; how many words.

    A name that holds commas is several words.
    """
    word = words[0].strip()
    if word in names:
        return names.index(word), 1
    number = word.removeprefix("#")
    if number.isdecimal() and 1 <= int(number) <= len(names):
        return int(number) - 1, 1
    for place, name in enumerate(names):
        count = name.count(",") + 1
        if count > 1 and ",".join(words[:count]).strip() == name:
            return place, count
    return None, 1


PickedText = Annotated[tuple[int, ...], Kind("channels", _read_picked, takes_all=True)]


@dataclass(frozen=True, eq=False)
class PickedChannels:
    """Some channels, by their numbers from 0."""

    numbers: tuple[int, ...]

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return one stage, whose channels keep their names."""
        signal = site.signal
        names = _mixed_channels(signal)
        weights = np.zeros((len(self.numbers), len(names)))
        weights[range(len(self.numbers)), self.numbers] = 1
        stage = site.stage(Mix(weights=weights, axes=signal.axes, keeps=signal.alpha))
        picked = tuple(names[number] for number in self.numbers)
        if signal.alpha is not None:
            picked = (*picked, signal.channels[signal.alpha])
        speakers = tuple(signal.speakers[number] for number in self.numbers if signal.speakers)
        return (replace(stage, after=replace(stage.after, channels=picked, speakers=speakers)),)


@step("channels", example="pick:1")
def pick(channels: PickedText) -> PickedChannels:
    """Some of the channels (columns, colours), in the order asked for; a table keeps all in place.

    Sound and pictures have only these channels afterwards. In a table they are what the next steps
    read, and what --append and --add write in the order asked for; every column stays where it is.

    channels : names (left, Close, R) or numbers from 1, split by commas; #2 is a number even where
        a channel is called 2
    """
    return PickedChannels(channels)


def _mixed_channels(signal: Signal) -> Sequence[str]:
    """The names of all channels but the opacity."""
    return tuple(name for c, name in enumerate(signal.channels) if c != signal.alpha)
