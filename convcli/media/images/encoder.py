"""Results of the filter as samples of a file: original channels, light, range, opacity, type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.errors import RequestError
from convcli.media.images.layout import (
    Layout,
    list_channels,
    other_channels,
    plain_interpretation,
)
from convcli.media.images.levels import Levels, quantise, shift_range
from convcli.media.images.srgb import from_light, luma
from convcli.samples import in_type

if TYPE_CHECKING:
    from convcli.media.images.layout import Pixels
    from convcli.media.images.levels import Quantised
    from convcli.media.images.picture_format import Format
    from convcli.media.images.source import ImageOptions, ImagePage
    from convcli.signals import Array, Signal


# The samples of feature maps, in the units of the network, where the format holds any number of
# channels; those of a picture are too coarse for them, and cut off.
_FEATURES = np.dtype(np.float32)


class PageEncoder:
    """How the results of one page become stored samples. It has no state: any thread may use it.

    layout : of the page in the file
    channels : number of channels of the values that `to_stored` returns
    filtered : those of them that `--range` acts on
    needs_originals : whether the rows of the input complete the results
    flattened : whether the picture is laid over white, because the format holds no opacity
    """

    def __init__(
        self, source: ImagePage, signal: Signal, target: Format, options: ImageOptions
    ) -> None:
        self.source = source
        self.needs_originals = source.needs_same_size
        self._rule = options.range
        rows, columns = _check_shape(source, signal, options)
        names, alpha = signal.channels, signal.alpha
        if self.needs_originals:
            names, alpha = source.layout.channels, source.layout.alpha
        self.channels = len(names)
        self._alpha = alpha
        self._colours = other_channels(len(names), alpha)
        self.filtered = self._colours
        if source.selection == "alpha" and alpha is not None:
            self.filtered = (alpha,)
        self.flattened = alpha is not None and not target.samples.alpha
        if self.flattened:
            names, alpha = tuple(names[index] for index in self._colours), None
        dtype = _stored_dtype(source, signal, target)
        white = source.layout.white if target.samples.any_white else target.samples.white
        self.levels = Levels(
            dtype, white, missing=_missing_in(source, Levels(dtype, white), target)
        )
        self.layout = Layout(
            rows=rows,
            columns=columns,
            dtype=dtype,
            interpretation=_choose_interpretation(source.layout, names, alpha, dtype, target),
            channels=names,
            alpha=alpha,
            white=white,
        )

    def to_stored(self, y: Array, originals: Pixels | None = None) -> Array:
        """Results in the units of the input, as sRGB values, with all channels of the page."""
        values = y
        if originals is not None:
            values = self._complete(y, originals)
        if self.source.linear and self.source.selection != "alpha":
            values = self._leave_light(values)
        return shift_range(values, self._rule, self.source.levels, self.filtered)

    def _complete(self, y: Array, originals: Pixels) -> Array:
        """All channels of the page: those of `y`, and the others from the original rows."""
        source = self.source
        if source.selection == "alpha":
            values = np.array(in_type(source.plain(originals), y.dtype))
            values[..., self._alpha] = y[..., 0]
            return values
        light = source.light(originals)
        # In float32 a float64 result would be rounded twice.
        wider = np.result_type(light, y)
        values = light.astype(wider)
        colours = list(self._colours)
        if source.selection == "luma":
            # The change of Y is added, so that colours stay bit for bit where nothing changed.
            values[..., colours] += y - luma(values[..., colours])
        else:
            values[..., colours] = y
        return values

    def _leave_light(self, values: Array) -> Array:
        full = self.source.levels.full
        encoded = np.array(values)
        colours = list(self._colours)
        light = values[..., colours] / full
        encoded[..., colours] = from_light(light) * full
        return encoded

    def quantise(self, values: Array, row: int) -> Quantised:
        """Values in the units of the input as samples of the file.

        row : the first one, for errors.
        """
        if self.flattened:
            values = self._over_white(values)
        factor = self.levels.full / self.source.levels.full
        if factor != 1:
            values = values * factor
        return quantise(values, self.levels, row=row)

    def _over_white(self, values: Array) -> Array:
        full = self.source.levels.full
        opacity = np.clip(values[..., self._alpha, None] / full, 0, 1)
        flattened: Array = values[..., self._colours] * opacity + full * (1 - opacity)
        return flattened


def _missing_in(source: ImagePage, levels: Levels, target: Format) -> float | None:
    """The sample of the file that stands for a missing one.

    It is that of the input, in the units of the output. None if the output cannot hold it, or is
    of floating samples without the tag that says so: these have NaN.
    """
    missing = source.levels.missing
    if missing is None:
        return None
    if not levels.whole:
        return missing if target.name == "tiff" else None
    scaled = round(missing * levels.full / source.levels.full)
    return scaled if levels.low <= scaled <= levels.high else None


def _check_shape(source: ImagePage, signal: Signal, options: ImageOptions) -> tuple[int, int]:
    """The rows and columns of the result. Raises RequestError if it cannot be written."""
    rows, columns = signal.shape
    if rows is None or columns is None or rows < 1 or columns < 1:
        raise RequestError(f"the result would have {columns}x{rows} pixels: nothing to write")
    if source.needs_same_size and (rows, columns) != source.signal.shape:
        raise RequestError(
            f"--channels {options.channels} needs a filter that keeps the size of the picture, "
            f"this one makes {columns}x{rows} of {source.layout.columns}x{source.layout.rows}",
            hint="leave --channels out to filter every channel",
        )
    made = len(signal.channels)
    filtered = len(source.signal.channels)
    # A single channel takes the place of each that was filtered.
    if source.needs_same_size and made not in (1, filtered):
        raise RequestError(
            f"--channels {options.channels} needs a filter that keeps the {filtered} channels, "
            f"this one makes {made}",
            hint="leave --channels out to write the channels that the filter makes",
        )
    return rows, columns


def _stored_dtype(source: ImagePage, signal: Signal, target: Format) -> np.dtype[Any]:
    """The type of the samples in the file, for values of a picture or of feature maps."""
    dtype = _choose_dtype(source.layout.dtype, target)
    if dtype.kind != "f" and _holds_features(source, signal, target):
        return _FEATURES
    return dtype


def _holds_features(source: ImagePage, signal: Signal, target: Format) -> bool:
    """Whether the result is feature maps of a network, whose values the format holds."""
    return signal.features and target.samples.is_roomy and source.makes_maps(signal)


def _choose_dtype(dtype: np.dtype[Any], target: Format) -> np.dtype[Any]:
    """The type of the samples in the file: the input's, or the first that the format has.

    Raises RequestError if more than precision would be lost.
    """
    kind = f"{dtype.kind}{dtype.itemsize}"
    if kind in target.samples.kinds:
        return dtype
    if kind in ("u2", "f4", "f8"):
        return np.dtype(target.samples.kinds[0])
    signed = "signed" if dtype.kind == "i" else "unsigned"
    raise RequestError(
        f"{target.name} holds no {signed} {8 * dtype.itemsize}-bit samples",
        hint="write TIFF, which does",
    )


def _choose_interpretation(
    source: Layout,
    channels: tuple[str, ...],
    alpha: int | None,
    dtype: np.dtype[Any],
    target: Format,
) -> str:
    """The interpretation of the samples in the file, by libvips' name.

    Raises RequestError if the format cannot hold them.
    """
    colours = other_channels(len(channels), alpha)
    names = tuple(channels[index] for index in colours)
    if names == source.colour_names:
        meaning = source.interpretation
        is_ink_alone = meaning == "cmyk" and len(names) == target.samples.most_channels
        if target.samples.is_roomy or (target.samples.cmyk and is_ink_alone):
            return meaning
        if meaning in ("cmyk", "lab", "labs"):
            raise RequestError(
                f"{target.name} cannot hold the colours {list_channels(names)} of this picture",
                hint="write TIFF, or convert the picture first",
            )
    if len(names) not in (1, 3) or len(names) > target.samples.most_channels:
        if target.samples.is_roomy:
            return "multiband"
        raise RequestError(
            f"{target.name} cannot hold the {len(channels)} channels {list_channels(channels)}",
            hint="write TIFF (.tif), which holds any number; mono, grey and mix:... make fewer",
        )
    return plain_interpretation(dtype, is_grey=len(names) == 1)
