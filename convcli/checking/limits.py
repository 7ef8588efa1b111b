"""Limits on the measures of a comparison: `--fail-above rms=1e-3`, `--fail-below ssim=0.98`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.dataclass import dataclass
from convcli.errors import RequestError, nearest
from convcli.facts.comparison import MEASURES
from convcli.units import UnitError, parse_quantity, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from convcli.facts.comparison import ChannelComparison, ComparisonFacts
    from convcli.signals import Signal

UNMATCHED = "unmatched"
# Measures that pictures alone have.
OF_PICTURES = ("psnr", "ssim")


@dataclass(frozen=True)
class Limit:
    """The largest allowed value of a measure, or the smallest one of a similarity."""

    measure: str
    value: float

    @property
    def is_least(self) -> bool:
        """Whether values below it are refused."""
        return MEASURES[self.measure].similarity

    @property
    def text(self) -> str:
        """The limit as written on the command line, without the option."""
        return f"{self.measure}={self.value:g}"

    def broken_by(self, row: ChannelComparison) -> str | None:
        """How the comparison of a channel breaks the limit, as text; None if it does not."""
        value = row.measure(self.measure)
        if value is None:
            if row.equal:
                return None
            return f"{self.measure} is not known, and a limit of {self.value:g} was asked for"
        if self.is_least and not value >= self.value:
            return f"{self.measure} {value:.6g} is below {self.value:g}"
        if not self.is_least and not value <= self.value:
            return f"{self.measure} {value:.6g} is above {self.value:g}"
        return None


def parse_limits(above: Iterable[str], below: Iterable[str]) -> list[Limit]:
    """The limits in the texts of `--fail-above` and of `--fail-below`.

    Raises RequestError for a text that is not a limit, or under the wrong one of the two options.
    """
    limits = [_parse_limit(text, "--fail-above", least=False) for text in above]
    limits += [_parse_limit(text, "--fail-below", least=True) for text in below]
    return limits


def _parse_limit(text: str, option: str, *, least: bool) -> Limit:
    names = [name for name, measure in MEASURES.items() if measure.similarity == least]
    name, sign, number = text.partition("=")
    name = name.strip()
    known = MEASURES.get(name)
    if known is not None and known.similarity != least:
        other = "--fail-below" if known.similarity else "--fail-above"
        grows = "more" if known.similarity else "less"
        raise RequestError(
            f"{option} {text}: a larger {name} means that the two are {grows} alike",
            hint=f"{other} {text}",
        )
    if known is None or not sign:
        near = nearest(name, names) or names[0]
        raise RequestError(
            f"{option} expects MEASURE=NUMBER with one of {', '.join(names)}, got {text!r}",
            hint=f"{option} {near}={number or 1}",
        )
    try:
        quantity = parse_quantity(number)
    except UnitError as error:
        raise RequestError(f"{option} {name}: {error}") from None
    if quantity.unit not in ("", "dB"):
        raise RequestError(f"{option} {name} expects a number, got {number!r}")
    return Limit(name, quantity.value)


def refuse_limits(limits: Sequence[Limit], signal: Signal) -> None:
    """Raise RequestError for a limit on a measure that signals of this kind do not have."""
    for limit in limits:
        if limit.measure in OF_PICTURES and not signal.medium.unit_scale and signal.axes < 2:
            raise RequestError(
                f"{limit.measure} is a measure of pictures, and these are {signal.medium.things}"
            )


def broken_limits(facts: ComparisonFacts, limits: Sequence[Limit]) -> Iterator[str]:
    """Yield a text for each limit that a comparison breaks.

    Unless they have a limit of their own, unmatched samples break every other limit, because
    nothing can be said about their difference.
    """
    names = [limit.measure for limit in limits]
    for row in facts.overall:
        label = f"{facts.b.path}: "
        if facts.together is None:
            label += f"{row.channel}: "
        if limits and UNMATCHED not in names and row.unmatched:
            samples = plural(row.unmatched, facts.a.medium.sample)
            yield f"{label}{samples} in only one of the two; {UNMATCHED}=N allows some"
        for limit in limits:
            broken = limit.broken_by(row)
            if broken is not None:
                yield label + broken
