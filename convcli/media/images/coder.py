"""How the results of one page become samples of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.errors import RequestError
from convcli.media.images.color import from_light, luma
from convcli.media.images.layout import Layout
from convcli.media.images.levels import Levels, into_range, quantise

if TYPE_CHECKING:
    from convcli.media.images.details import Format
    from convcli.media.images.layout import Pixels
    from convcli.media.images.levels import Counts
    from convcli.media.images.source import ImageOptions, ImageSource
    from convcli.signals import Array, Signal


class PageCoder:
    """How the results of one page become stored samples. Without state: any thread may use it.

    layout : of the page in the file; mapped : the channels, among those put together, that were filtered and on
    which `--range` acts; completes : whether the original rows are needed
    """

    def __init__(
        self, source: ImageSource, signal: Signal, target: Format, options: ImageOptions
    ) -> None:
        self.source = source
        self.completes = source.keeps_geometry_required
        self._rule = options.range
        rows, columns = signal.shape
        if rows is None or columns is None or rows < 1 or columns < 1:
            raise RequestError(f"the result would have {columns}x{rows} pixels: nothing to write")
        if self.completes and (rows, columns) != source.signal.shape:
            raise RequestError(
                f"--channels {options.channels} needs a filter that keeps the size of the picture, this one makes "
                f"{columns}x{rows} of {source.layout.columns}x{source.layout.rows}",
                hint="leave --channels away to filter every channel",
            )
        channels, alpha = signal.channels, signal.alpha
        if self.completes:
            channels, alpha = source.layout.channels, source.layout.alpha
        self.given = len(channels)
        self._alpha = alpha
        self.flattened = alpha is not None and not target.alpha
        self.mapped = (
            (alpha,)
            if source.selection == "alpha" and alpha is not None
            else _others(len(channels), alpha)
        )
        kept = tuple(
            name for index, name in enumerate(channels) if index != alpha or not self.flattened
        )
        dtype = _choose_dtype(source.layout.dtype, target)
        interpretation = _interpret(
            source.layout, kept, None if self.flattened else alpha, dtype, target
        )
        self.layout = Layout(
            rows=rows,
            columns=columns,
            dtype=dtype,
            interpretation=interpretation,
            channels=kept,
            alpha=None if self.flattened else alpha,
        )
        self.levels = Levels(dtype)

    @property
    def floating(self) -> type[np.floating[Any]]:
        """The type in which results wait."""
        return self.source.levels.floating

    def to_stored(self, y: Array, originals: Pixels | None = None) -> Array:
        """Results in the units of the input: completed by the original rows, out of linear light, in the range."""
        values = y if originals is None else self._complete(y, originals)
        if self.source.linear and self.source.selection != "alpha":
            values = self._leave_light(values)
        return into_range(values, self._rule, self.source.levels, self.mapped)

    def _complete(self, y: Array, originals: Pixels) -> Array:
        """All channels of the page: the filtered ones from `y`, the others as they were."""
        source = self.source
        if source.selection == "alpha":
            values = source.plain(originals).astype(y.dtype, copy=False)
            values[..., self._alpha] = y[..., 0]
            return values
        light = source.light(originals)
        values = light.astype(
            np.result_type(light, y), copy=False
        )  # float32 would round a float64 answer once more
        colours = list(source.layout.colours)
        if source.selection == "luma":
            # The change of Y is added, so that where nothing changed the colours stay bit for bit.
            values[..., colours] += y - luma(values[..., colours])
        else:
            values[..., colours] = y
        return values

    def _leave_light(self, values: Array) -> Array:
        full = self.source.levels.full
        encoded = np.asarray(values).copy()
        colours = list(_others(values.shape[-1], self._alpha))
        encoded[..., colours] = from_light(values[..., colours] / full) * full
        return encoded

    def quantise(self, values: Array, row: int) -> tuple[Pixels, Counts, Counts]:
        """Values in the units of the input as samples of the file, with the counts of what was cut off."""
        if self.flattened and self._alpha is not None:
            values = self._flatten(values, self._alpha)
        factor = self.levels.full / self.source.levels.full
        return quantise(values if factor == 1 else values * factor, self.levels, row=row)

    def _flatten(self, values: Array, alpha: int) -> Array:
        """The picture over white."""
        full = self.source.levels.full
        opacity = np.clip(values[..., alpha : alpha + 1] / full, 0, 1)
        colours = values[..., _others(values.shape[-1], alpha)]
        over: Array = colours * opacity + full * (1 - opacity)
        return over


def _others(channels: int, alpha: int | None) -> tuple[int, ...]:
    return tuple(index for index in range(channels) if index != alpha)


def _choose_dtype(dtype: np.dtype[Any], target: Format) -> np.dtype[Any]:
    """The type of the samples in the file: their own, else the format's first, if that loses no more than bits."""
    kind = f"{dtype.kind}{dtype.itemsize}"
    if kind in target.kinds:
        return dtype
    if kind in ("u2", "f4", "f8"):
        return np.dtype(target.kinds[0])
    signed = "signed" if dtype.kind == "i" else "unsigned"
    raise RequestError(
        f"{target.name} holds no {signed} {8 * dtype.itemsize}-bit samples",
        hint="write TIFF, which does",
    )


def _interpret(
    source: Layout,
    channels: tuple[str, ...],
    alpha: int | None,
    dtype: np.dtype[Any],
    target: Format,
) -> str:
    """What the samples in the file mean, in the words of libvips. RequestError for what the format cannot hold."""
    colours, roomy = len(channels) - (alpha is not None), target.most > 4
    if channels[:colours] == source.colour_names:
        meaning = source.interpretation
        if roomy or (meaning == "cmyk" and target.cmyk):
            return meaning
        if meaning in ("cmyk", "lab", "labs"):
            raise RequestError(
                f"{target.name} cannot hold the colours {', '.join(channels[:colours])} of this picture",
                hint="write TIFF, or convert the picture first",
            )
    if colours not in (1, 3):
        if roomy:
            return "multiband"
        raise RequestError(
            f"{target.name} cannot hold the {len(channels)} channels {', '.join(channels)}",
            hint="write TIFF",
        )
    if dtype.kind == "f":
        return "b-w" if colours == 1 else "scrgb"
    narrow, wide = ("b-w", "grey16") if colours == 1 else ("srgb", "rgb16")
    return wide if dtype.itemsize == 2 else narrow
