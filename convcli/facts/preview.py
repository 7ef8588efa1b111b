"""What is drawn of a signal: outlines, spectra, excerpts and reduced pictures, of bounded size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from convcli.array_types import ByteArray, IntArray

    Numbers = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class OutlineFacts:
    """The smallest and the largest sample of each channel in bins of equal length.

    group : the group of a table that it belongs to
    channels : names of the channels
    length : how many samples there are
    per_bin : samples of a bin
    start : the position of the first sample, in samples of the input
    spacing : samples of the input from one sample to the next
    low, high : (bins, channels); NaN where a bin has no sample
    gaps : (bins, channels), how many samples are missing
    axis : (bins, 2), the first and the last place in each bin on the axis: times in seconds since
        1970 in local time, or rows of a file; None where places are samples
    rows : (bins, 2), the first and the last row of the file in each bin, where it is noted and the
        axis is one of times
    peak : the largest |sample| of each channel
    rms : the root mean square of all samples; None of tables
    """

    group: str = ""
    channels: tuple[str, ...]
    length: int
    per_bin: int
    start: float = 0.0
    spacing: float = 1.0
    low: Numbers
    high: Numbers
    gaps: IntArray
    axis: Numbers | None = None
    rows: Numbers | None = None
    peak: tuple[float, ...]
    rms: float | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class SpectrogramFacts:
    """Mean power of all channels in short frames at regular distances.

    power : (frames, frequencies) from 0 to half the rate
    first : seconds from the start of the sound to the middle of the first frame
    seconds : from the start of a frame to that of the next
    """

    power: Numbers
    first: float
    seconds: float

    @property
    def middles(self) -> Numbers:
        """Seconds from the start of the sound to the middle of each frame."""
        import numpy as np

        return self.first + self.seconds * np.arange(len(self.power))


@dataclass(frozen=True, eq=False, kw_only=True)
class ExcerptFacts:
    """Samples of a sound to listen to, (n, channels) from -1 to 1, from `start` seconds on."""

    samples: Numbers
    rate: float
    start: float


@dataclass(frozen=True, eq=False, kw_only=True)
class PictureFacts:
    """A picture reduced to a size that a page can show.

    shape : rows and columns of the whole picture
    reduced : (rows, columns, 1, 3 or 4) bytes: grey, or R, G, B, and the opacity
    detail : a part in the full size, as `reduced`; corner : row and column of its first pixel
    channels : names of the channels of `histogram`
    undrawn : names of the channels that are not drawn
    histogram : (channels, bins), how many of the samples lie in each part of the range; each counts
        by its opacity
    full_scale : the value of full intensity
    drawn : the values that are drawn as black and as white, and the range of the histogram
    samples : the detail with all channels of the file, as the filter reads or writes them
    """

    shape: tuple[int, int]
    reduced: ByteArray
    detail: ByteArray
    corner: tuple[int, int]
    channels: tuple[str, ...]
    undrawn: tuple[str, ...]
    histogram: Numbers
    full_scale: float
    drawn: tuple[float, float]
    samples: Numbers


@dataclass(frozen=True, eq=False, kw_only=True)
class LikenessFacts:
    """How a filtered picture differs from the original, as they are seen.

    Colours are compared as they are over black, times their opacity, and the opacity is one more
    channel; where one of the two has none, the colours alone are compared.

    difference : reduced |after - before|, (rows, columns, 1 or 3) bytes; of the opacity where that
        differs more than the colour
    brightest : the difference from which on all are drawn in full brightness
    largest : the largest difference, of the pictures as they are reduced
    psnr : in dB, infinite for equal pictures; of every n-th pixel, where `sampled` is n
    ssim : of the pictures averaged to the size at which they are shown, as Wang et al. advise
    """

    difference: ByteArray
    brightest: float
    largest: float
    psnr: float
    ssim: float | None
    sampled: int


@dataclass(frozen=True, eq=False, kw_only=True)
class SignalPreview:
    """What is drawn of one signal; what its medium does not have is empty.

    rate : samples per second, None if the signal knows no time
    loudness : of sound in LUFS (ITU-R BS.1770), None for silence
    loudness_seconds : how much of the sound was measured
    more_groups : groups of a table that are not drawn
    timed : outlines of a table lie over times; dated : these are dates, not numbers
    """

    rate: float | None = None
    outlines: tuple[OutlineFacts, ...] = ()
    more_groups: int = 0
    timed: bool = False
    dated: bool = False
    spectrogram: SpectrogramFacts | None = None
    loudness: float | None = None
    loudness_seconds: float | None = None
    excerpt: ExcerptFacts | None = None
    picture: PictureFacts | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class FeatureMapFacts:
    """The channels that a layer makes of a part of a signal.

    layer : as written; number : counted from 0; -1 for the part itself
    maps : (channels, n) or (channels, rows, columns); of many channels the first
    channels : how many there are
    """

    layer: str
    number: int
    maps: Numbers
    channels: int


@dataclass(frozen=True, eq=False, kw_only=True)
class SearchedFacts:
    """What is drawn of one input of a search.

    path : as the hits name it
    page : number of the page of a picture, from 1; None where there is one page
    in_seconds : positions of hits are in seconds, else rows from 1
    """

    path: str
    page: int | None
    in_seconds: bool
    signal: SignalPreview


@dataclass(frozen=True, eq=False, kw_only=True)
class PreviewFacts:
    """What is drawn of the input and of the output of a run, or of two signals that are compared.

    names : what the two are called
    difference : of two sounds, of what can be listened to; None where they cannot be subtracted
    pages : of a picture of several pages, small pictures of all but the first; more_pages : pages
        that are not drawn
    small : only as much as a thumbnail needs
    """

    before: SignalPreview
    after: SignalPreview
    names: tuple[str, str] = ("before", "after")
    difference: OutlineFacts | None = None
    likeness: LikenessFacts | None = None
    pages: tuple[PreviewFacts, ...] = ()
    more_pages: int = 0
    small: bool = False
