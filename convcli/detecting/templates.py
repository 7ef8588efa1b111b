"""Templates: as read from a file, and as prepared for the signal that is searched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.correlation.template import Template
from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError
from convcli.facts import InputFacts
from convcli.running.arrays import apply
from convcli.signals import LUMA, LUMA_SUM, blocks_of
from convcli.units import plural

if TYPE_CHECKING:
    from convcli.signals import Array, Signal, Source

# A grey picture and a colour picture are compared by luma.
_LUMA_WEIGHTS = {name: part / LUMA_SUM for name, part in zip("RGB", LUMA, strict=True)}
# Most numbers in a template; with its spectra a larger one would not fit in memory.
LONGEST = 1 << 26


@dataclass(frozen=True, kw_only=True)
class LoadedTemplate:
    """A template as read.

    x : (k, channels) or (height, width, channels)
    """

    name: str
    x: Array
    signal: Signal

    def facts(self) -> InputFacts:
        """Return the facts of the template."""
        return InputFacts.of(self.name, self.signal, shape=self.x.shape[:-1])


def load_template(name: str, source: Source[Any]) -> LoadedTemplate:
    """Read all samples of `source`. InputError if there are none, or too many."""
    blocks = []
    count = 0
    for block in blocks_of(source):
        blocks.append(block.x)
        count += block.x.size
        if count > LONGEST:
            raise InputError(
                f"{name}: a template holds at most {LONGEST:,} numbers, this one more",
                hint="cut out what is looked for",
            )
    if not count:
        raise InputError(
            f"{name}: holds no samples", hint="a template is a short part of what is searched"
        )
    return LoadedTemplate(name=name, x=np.concatenate(blocks), signal=source.signal)


@dataclass(frozen=True, kw_only=True)
class ComparedChannels:
    """The channels of a signal that are compared: all but its opacity, or a mix of them.

    colours : indices of these channels
    mix : their weights in the mix; None if they are compared one by one
    alpha : index of the opacity, which weights the pixels; None if there is none
    full_scale : the value of the opacity where a pixel is opaque
    """

    colours: tuple[int, ...]
    mix: tuple[float, ...] | None
    alpha: int | None
    full_scale: float

    @classmethod
    def of(cls, signal: Signal, *, mixed: bool) -> ComparedChannels:
        """Choose the channels of `signal`; mixed : to luma if they are R, G and B, else evenly."""
        numbers = range(len(signal.channels))
        colours = tuple(number for number in numbers if number != signal.alpha)
        names = [signal.channels[number] for number in colours]
        mix = None
        if mixed and sorted(names) == sorted(_LUMA_WEIGHTS):
            mix = tuple(_LUMA_WEIGHTS[name] for name in names)
        elif mixed:
            mix = (1 / len(names),) * len(names)
        return cls(colours=colours, mix=mix, alpha=signal.alpha, full_scale=signal.full_scale)

    def __call__(self, x: Array) -> tuple[Array, Array | None]:
        """Return the samples to compare and their opacity, 0 to 1, or None if all are opaque."""
        samples = x
        if len(self.colours) < x.shape[-1]:
            samples = x[..., self.colours]
        if self.mix is not None:
            weights = np.array(self.mix, x.dtype)
            samples = (samples * weights).sum(axis=-1, keepdims=True)
        if self.alpha is None:
            return samples, None
        opacity = np.nan_to_num(x[..., self.alpha]) / self.full_scale
        opacity = np.clip(opacity, 0.0, 1.0)
        if (opacity == 1).all():
            return samples, None
        return samples, opacity


@dataclass(frozen=True, kw_only=True)
class PreparedTemplate:
    """A template prepared for one signal.

    channels : the channels of the signal that are compared
    note : how the template or the signal was converted; empty if neither was
    """

    name: str
    template: Template
    channels: ComparedChannels
    note: str = ""

    @property
    def size(self) -> tuple[int, ...]:
        """Samples along each sample axis."""
        return self.template.size

    def scores(self, x: Array) -> Array:
        """Return the score of every position in `x`, (n, channels) or (rows, columns, channels)."""
        samples, opacity = self.channels(x)
        return self.template.scores(samples, opacity=opacity)


def prepare_template(loaded: LoadedTemplate, signal: Signal) -> PreparedTemplate:
    """Convert a template to the rate and the channels of `signal`.

    If one of the two has a single channel and the other has several, the several are mixed to one.
    Raises RequestError if the two cannot be compared.
    """
    own = loaded.signal
    x, rate_note = _at_rate_of(signal, loaded)
    notes = [rate_note] if rate_note else []
    count = len(ComparedChannels.of(own, mixed=False).colours)
    searched_count = len(ComparedChannels.of(signal, mixed=False).colours)
    if count != searched_count and 1 not in (count, searched_count):
        raise RequestError(
            f"{loaded.name} has {count} channels, and the searched signal has {searched_count}",
            hint=_channels_hint(own),
        )
    if searched_count < count:
        notes.append("the template is mixed to one channel")
    elif count < searched_count:
        notes.append("the searched signal is mixed to one channel")
    samples, opacity = ComparedChannels.of(own, mixed=searched_count < count)(x)
    template = Template.of(
        samples,
        weights=None if opacity is None else opacity[..., None],
        own_units=own.medium.separate_channels,
    )
    return PreparedTemplate(
        name=loaded.name,
        template=template,
        channels=ComparedChannels.of(signal, mixed=count < searched_count),
        note=f"{loaded.name}: {'; '.join(notes)}" if notes else "",
    )


def _at_rate_of(signal: Signal, loaded: LoadedTemplate) -> tuple[Array, str]:
    """Return the samples of the template at the rate of `signal`, and a note on resampling.

    Raises RequestError if the rates differ in a medium that is not resampled.
    """
    own, searched = loaded.signal.rate, signal.rate
    if not own or not searched or own == searched:
        return loaded.x, ""
    if signal.medium.resamples:
        resampled = apply(f"resample:{searched:g}", loaded.x, rate=own)
        return resampled, f"converted from {own:g} Hz to {searched:g} Hz"
    if abs(own / searched - 1) < 1e-6:
        return loaded.x, ""
    raise RequestError(
        f"{signal.medium.sample}s of {loaded.name} come every {1 / own:g} s, "
        f"and those of the searched signal every {1 / searched:g} s",
        hint="bring both to the same step first",
    )


def _channels_hint(signal: Signal) -> str:
    if signal.axes == 2:
        return "convert one of them; grey is compared with any colours by luma"
    return "a template with one channel is compared with any number of them, mixed to one"


def size_text(shape: tuple[int, ...], signal: Signal) -> str:
    """Describe a size, pictures with their width first: `19,845 samples`, `64x48 pixels`."""
    if len(shape) == 1:
        return plural(shape[0], signal.medium.sample)
    sides = [str(n) for n in reversed(shape)]
    return f"{'x'.join(sides)} {signal.medium.sample}s"
