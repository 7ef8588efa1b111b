"""What is looked for: a template as it was read, and as it is compared with one signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.correlate_template import Template
from convcli.errors import InputError, RequestError
from convcli.running.arrays import apply
from convcli.signals import blocks_of

if TYPE_CHECKING:
    from convcli.signals import Array, Signal, Source

# Luma of BT.709-6, item 3.2: grey and colour are compared by it.
LUMA = {"R": 0.2126, "G": 0.7152, "B": 0.0722}
# Samples of a template; more would not fit in memory with its spectra.
LONGEST = 1 << 26


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A template as it was read: its samples, and what is known of them."""

    name: str
    x: Array
    signal: Signal

    @property
    def described(self) -> str:
        """`19,845 samples`, `64x48 pixels`."""
        return sized(self.x.shape[:-1], self.signal)


def read_pattern(name: str, source: Source[Any]) -> Pattern:
    """All samples of `source`. InputError where there are none, or too many."""
    blocks, count = [], 0
    for block in blocks_of(source):
        blocks.append(block.x)
        count += blocks[-1].size
        if count > LONGEST:
            raise InputError(
                f"{name}: a template holds at most {LONGEST:,} numbers, this one more",
                hint="cut out what is looked for",
            )
    if not count:
        raise InputError(f"{name}: expected a template, got a file without samples")
    return Pattern(name=name, x=np.concatenate(blocks), signal=source.signal)


@dataclass(frozen=True, kw_only=True)
class View:
    """What of a signal is compared: `colours` of its channels, mixed to one by `mix`, weighted by channel `alpha`."""

    colours: tuple[int, ...]
    mix: tuple[float, ...] | None
    alpha: int | None
    full_scale: float

    @classmethod
    def of(cls, signal: Signal, *, mixed: bool) -> View:
        """The channels of `signal` but its opacity; `mixed` to luma where they are red, green and blue, else evenly."""
        colours = tuple(c for c in range(len(signal.channels)) if c != signal.alpha)
        names = [signal.channels[c] for c in colours]
        luma = sorted(names) == sorted(LUMA)
        mix = tuple(LUMA[name] if luma else 1 / len(names) for name in names) if mixed else None
        return cls(colours=colours, mix=mix, alpha=signal.alpha, full_scale=signal.full_scale)

    def __call__(self, x: Array) -> tuple[Array, Array | None]:
        """The samples to compare, and how opaque they are; None where all of them are opaque."""
        samples = x if len(self.colours) == x.shape[-1] else x[..., self.colours]
        if self.mix is not None:
            shares = np.array(self.mix, x.dtype)
            samples = (samples * shares).sum(axis=-1, keepdims=True)
        if self.alpha is None:
            return samples, None
        opacity = np.clip(np.nan_to_num(x[..., self.alpha]) / self.full_scale, 0.0, 1.0)
        return samples, None if bool(np.all(opacity == 1)) else opacity


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A template made ready for one signal. note : what had to be done for it."""

    name: str
    template: Template
    view: View
    note: str = ""

    @property
    def size(self) -> tuple[int, ...]:
        """Samples along each sample axis."""
        return self.template.size

    @property
    def flat(self) -> bool:
        """Whether nothing varies in it."""
        return self.template.flat


def fit(pattern: Pattern, signal: Signal) -> Fitted:
    """The template for `signal`: at its rate, and with its channels.

    Of a template with one channel and a signal with several (or the other way round) the several are mixed to one.
    Raises RequestError where the two cannot be compared.
    """
    notes = []
    x, own = pattern.x, pattern.signal
    if own.medium.in_seconds and own.rate != signal.rate and own.rate and signal.rate:
        x = apply(f"resample:{signal.rate:g}", x, rate=own.rate)
        notes.append(f"converted from {own.rate:g} Hz to {signal.rate:g} Hz")
    _check_steps(pattern, signal)
    a, b = (len(s.channels) - (s.alpha is not None) for s in (own, signal))
    if a != b and 1 not in (a, b):
        raise RequestError(
            f"{pattern.name} has {a} channels, and what is searched {b}", hint=_mixing(own)
        )
    if a != b:
        notes.append(
            f"{'the template is' if b == 1 else 'what is searched is'} mixed to one channel"
        )
    samples, opacity = View.of(own, mixed=b == 1 < a)(x)
    weights = None if opacity is None else opacity[..., None]
    template = Template.of(samples, weights=weights, own_units=own.medium.separate_channels)
    note = f"{pattern.name}: {'; '.join(notes)}" if notes else ""
    return Fitted(
        name=pattern.name, template=template, view=View.of(signal, mixed=a == 1 < b), note=note
    )


def _check_steps(pattern: Pattern, signal: Signal) -> None:
    """Rows of a table can be compared only if they come as often."""
    own = pattern.signal.rate
    if (
        not signal.medium.separate_channels
        or own is None
        or signal.rate is None
        or abs(own / signal.rate - 1) < 1e-6
    ):
        return
    raise RequestError(
        f"rows of {pattern.name} come every {1 / own:g} s, and those of what is searched every {1 / signal.rate:g} s",
        hint="bring both to the same step first",
    )


def _mixing(signal: Signal) -> str:
    if signal.axes == 2:
        return "convert one of them; grey is compared with any colours by luma"
    return "a template with one channel is compared with any number of them, mixed to one"


def sized(shape: tuple[int, ...], signal: Signal) -> str:
    """A size in words: `19,845 samples`, `64x48 pixels`."""
    noun = f"{signal.medium.sample}s"
    return f"{'x'.join(f'{n:,}' if len(shape) == 1 else str(n) for n in reversed(shape))} {noun}"
