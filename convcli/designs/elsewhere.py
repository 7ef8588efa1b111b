"""Names that other programs use: the hint for a name that is not a step here.

A FILTER in a hint is written between backticks, and so is a command, which begins with `convcli`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

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

        >>> list(_same("gaussian:2").with_values("0x2"))
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


def _same(step: str) -> Answer:
    """The step whose values mean what they mean elsewhere."""
    name, _, _ = step.partition(":")
    return answer_by(step, f"{name}:{{}}")


_POWERS = "`square` and `x * x` are the square, `sqrt` is the root"
_LOCAL_FITS = "`savgol:11,2` fits a polynomial to the samples around each, `gaussian:2` smooths"
_NO_CONVOLUTION = "is not a convolution, and no step does it"
_SPREAD = "`std:20` measures a spread; `diff | abs | box:20` is the mean step from sample to sample"
_MORPHOLOGY = "`min:3` erodes, `max:3` dilates, `min:3 | max:3` opens, `max:3 | min:3` closes"
_NOISE = "`median:3` removes spikes, `convcli learn --blind` learns a filter that removes noise"
_DEBLUR = "`convcli learn blurred.png sharp.png` learns the inverse from a pair"
_EDGES = "`sobel` gives the strength of edges; no step makes lines of them"
_GEOMETRY = "no step moves, rotates or cuts samples; `resize:50%` changes the size"
_SPEED = "no step changes speed or pitch; `resample:16k` changes the rate and keeps both"
_DYNAMICS = "no step follows the loudness; `gain:-6dB` and `normalize:-1dB` are the same everywhere"
_EFFECT = "no step changes with time; `ir:hall.wav` convolves with any recorded room or device"
_RECURSIVE = "filters here are convolutions: `lowpass:0.1`, or `lowpass:0.1,phase=minimum`"
_TRADE = "is not a step; `ema:span=12`, `sma:20` and `diff` are the convolutions that it is made of"
_SUMS = f"a running sum has no end and {_NO_CONVOLUTION}; `sum:7` adds up 7 samples"
_THRESHOLD = "no step compares with a threshold; `offset:-128 | relu` is 0 up to 128"
_RANGE = "`normalize` scales up to white; --range scale fits all values in"
_LOCAL = "`local_contrast:31` brings out detail everywhere"
_OHLC = "`last_pool:1w` with --time and --set High=max_pool:1w; `convcli csv --help` shows it"
_GAPS = "--missing fill estimates missing values from their neighbours"
_TWO = (
    "of -c A,B the covariance: `(pick:1 * pick:2 | sma:20) - (pick:1 | sma:20) * (pick:2 | sma:20)`"
)
_WEIGHTED = "of -c Close,Volume: `(pick:1 * pick:2 | sum:20) / (pick:2 | sum:20)`, over 20 rows"
_RANGE_OF_ROWS = (
    "of -c High,Low `mix:1,-1 | ema:alpha=1/14` is the mean range, `std:14` measures a spread"
)
_SHAPES = "no step finds shapes; `sobel` gives edges, `convcli detect` the places of a template"
_WEIGHTS = (
    "a layer has weights: `model:net.safetensors` runs one; `kernel:1,2,1` takes written taps"
)
_INVERT = "`gain:-1` changes the sign; on 8-bit pictures `gain:-1 | offset:255` inverts"

_STATISTICS = "takes the mean of the whole signal, and layers here read a neighbourhood each"
_NOTHING = "does nothing once a network is trained; leave it out"


# Names are in lower case, with _ for -, unless a step has the same name.
_STEPS = {
    "average": _same("box:5"),
    "avg": _same("box:5"),
    "lrelu": _same("leaky_relu:0.1"),
    "blur": _same("gaussian:2"),
    "boxblur": answer_by("box:5"),
    "filter2d": _same("correlate:1,2,1"),
    "sepfilter2d": answer_by("kernel:1,2,1"),
    "fftconvolve": _same("kernel:1,2,1"),
    "oaconvolve": _same("kernel:1,2,1"),
    "convolution": answer_by("kernel:1,2,1"),
    "conv1d": answer_by("correlate:1,2,1"),
    "conv2d": answer_by("correlate:1,2,1"),
    "convolve": answer_by("kernel:1,2,1"),
    "decimate": _same("downsample:2"),
    "derivative": answer_by("gradient"),
    "edge": answer_by("sobel"),
    "edges": answer_by("sobel"),
    "ewm": _same("ema:span=12"),
    "ewma": answer_by("ema:span=12"),
    "firequalizer": answer_by("response:@curve.csv"),
    "fir": answer_by("kernel:1,2,1"),
    "firwin": answer_by("lowpass"),
    "gblur": _same("gaussian:2"),
    "gaussblur": _same("gaussian:2"),
    "gaussian_blur": _same("gaussian:2"),
    "gaussianblur": answer_by("gaussian:2"),
    "adaptive_blur": _same("gaussian:2"),
    "smartblur": answer_by("gaussian:2"),
    "motion_blur": _same("motion:10"),
    "avgblur": answer_by("box:5"),
    "hp": _same("highpass"),
    "hpf": _same("highpass"),
    "log_filter": answer_by("laplacian_of_gaussian:2"),
    "lp": _same("lowpass"),
    "lpf": _same("lowpass"),
    "bp": _same("bandpass"),
    "bpf": _same("bandpass"),
    "ma": _same("sma:20"),
    "rma": answer_by("ema:alpha=1/14", "ema:alpha=1/{}"),
    "smma": answer_by("ema:alpha=1/14", "ema:alpha=1/{}"),
    "wilder": answer_by("ema:alpha=1/14", "ema:alpha=1/{}"),
    "mean": _same("box:5"),
    "moving_average": _same("sma:20"),
    "rate": _same("resample:16k"),
    "aresample": _same("resample:16k"),
    "resample_poly": answer_by("resample:16k"),
    "reverb": answer_by("ir:hall.wav"),
    "afir": _same("ir:hall.wav"),
    "convolution_reverb": _same("ir:hall.wav"),
    "rolling": _same("sma:20"),
    "savitzky_golay": _same("savgol:11,3"),
    "savgol_filter": _same("savgol:11,3"),
    "scale": _same("resize:50%"),
    "sample": _same("resize:50%"),
    "smooth": _same("gaussian:2"),
    "thumbnail": _same("resize:320x"),
    "uniform_filter": _same("box:5"),
    "vol": _same("gain:2"),
    "amplify": _same("gain:2"),
    # A step, whose number is decibels after a blank: `gain -6` of SoX.
    "gain": answer_by("gain:-6dB", "gain:{}dB"),
    "volume": _same("gain:2"),
    "unsharp_mask": answer_by("unsharp:2,0.5"),
    "usm": answer_by("unsharp:2,0.5"),
    "norm": answer_by("normalize:-1dB", "normalize:{}dB"),
    "bass": answer_by("lowshelf:100,6", "lowshelf:100,{}"),
    "treble": answer_by("highshelf:3k,6", "highshelf:3k,{}"),
    "equalizer": answer_by("peak:1k,6"),
    "anequalizer": answer_by("peak:1k,6"),
    "eq": answer_by("peak:1k,6"),
    "peaking": answer_by("peak:1k,6"),
    "bandreject": _same("notch:50"),
    "iirnotch": _same("notch:50"),
    "iirpeak": answer_by("peak:1k,6"),
    "dehum": answer_by("notch:50,harmonics=8", "notch:{},harmonics=8"),
    "delay": _same("lag:1"),
    "downmix": answer_by("mono"),
    "desaturate": answer_by("grey"),
    "monochrome": answer_by("grey"),
    "bw": answer_by("grey"),
    "colorspace": answer_by("grey"),
    "medfilt": _same("median:3"),
    "percentile": answer_by("quantile:20,50%"),
    "rank_filter": answer_by("quantile:20,50%"),
    "ordfilt2": answer_by("quantile:5,50%"),
    "outliers": answer_by("hampel:7"),
    "declick": answer_by("hampel:7"),
    "adeclick": answer_by("hampel:7"),
    "despeckle": answer_by("median:3"),
    "erosion": _same("min:3"),
    "minimum": _same("min:3"),
    "dilation": _same("max:3"),
    "maximum": _same("max:3"),
    "opening": answer_by("min:3 | max:3", "min:{0} | max:{0}"),
    "open": answer_by("min:3 | max:3", "min:{0} | max:{0}"),
    "closing": answer_by("max:3 | min:3", "max:{0} | min:{0}"),
    "close": answer_by("max:3 | min:3", "max:{0} | min:{0}"),
    "tophat": answer_by("x - (min:5 | max:5)", "x - (min:{0} | max:{0})"),
    "blackhat": answer_by("(max:5 | min:5) - x", "(max:{0} | min:{0}) - x"),
    "stddev": _same("std:20"),
    "stdev": _same("std:20"),
    "delta": _same("diff:1"),
    "variance": _same("var:20"),
    "z_score": _same("zscore:20"),
    "shift": _same("lag:1"),
    "bbands": _same("bollinger:20,2"),
    "donchian": answer_by("max:20 & min:20", "max:{0} & min:{0}"),
    "mom": _same("diff:10"),
    "momentum": _same("diff:10"),
    "roc": answer_by("100 * pct_change:10", "100 * pct_change:{}"),
    "roberts": answer_by("sobel"),
    "kirsch": answer_by("sobel"),
    "laplace": answer_by("laplacian"),
    "difference_of_gaussians": _same("dog:1,2"),
    "LoG": _same("laplacian_of_gaussian:2"),
    "pixelate": answer_by("avg_pool:8 | resize:800%,method=nearest"),
    "mosaic": answer_by("avg_pool:8 | resize:800%,method=nearest"),
    "pyrdown": answer_by("downsample:2"),
    "pyrup": answer_by("upsample:2"),
    "dcshift": _same("offset:0.1"),
    "oversample": _same("upsample:2"),
    "interp": _same("upsample:2"),
}
_HINTS = {
    "conv": _WEIGHTS,
    "conv_transpose": _WEIGHTS,
    "batch_norm": _WEIGHTS,
    "prelu": _WEIGHTS,
    "instance_norm": _STATISTICS,
    "group_norm": _STATISTICS,
    "layer_norm": _STATISTICS,
    "dropout": _NOTHING,
    "relu6": "`clip:0,6`",
    "hardtanh": "`clip:-1,1`",
    "batchnorm": "the layer is called batch_norm",
    "linear": "the layer is called dense:OUT, after a flatten",
    "depth_to_space": "the layer is called pixel_shuffle:N",
    "dense": _WEIGHTS,
    "butter": _RECURSIVE,
    "butterworth": _RECURSIVE,
    "cheby1": _RECURSIVE,
    "cheby2": _RECURSIVE,
    "bessel": _RECURSIVE,
    "ellip": _RECURSIVE,
    "lfilter": _RECURSIVE,
    "sosfilt": _RECURSIVE,
    "filtfilt": "`lowpass:0.1` with --align center has no delay, as filtfilt",
    "biquad": "`peak:1k,6`, `lowshelf:100,6`, `highshelf:8k,6` and `notch:50` are biquads",
    "allpass": _RECURSIVE,
    "autoeq": "`response:@sample_data/headphone.csv` reads the files of AutoEq",
    "graphiceq": "response:@GraphicEQ.txt reads the file as it comes",
    "dema": "`2 * ema:span=9 - (ema:span=9 | ema:span=9)` is the double one of 9",
    "tema": "`3 * ema:span=9 - 3 * (ema:span=9 | ema:span=9) "
    "+ (ema:span=9 | ema:span=9 | ema:span=9)`",
    "hma": "`2 * wma:8 - wma:16 | wma:4` is the Hull moving average of 16",
    "trix": "`ema:span=15 | ema:span=15 | ema:span=15 | 100 * pct_change`",
    "linreg": "`3 * wma:14 - 2 * sma:14` is the last value of the line through 14 samples",
    "lsma": "`3 * wma:14 - 2 * sma:14` is the last value of the line through 14 samples",
    "linearreg": "`3 * wma:14 - 2 * sma:14` is the last value of the line through 14 samples",
    "slope": "`6/13 * (wma:14 - sma:14)` is the slope of the line through 14 samples",
    "log_returns": "`log | diff` gives logarithmic returns, `pct_change` relative changes",
    "log_return": "`log | diff` gives logarithmic returns, `pct_change` relative changes",
    "returns": "`pct_change` gives relative changes, `log | diff` logarithmic returns",
    "sinc": "`lowpass:3.4k` is sinc -3.4k of SoX, `highpass:100` sinc 100",
    "loudnorm": _DYNAMICS,
    "compand": _DYNAMICS,
    "compressor": _DYNAMICS,
    "limiter": _DYNAMICS,
    "acompressor": _DYNAMICS,
    "alimiter": _DYNAMICS,
    "agate": _DYNAMICS,
    "dynaudnorm": _DYNAMICS,
    "loudness": _DYNAMICS,
    "fade": _DYNAMICS,
    "afade": _DYNAMICS,
    "gate": _DYNAMICS,
    "shelf": "`lowshelf:100,6` raises the bass, `highshelf:8k,6` the treble",
    "hum": "`notch:50,harmonics=8` takes out 50 Hz and its multiples",
    "echo": "`x + 50% * lag:250ms` repeats a sound once",
    "chorus": _EFFECT,
    "flanger": _EFFECT,
    "phaser": _EFFECT,
    "tremolo": _EFFECT,
    "overdrive": "`gain:12dB | tanh` saturates",
    "distortion": "`gain:12dB | tanh` saturates",
    "pitch": _SPEED,
    "tempo": _SPEED,
    "atempo": _SPEED,
    "speed": _SPEED,
    "stretch": _SPEED,
    "reverse": _GEOMETRY,
    "silence": _GEOMETRY,
    "mirror": _GEOMETRY,
    "roll": _GEOMETRY,
    "trim": _GEOMETRY,
    "crop": "`resize:640x480,fit=cover` cuts off what sticks out",
    "rotate": _GEOMETRY,
    "flip": _GEOMETRY,
    "flop": _GEOMETRY,
    "transpose": _GEOMETRY,
    "pad": _GEOMETRY,
    "swap": "`pick:2,1` swaps left and right",
    "left": "`pick:1` is the left channel",
    "right": "`pick:2` is the right channel",
    "pan": "`mono` is the mean of all channels, mix:0.7,0.3 any weighted sum of two",
    "remix": "`mono` is the mean of all channels, mix:0.7,0.3 any weighted sum of two",
    "stereo": "`mix:1;1` makes two channels of one",
    "channels": "`mono` is the mean of all channels, mix:0.7,0.3 any weighted sum of two",
    "gamma": "no step raises to a power but `square` and `sqrt`; --linear filters linear light",
    "level": _RANGE,
    "levels": _RANGE,
    "autolevel": _RANGE,
    "autocontrast": _RANGE,
    "contrast_stretch": _RANGE,
    "equalize": _LOCAL,
    "clahe": _LOCAL,
    "saturation": "`grey` takes all colour away; mix with three rows of weights changes it",
    "bilateral": "`median:5` smooths and keeps edges; `gaussian:2` smooths edges too",
    "morphology": _MORPHOLOGY,
    "volatility": _SPREAD,
    "atr": _RANGE_OF_ROWS,
    "true_range": _RANGE_OF_ROWS,
    "lead": "one sample earlier is `correlate:0,0,1` with --align center",
    "willr": "`-100 * (max:14 - x) / (max:14 - min:14)` is %R of a single column",
    "stochrsi": "`rsi:14 | 100 * (x - min:14) / (max:14 - min:14)`",
    "ppo": "`100 * (ema:span=12 - ema:span=26) / ema:span=26`",
    "kama": f"kama {_TRADE}",
    "adx": f"adx {_TRADE}",
    "obv": f"obv {_TRADE}",
    "cci": f"cci {_TRADE}",
    "ohlc": _OHLC,
    "ohlcv": _OHLC,
    "weekly": _OHLC,
    "monthly": "`last_pool:1mo` with --time is the last value of each month",
    "corr": _TWO,
    "cov": _TWO,
    "beta": _TWO,
    "ffill": _GAPS,
    "fillna": _GAPS,
    "bfill": _GAPS,
    "stoch": "of -c High,Low,Close: "
    "`100 * (pick:3 - (pick:2 | min:14)) / ((pick:1 | max:14) - (pick:2 | min:14))`",
    "vwap": _WEIGHTED,
    "vwma": _WEIGHTED,
    "cumsum": _SUMS,
    "integrate": _SUMS,
    "canny": _EDGES,
    "edgedetect": _EDGES,
    "hough": _SHAPES,
    "watershed": _SHAPES,
    "skeleton": _SHAPES,
    "corner": _EDGES,
    "denoise": _NOISE,
    "noise_reduction": _NOISE,
    "noisered": _NOISE,
    "afftdn": _NOISE,
    "wiener": _NOISE,
    "nlmeans": _NOISE,
    "fastnlmeans": _NOISE,
    "arnndn": _NOISE,
    "bm3d": _NOISE,
    "deconvolve": _DEBLUR,
    "richardson_lucy": _DEBLUR,
    "deblur": _DEBLUR,
    "threshold": _THRESHOLD,
    "binarize": _THRESHOLD,
    "otsu": _THRESHOLD,
    "invert": _INVERT,
    "negate": _INVERT,
    "negative": _INVERT,
    "neg": _INVERT,
    "brightness": "`offset:20` makes brighter, `gain:1.2` too",
    "contrast": "`gain:1.2` about 0; `offset:-128 | gain:1.2 | offset:128` about the middle",
    "dc": "`demean` removes the mean, `highpass:20` what lies below 20 Hz",
    "dcblock": "`demean` removes the mean, `highpass:20` what lies below 20 Hz",
    "detrend": "`demean` removes the mean, `highpass:0.05` what is slower than 20 samples",
    "add": "an operator stands between spaces: `x + 1`, or `offset:1`",
    "mul": "an operator stands between spaces: `x * 2`, or `gain:2`",
    "pow": _POWERS,
    "power": _POWERS,
    "lowess": _LOCAL_FITS,
    "loess": _LOCAL_FITS,
    "interpolate": "--missing fill estimates missing values; `resample:16k` changes a rate",
    "cat": "a chain is written with |: `box:3 | diff`",
}

ELSEWHERE = {**_STEPS, **{name: Answer(hint) for name, hint in _HINTS.items()}}

# What other programs call the only value of a filter.
LONE_VALUES = ("window", "length", "size", "timeperiod", "period", "periods", "f", "frequency")

# What is written before or after the name of a filter in other programs: rolling_mean, medfilt2d.
_PREFIXES = "(?:rolling|moving|ts|ta)_"
_SUFFIXES = "_?(?:1d|2d|filter|blur)"


def answer_to(name: str) -> Answer | None:
    """The answer to a name that another program uses; None if the name is unknown."""
    for form in (name, _in_lower_case(name), without_affixes(name)):
        if form in ELSEWHERE:
            return ELSEWHERE[form]
    return None


def _in_lower_case(name: str) -> str:
    return name.casefold().replace("-", "_")


def without_affixes(name: str) -> str:
    """A name of another program without the words that go with many of its filters.

    >>> without_affixes("rolling_mean"), without_affixes("maximum_filter1d")
    ('mean', 'maximum')
    """
    bare = _in_lower_case(name)
    for _ in range(2):
        bare = re.sub(f"^{_PREFIXES}|{_SUFFIXES}$", "", bare)
    return bare
