"""Names that other programs use: the hint for a name that is not a step here.

A FILTER in a hint is written between backticks, and so is a command, which begins with `convcli`.
"""

from __future__ import annotations

_NO_CONVOLUTION = "is not a convolution, and no step does it"
_SPREAD = "`std:20` measures a spread; `diff | abs | box:20` is the mean step from sample to sample"
_MORPHOLOGY = "`min:3` erodes, `max:3` dilates, `min:3 | max:3` opens, `max:3 | min:3` closes"
_NOISE = "`median:3` removes spikes, `convcli learn --blind` learns a filter that removes noise"
_EDGES = "`sobel` gives the strength of edges; no step makes lines of them"
_GEOMETRY = "no step moves, rotates or cuts samples; `resize:50%` changes the size"
_SPEED = "no step changes speed or pitch; `resample:16k` changes the rate and keeps both"
_DYNAMICS = "no step follows the loudness; `gain:-6dB` and `normalize:-1dB` are the same everywhere"
_EFFECT = "no step changes with time; `ir:hall.wav` convolves with any recorded room or device"
_RECURSIVE = "filters here are convolutions: `lowpass:0.1`, or `lowpass:0.1,phase=minimum`"
_TRADE = "is not a step; `ema:span=12`, `sma:20` and `diff` are the convolutions that it is made of"
_SUMS = f"a running sum has no end and {_NO_CONVOLUTION}; `sum:7` adds up 7 samples"
_THRESHOLD = "no step compares with a threshold; `offset:-128 | relu` is 0 up to 128"
_WEIGHTS = (
    "a layer has weights: `model:net.safetensors` runs one; `kernel:1,2,1` takes written taps"
)
_INVERT = "`gain:-1` changes the sign; on 8-bit pictures `gain:-1 | offset:255` inverts"

_STATISTICS = "takes the mean of the whole signal, and layers here read a neighbourhood each"
_NOTHING = "does nothing once a network is trained; leave it out"


def _mean(step: str) -> str:
    return f"did you mean {step}?"


# Names are in lower case, with _ for -.
ELSEWHERE = {
    "average": _mean("box"),
    "blur": _mean("gaussian"),
    "boxblur": _mean("box"),
    "butter": _RECURSIVE,
    "butterworth": _RECURSIVE,
    "cheby1": _RECURSIVE,
    "cheby2": _RECURSIVE,
    "biquad": "`peak:1k,6`, `lowshelf:100,6`, `highshelf:8k,6` and `notch:50` are biquads",
    "allpass": _RECURSIVE,
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
    "lrelu": _mean("leaky_relu"),
    "batchnorm": "the layer is called batch_norm",
    "linear": "the layer is called dense:OUT, after a flatten",
    "depth_to_space": "the layer is called pixel_shuffle:N",
    "dense": _WEIGHTS,
    "conv1d": _mean("correlate"),
    "conv2d": _mean("correlate"),
    "convolve": _mean("kernel"),
    "decimate": _mean("downsample"),
    "derivative": _mean("gradient"),
    "edge": _mean("sobel"),
    "edges": _mean("sobel"),
    "ewm": _mean("ema"),
    "ewma": _mean("ema"),
    "autoeq": "`response:@sample_data/headphone.csv` reads the files of AutoEq",
    "graphiceq": "response:@GraphicEQ.txt reads the file as it comes",
    "firequalizer": _mean("response"),
    "fir": _mean("kernel"),
    "firwin": _mean("lowpass"),
    "gaussblur": _mean("gaussian"),
    "gaussian_blur": _mean("gaussian"),
    "gaussian_filter": _mean("gaussian"),
    "hp": _mean("highpass"),
    "log_filter": _mean("laplacian_of_gaussian"),
    "lp": _mean("lowpass"),
    "ma": _mean("sma"),
    "mean": _mean("box"),
    "moving_average": _mean("sma"),
    "returns": "`pct_change` gives relative changes, `log | diff` logarithmic returns",
    "rate": _mean("resample"),
    "reverb": _mean("ir"),
    "rolling": _mean("sma"),
    "savitzky_golay": _mean("savgol"),
    "savgol_filter": _mean("savgol"),
    "scale": _mean("resize"),
    "sinc": _mean("lowpass"),
    "smooth": _mean("gaussian"),
    "thumbnail": _mean("resize"),
    "uniform_filter": _mean("box"),
    "vol": _mean("gain"),
    "volume": _mean("gain"),
    "unsharp_mask": _mean("unsharp"),
    "usm": _mean("unsharp"),
    "norm": _mean("normalize"),
    "loudnorm": _DYNAMICS,
    "compand": _DYNAMICS,
    "compressor": _DYNAMICS,
    "limiter": _DYNAMICS,
    "fade": _DYNAMICS,
    "afade": _DYNAMICS,
    "gate": _DYNAMICS,
    "bass": _mean("lowshelf"),
    "treble": _mean("highshelf"),
    "equalizer": _mean("peak"),
    "eq": _mean("peak"),
    "peaking": _mean("peak"),
    "shelf": "`lowshelf:100,6` raises the bass, `highshelf:8k,6` the treble",
    "hum": "`notch:50,harmonics=8` takes out 50 Hz and its multiples",
    "bandreject": _mean("notch"),
    "echo": "`x + 50% * lag:250ms` repeats a sound once",
    "delay": _mean("lag"),
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
    "trim": _GEOMETRY,
    "crop": "`resize:640x480,fit=cover` cuts off what sticks out",
    "rotate": _GEOMETRY,
    "flip": _GEOMETRY,
    "flop": _GEOMETRY,
    "transpose": _GEOMETRY,
    "pad": _GEOMETRY,
    "remix": "`mono` is the mean of all channels, mix:0.7,0.3 any weighted sum of two",
    "stereo": "`mix:1;1` makes two channels of one",
    "channels": "`mono` is the mean of all channels, mix:0.7,0.3 any weighted sum of two",
    "saturation": "`grey` takes all colour away; mix with three rows of weights changes it",
    "medfilt": _mean("median"),
    "median_filter": _mean("median"),
    "percentile": _mean("quantile"),
    "percentile_filter": _mean("quantile"),
    "rank_filter": _mean("quantile"),
    "outliers": _mean("hampel"),
    "bilateral": "`median:5` smooths and keeps edges; `gaussian:2` smooths edges too",
    "despeckle": _mean("median"),
    "erosion": _mean("min"),
    "minimum": _mean("min"),
    "dilation": _mean("max"),
    "maximum": _mean("max"),
    "opening": "`min:3 | max:3` opens",
    "closing": "`max:3 | min:3` closes",
    "morphology": _MORPHOLOGY,
    "stddev": _mean("std"),
    "variance": _mean("var"),
    "volatility": _SPREAD,
    "atr": _SPREAD,
    "z_score": _mean("zscore"),
    "shift": _mean("lag"),
    "lead": "one sample earlier is `correlate:0,0,1` with --align center",
    "bbands": _mean("bollinger"),
    "stoch": "`100 * (x - min:14) / (max:14 - min:14)` is %K of a single column",
    "vwap": f"vwap {_TRADE}",
    "momentum": _mean("diff"),
    "roc": _mean("pct_change"),
    "cumsum": _SUMS,
    "integrate": _SUMS,
    "canny": _EDGES,
    "hough": _EDGES,
    "corner": _EDGES,
    "denoise": _NOISE,
    "noise_reduction": _NOISE,
    "noisered": _NOISE,
    "afftdn": _NOISE,
    "wiener": _NOISE,
    "nlmeans": _NOISE,
    "deblur": "`convcli learn blurred.png sharp.png` learns the inverse from a pair",
    "threshold": _THRESHOLD,
    "binarize": _THRESHOLD,
    "invert": _INVERT,
    "negate": _INVERT,
    "negative": _INVERT,
    "neg": _INVERT,
    "brightness": "`offset:20` makes brighter, `gain:1.2` too",
    "contrast": "`gain:1.2` about 0; `offset:-128 | gain:1.2 | offset:128` about the middle",
    "detrend": "`demean` removes the mean, `highpass:0.05` what is slower than 20 samples",
    "interpolate": "--missing fill estimates missing values; `resample:16k` changes a rate",
    "oversample": _mean("upsample"),
    "interp": _mean("upsample"),
    "cat": "a chain is written with |: `box:3 | diff`",
}


def hint_for(name: str) -> str | None:
    """The hint for a name that another program uses, or None."""
    return ELSEWHERE.get(name.casefold().replace("-", "_"))
