"""Facts of `compare`: how far two signals differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.facts import InputFacts


@dataclass(frozen=True, kw_only=True)
class ComparisonMeasure:
    """One of the measures of a comparison, which are fields of `ChannelComparison`.

    help : what it is, in a few words
    limit : an example of a limit, for hints
    similarity : a larger value means that the signals are more alike
    in_decibels : a limit may be written with dB
    """

    help: str
    limit: str
    similarity: bool = False
    in_decibels: bool = False


# The measures that can be limited, in the order in which they are printed.
MEASURES = {
    "rms": ComparisonMeasure(help="root mean square of B - A", limit="0.001"),
    "largest": ComparisonMeasure(help="largest |B - A|", limit="0.01"),
    "snr": ComparisonMeasure(
        help="power of A over that of B - A, in dB", limit="60", similarity=True, in_decibels=True
    ),
    "correlation": ComparisonMeasure(
        help="correlation coefficient of A and B", limit="0.99", similarity=True
    ),
    "delay": ComparisonMeasure(help="samples by which B is later than A", limit="0.5"),
    "spectrum": ComparisonMeasure(
        help="root mean square over frequency of the spectra's difference, in dB",
        limit="1",
        in_decibels=True,
    ),
    "psnr": ComparisonMeasure(
        help="squared full scale over the mean of (B - A)^2, in dB",
        limit="40",
        similarity=True,
        in_decibels=True,
    ),
    "ssim": ComparisonMeasure(help="mean structural similarity", limit="0.98", similarity=True),
    "unmatched": ComparisonMeasure(help="samples that only one of the two has", limit="5"),
}


@dataclass(frozen=True, kw_only=True)
class ChannelComparison:
    """How one channel of B differs from that of A, or all channels together.

    The colours of a picture with opacity are those that are seen over black: times the opacity.

    channel : its name; `all` for all channels together
    samples : how many samples were compared
    unmatched : how many have a value in one of the two alone, or lie past the end of the other
    equal : all samples are equal and none is unmatched; two missing samples are equal
    rms : root mean square of B - A
    largest : largest |B - A|, in the first of the places where it occurs
    at : this place, an index from 0 for each sample axis; None where all samples are equal
    time : what the time column of a table says there
    value_a, value_b : the samples of A and B there
    snr : 10 log10(sum A^2 / sum (B - A)^2) in dB; infinite where B equals A
    correlation : correlation coefficient; None where one of the two is constant
    delay : samples by which B is later than A, along each axis, found between samples; None where
        no delay stands out
    delay_correlation : correlation at the whole number of samples nearest to `delay`
    spectrum : root mean square over frequency of the difference between the mean power spectra in
        dB; powers below -120 dB of the largest count as that
    spectrum_largest, spectrum_at : the largest such difference, B over A, and its frequency
    psnr : 10 log10(full scale^2 / mean (B - A)^2) of pictures in dB
    ssim : mean structural similarity of pictures (Wang et al., 2004), None of pictures with a side
        of less than 11 pixels
    """

    channel: str
    samples: int
    unmatched: int = 0
    equal: bool = False
    rms: float | None = None
    largest: float | None = None
    at: tuple[int, ...] | None = None
    time: str = ""
    value_a: float | None = None
    value_b: float | None = None
    snr: float | None = None
    correlation: float | None = None
    delay: tuple[float, ...] | None = None
    delay_correlation: float | None = None
    spectrum: float | None = None
    spectrum_largest: float | None = None
    spectrum_at: float | None = None
    psnr: float | None = None
    ssim: float | None = None

    def measure(self, name: str) -> float | None:
        """The value of a measure as one number; the delay is the largest of all axes, unsigned."""
        value = vars(self)[name]
        if isinstance(value, tuple):
            return max(abs(float(each)) for each in value)
        number: float | None = value
        return number


@dataclass(frozen=True, kw_only=True)
class ComparisonFacts:
    """The comparison of two signals.

    a, b : the signals; A is the reference
    channels : one for each channel that both have
    together : all these channels as one; None where they are several unrelated quantities
    frequency_unit : of `spectrum_at`
    remarks : what could not be compared
    """

    a: InputFacts
    b: InputFacts
    channels: tuple[ChannelComparison, ...]
    together: ChannelComparison | None = None
    frequency_unit: str = "cycles/sample"
    remarks: tuple[str, ...] = ()

    @property
    def page(self) -> object:
        """The number of the page that is compared, from 1; None if neither input has pages."""
        return self.a.details.get("page", self.b.details.get("page"))

    @property
    def equal(self) -> bool:
        """Whether all channels are equal and nothing was left out."""
        return not self.remarks and all(each.equal for each in self.channels)

    @property
    def rows(self) -> tuple[ChannelComparison, ...]:
        """All channels together, if they are of one kind, and then each of several."""
        if self.together is None:
            return self.channels
        return (self.together, *(self.channels if len(self.channels) > 1 else ()))

    @property
    def overall(self) -> tuple[ChannelComparison, ...]:
        """What the whole signal is judged by: all channels together, or each unrelated one."""
        return self.channels if self.together is None else (self.together,)
