"""Names that other programs use: the hint for a name that is not a step here.

A FILTER in a hint is written between backticks, and so is a command, which begins with `convcli`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from convcli.errors import comparable_name

if TYPE_CHECKING:
    from collections.abc import Iterator


class Answer(NamedTuple):
    """The answer to a name of another program.

    hint : what does the same here
    step : the step that does the same, with values if it needs some; empty if none does
    pattern : that step with {} where the values of the other program go; empty if they mean
        something else there
    """

    hint: str
    step: str = ""
    pattern: str = ""

    def with_values(self, values: str) -> Iterator[str]:
        """Yield the step with the values that were written, if they mean the same here.

        The second number of a geometry of ImageMagick, `0x2`, is a value by itself, too.

        >>> list(answer_by("gaussian:2", "gaussian:{}").with_values("0x2"))
        ['gaussian:0x2', 'gaussian:2']
        """
        if not values or not self.pattern:
            return
        yield self.pattern.format(values)
        geometry = re.match(r"\d*\.?\d*x(\d+\.?\d*)", values)
        if geometry is not None:
            yield self.pattern.format(geometry[1])


def answer_by(step: str, pattern: str = "") -> Answer:
    """The answer that names a step."""
    shown = f"`{step}`" if " " in step else step
    return Answer(f"did you mean {shown}?", step, pattern)


# The names of other programs by what answers them. They are in lower case, with _ for -, unless a
# step has the same name.

# Steps whose values mean the same in the other programs.
_SAME = {
    "box:5": "average avg mean uniform_filter",
    "leaky_relu:0.1": "lrelu",
    "gaussian:2": "blur gblur gaussblur gaussian_blur adaptive_blur smooth",
    "correlate:1,2,1": "filter2d imfilter",
    "kernel:1,2,1": "fftconvolve oaconvolve",
    "downsample:2": "decimate",
    "ema:span=12": "ewm",
    "motion:10": "motion_blur",
    "highpass": "hp hpf lowcut low_cut",
    "lowpass": "lp lpf highcut high_cut",
    "bandpass": "bp bpf",
    "sma:20": "ma moving_average rolling",
    "resample:16k": "rate aresample",
    "ir:hall.wav": "afir convolution_reverb",
    "savgol:11,3": "savitzky_golay savgol_filter",
    "resize:50%": "scale sample rescale zoom",
    "resize:320x": "thumbnail",
    "gain:2": "vol amplify volume",
    "notch:50": "bandreject iirnotch",
    "lag:1": "delay shift",
    "median:3": "medfilt",
    "min:3": "erosion minimum",
    "max:3": "dilation maximum",
    "std:20": "stddev stdev",
    "diff:1": "delta",
    "var:20": "variance",
    "zscore:20": "z_score",
    "bollinger:20,2": "bbands",
    "diff:10": "mom momentum",
    "100 * pct_change:10": "roc",
    "dog:1,2": "difference_of_gaussians",
    "laplacian_of_gaussian:2": "LoG gaussian_laplace",
    "offset:0.1": "dcshift",
    "upsample:2": "oversample interp",
    "hann:5": "hanning",
}
# Steps whose values mean something else there.
_STEPS = {
    "box:5": "boxblur avgblur",
    "kernel:1,2,1": "sepfilter2d convolution convolve fir",
    "correlate:1,2,1": "conv1d conv2d",
    "gradient": "derivative",
    "sobel": "edge edges roberts kirsch",
    "ema:span=12": "ewma",
    "response:@curve.csv": "firequalizer",
    "lowpass": "firwin",
    "gaussian:2": "gaussianblur smartblur",
    "laplacian_of_gaussian:2": "log_filter",
    "resample:16k": "resample_poly",
    "ir:hall.wav": "reverb",
    "unsharp:2,0.5": "unsharp_mask usm",
    "peak:1k,6": "equalizer anequalizer eq peaking iirpeak",
    "grey": "desaturate monochrome bw colorspace",
    "quantile:20,50%": "percentile rank_filter",
    "quantile:5,50%": "ordfilt2",
    "hampel:7": "outliers declick adeclick despike",
    "triangle:5": "bartlett triang",
    "hann:5": "hamming blackman",
    "elu": "celu",
    "median:3": "despeckle",
    "laplacian": "laplace",
    "avg_pool:8 | resize:800%,method=nearest": "pixelate mosaic",
    "downsample:2": "pyrdown",
    "upsample:2": "pyrup",
}
# Steps, and the same with {} where the values of the other program go.
_PATTERNS = {
    ("ema:alpha=1/14", "ema:alpha=1/{}"): "rma smma wilder",
    # A step, whose number is decibels after a blank: `gain -6` of SoX.
    ("gain:-6dB", "gain:{}dB"): "gain",
    ("normalize:-1dB", "normalize:{}dB"): "norm",
    ("lowshelf:100,6", "lowshelf:100,{}"): "bass",
    ("highshelf:3k,6", "highshelf:3k,{}"): "treble",
    ("notch:50,harmonics=8", "notch:{},harmonics=8"): "dehum",
    ("min:3 | max:3", "min:{0} | max:{0}"): "opening open grey_opening",
    ("max:3 | min:3", "max:{0} | min:{0}"): "closing close grey_closing",
    ("x - (min:5 | max:5)", "x - (min:{0} | max:{0})"): "tophat top_hat white_tophat",
    ("(max:5 | min:5) - x", "(max:{0} | min:{0}) - x"): "blackhat black_tophat bottom_hat",
    ("max:3 - min:3", "max:{0} - min:{0}"): "morphological_gradient",
    ("max:20 & min:20", "max:{0} & min:{0}"): "donchian",
}
# Names, and what does the same where no single step does; NAME stands for the name.
_HINTS = {
    "conv conv_transpose batch_norm prelu dense": (
        "a layer has weights: `model:net.safetensors` runs one; `kernel:1,2,1` takes written taps"
    ),
    "instance_norm group_norm layer_norm": (
        "takes the mean of the whole signal, and layers here read a neighbourhood each"
    ),
    "dropout": "does nothing once a network is trained; leave it out",
    "relu6": "`clip:0,6`",
    "selu": "`elu:1.67326 | gain:1.0507`",
    "glu swiglu": "half of the channels weigh the others, which no layer here does",
    "hardtanh": "`clip:-1,1`",
    "batchnorm": "the layer is called batch_norm",
    "linear": "the layer is called dense:OUT, after a flatten",
    "depth_to_space": "the layer is called pixel_shuffle:N",
    (
        "butter butterworth cheby cheby1 cheby2 bessel ellip iir iirfilter lfilter sos sosfilt "
        "allpass"
    ): ("filters here are convolutions: `lowpass:0.1`, or `lowpass:0.1,phase=minimum`"),
    "filtfilt": "`lowpass:0.1` with --align center has no delay, as filtfilt",
    "biquad": "`peak:1k,6`, `lowshelf:100,6`, `highshelf:8k,6` and `notch:50` are biquads",
    "autoeq": "`response:@sample_data/headphone.csv` reads the files of AutoEq",
    "graphiceq": "response:@GraphicEQ.txt reads the file as it comes",
    "dema": "`2 * ema:span=9 - (ema:span=9 | ema:span=9)` is the double one of 9",
    "tema": (
        "`3 * ema:span=9 - 3 * (ema:span=9 | ema:span=9) + (ema:span=9 | ema:span=9 | ema:span=9)`"
    ),
    "hma": "`2 * wma:8 - wma:16 | wma:4` is the Hull moving average of 16",
    "trix": "`ema:span=15 | ema:span=15 | ema:span=15 | 100 * pct_change`",
    "linreg lsma linearreg": (
        "`3 * wma:14 - 2 * sma:14` is the last value of the line through 14 samples"
    ),
    "slope": "`6/13 * (wma:14 - sma:14)` is the slope of the line through 14 samples",
    "log_returns log_return": (
        "`log | diff` gives logarithmic returns, `pct_change` relative changes"
    ),
    "returns": "`pct_change` gives relative changes, `log | diff` logarithmic returns",
    "sinc": "`lowpass:3.4k` is sinc -3.4k of SoX, `highpass:100` sinc 100",
    "gate agate noisegate noise_gate": (
        "`x * (rms:20ms | offset:-0.01 | sign | relu | hann:20ms)` mutes what is softer than 0.01"
    ),
    "compand compressor acompressor dynaudnorm agc": (
        "`0.1 * x / (rms:0.4s + 0.05)` raises soft parts more than loud ones"
    ),
    "limiter alimiter": (
        "`0.5 * x / (abs | max:25ms | clip:0.5,100 | hann:20ms)` lets no sample exceed 0.5"
    ),
    "loudnorm loudness lufs lkfs ebur128 r128 replaygain": (
        "--report page.html measures LUFS; `gain:-3dB` lowers the loudness by 3 LU"
    ),
    "deess deesser desibilate": ("`highshelf:5k,-4` lowers sibilants, and all else above 5 kHz"),
    "shelf": "`lowshelf:100,6` raises the bass, `highshelf:8k,6` the treble",
    "hum": "`notch:50,harmonics=8` takes out 50 Hz and its multiples",
    "echo": "`x + 50% * lag:250ms` repeats a sound once",
    "chorus flanger phaser tremolo": (
        "no step changes with time; `ir:hall.wav` convolves with any recorded room or device"
    ),
    "overdrive distortion": "`gain:12dB | tanh` saturates",
    "pitch tempo atempo speed stretch": (
        "no step changes speed or pitch; `resample:16k` changes the rate and keeps both"
    ),
    "mirror roll rotate flip flop transpose": (
        "no step moves, rotates or cuts samples; `resize:50%` changes the size"
    ),
    "fade afade": "a fade is no convolution; SoX does it: sox in.wav out.wav fade 0.5 0 0.5",
    "crossover acrossover linkwitz linkwitz_riley lr2 lr4 lr8": (
        "`lowpass:2k & x - lowpass:2k` makes two bands, as two channels whose sum is the sound"
    ),
    "width stereo_width stereowiden extrastereo": (
        "`mix:1.25,-0.25;-0.25,1.25` makes the side of left and right 1.5 times as large"
    ),
    "reverse silence trim pad": (
        "no step moves or cuts samples; SoX does: sox in.wav out.wav trim 0 10"
    ),
    "crop": "`resize:640x480,fit=cover` cuts off what sticks out",
    "swap": "`pick:2,1` swaps left and right",
    "midside mid_side mid side": (
        "`mix:0.5,0.5;0.5,-0.5` makes middle and side of left and right, `mix:1,1;1,-1` goes back"
    ),
    "spectrogram spectrum fft stft": "--report page.html draws the spectrum and the spectrogram",
    "preemphasis": "`kernel:1,-0.97` raises what rises, as y[t] = x[t] - 0.97 x[t-1]",
    "aweighting a_weighting k_weighting riaa deemphasis deemph": (
        "response:@curve.csv filters with any curve of frequencies and decibels"
    ),
    "left": "`pick:1` is the left channel",
    "right": "`pick:2` is the right channel",
    "downmix": (
        "`mono` is the mean of all channels; of 5.1 "
        "'mix:1,0,0.71,0,0.71,0;0,1,0.71,0,0,0.71' makes stereo (BS.775)"
    ),
    "pan remix channels": "`mono` is the mean of all channels, mix:0.7,0.3 any weighted sum of two",
    "stereo": "`mix:1;1` makes two channels of one",
    "gamma": "no step raises to a power but `square` and `sqrt`; --linear filters linear light",
    "level levels autolevel autocontrast contrast_stretch": (
        "`normalize` scales up to white; --range scale fits all values in"
    ),
    "equalize clahe histeq equalizehist equalize_hist equalize_adapthist": (
        "`local_contrast:31` brings out detail everywhere"
    ),
    "saturation hue": "`grey` takes all colour away; mix with three rows of weights changes it",
    "bilateral denoise_bilateral guided guided_filter anisotropic perona_malik kuwahara tv": (
        "`median:5` smooths and keeps edges; `gaussian:2` smooths edges too"
    ),
    "shrink bin binning rebin block_reduce": (
        "`avg_pool:2` is the mean of 2 x 2 pixels, `sum_pool:2` their sum"
    ),
    "lanczos bicubic": "`resize:50%,method=lanczos3` and method=cubic make another size",
    "hessian frangi structure_tensor": (
        "no step takes eigenvalues; `laplacian_of_gaussian:2` shows blobs, `gabor:8,45` lines"
    ),
    "gradient_magnitude gaussian_gradient_magnitude": (
        "`gaussian:2 | sobel | gain:1/8` is the magnitude of the gradient for each pixel"
    ),
    "white_balance": "`mix:1.1,0,0;0,1,0;0,0,0.9` scales each colour by itself",
    "flatfield flat_field": "`128 * x / box:101` evens out the light of an 8-bit picture",
    "premultiply unpremultiply": (
        "colours are weighted by their opacity; --channels rgb takes them as they are stored"
    ),
    "registration phase_correlation": "`convcli compare A B` measures how far B is shifted",
    "xcorr ncc": "`convcli detect part.png picture.png` is the normalised cross-correlation",
    "morphology": "`min:3` erodes, `max:3` dilates, `min:3 | max:3` opens, `max:3 | min:3` closes",
    "volatility": (
        "`std:20` measures a spread; `diff | abs | box:20` is the mean step from sample to sample"
    ),
    "atr true_range": (
        "of -c High,Low `mix:1,-1 | ema:alpha=1/14` is the mean range, `std:14` measures a spread"
    ),
    "lead": "one sample earlier is `correlate:0,0,1` with --align center",
    "willr": "`-100 * (max:14 - x) / (max:14 - min:14)` is %R of a single column",
    "stochrsi": "`rsi:14 | 100 * (x - min:14) / (max:14 - min:14)`",
    "ppo": "`100 * (ema:span=12 - ema:span=26) / ema:span=26`",
    "kama adx obv cci": (
        "NAME is not a step; `ema:span=12`, `sma:20` and `diff` are the convolutions that "
        "it is made of"
    ),
    "ohlc ohlcv weekly": (
        "`last_pool:1w` with --time and --set High=max_pool:1w; `convcli csv --help` shows it"
    ),
    "monthly": "`last_pool:1mo` with --time is the last value of each month",
    "iqr": "`quantile:20,75% - quantile:20,25%` is the interquartile range of 20 samples",
    "mode": "`median:5` is the middle value of 5 samples; no step finds the most frequent one",
    "quantize quantise posterize": "no step rounds values; --decimals rounds those of a table",
    "skew skewness kurt kurtosis": (
        "no step takes moments above the second; `std:20` measures a spread"
    ),
    "corr correl correlation cov beta": (
        "of -c A,B the covariance: `(pick:1 * pick:2 | sma:20) - (pick:1 | sma:20) * "
        "(pick:2 | sma:20)`"
    ),
    "ffill": "`ema:alpha=1` with --missing fill carries the last known value on",
    "fillna bfill": "--missing fill estimates missing values from their neighbours",
    "stoch": (
        "of -c High,Low,Close: `100 * (pick:3 - (pick:2 | min:14)) / ((pick:1 | max:14) - "
        "(pick:2 | min:14))`"
    ),
    "vwap vwma": (
        "of -c Close,Volume: `(pick:1 * pick:2 | sum:20) / (pick:2 | sum:20)`, over 20 rows"
    ),
    "cumsum integrate": (
        "a running sum has no end and is not a convolution, and no step does it; `sum:7` "
        "adds up 7 samples"
    ),
    "canny edgedetect corner": "`sobel` gives the strength of edges; no step makes lines of them",
    "hough watershed skeleton": (
        "no step finds shapes; `sobel` gives edges, `convcli detect` the places of a template"
    ),
    "denoise noise_reduction noisered afftdn wiener nlmeans fastnlmeans arnndn bm3d nlm "
    "nl_means non_local_means wiener2": (
        "`median:3` removes spikes, `convcli learn --blind` learns a filter that removes noise"
    ),
    "deconvolve richardson_lucy deblur richardson lucy rl unsupervised_wiener": (
        "`convcli learn blurred.png sharp.png` learns the inverse from a pair"
    ),
    "threshold binarize otsu": (
        "`offset:-128 | sign | relu | gain:255` is white above 128, and black elsewhere"
    ),
    "rolling_ball subtract_background": (
        "`x - (min:101 | max:101)` takes away what varies over more than 101 pixels"
    ),
    "invert negate negative neg": (
        "`gain:-1` changes the sign; on 8-bit pictures `gain:-1 | offset:255` inverts"
    ),
    "brightness": "`offset:20` makes brighter, `gain:1.2` too",
    "contrast": "`gain:1.2` about 0; `offset:-128 | gain:1.2 | offset:128` about the middle",
    "dc dcblock": "`demean` removes the mean, `highpass:20` what lies below 20 Hz",
    "detrend": "`demean` removes the mean, `highpass:0.05` what is slower than 20 samples",
    "add": "an operator stands between spaces: `x + 1`, or `offset:1`",
    "mul": "an operator stands between spaces: `x * 2`, or `gain:2`",
    "pow power": "`square` and `x * x` are the square, `sqrt` is the root",
    "lowess loess": (
        "`savgol:11,2` fits a polynomial to the samples around each, `gaussian:2` smooths"
    ),
    "interpolate": "--missing fill estimates missing values; `resample:16k` changes a rate",
    "cat": "a chain is written with |: `box:3 | diff`",
}


def _names_with_answers() -> Iterator[tuple[str, Answer]]:
    """Yield each name of another program with its answer."""
    for step, names in _SAME.items():
        name, _, _ = step.partition(":")
        answer = answer_by(step, f"{name}:{{}}")
        yield from ((each, answer) for each in names.split())
    for step, names in _STEPS.items():
        yield from ((each, answer_by(step)) for each in names.split())
    for (step, pattern), names in _PATTERNS.items():
        yield from ((each, answer_by(step, pattern)) for each in names.split())
    for names, hint in _HINTS.items():
        yield from ((each, Answer(hint.replace("NAME", each))) for each in names.split())


OTHER_NAMES = dict(_names_with_answers())

# What other programs call the only value of a filter.
LONE_VALUES = ("window", "length", "size", "timeperiod", "period", "periods", "f", "frequency")

# What is written before or after the name of a filter in other programs: rolling_mean, medfilt2d.
_PREFIXES = "(?:rolling|moving|ts|ta)_"
_SUFFIXES = "_?(?:1d|2d|filter|blur)"


def answer_to(name: str) -> Answer | None:
    """The answer to a name that another program uses; None if the name is unknown."""
    for form in (name, comparable_name(name), without_affixes(name)):
        if form in OTHER_NAMES:
            return OTHER_NAMES[form]
    return None


def without_affixes(name: str) -> str:
    """A name of another program without the words that go with many of its filters.

    >>> without_affixes("rolling_mean"), without_affixes("maximum_filter1d")
    ('mean', 'maximum')
    """
    bare = comparable_name(name)
    for _ in range(2):
        bare = re.sub(f"^{_PREFIXES}|{_SUFFIXES}$", "", bare)
    return bare
