"""What a Python user would write instead: `python scripts.py NAME INPUT OUTPUT ...`, each as short as it can be.

They import what they use and nothing else, hold a signal as a whole, and round what they write.
"""

from __future__ import annotations

import sys
from typing import Any


def scipy_lowpass(source: str, target: str, taps: str) -> None:
    """Filter with the same taps by scipy.signal.oaconvolve."""
    import numpy as np
    import soundfile
    from scipy.signal import oaconvolve

    x, rate = soundfile.read(source)
    y = oaconvolve(x, np.load(taps)[:, None], mode="same", axes=0)
    soundfile.write(target, np.rint(y * 32768).clip(-32768, 32767).astype(np.int16), rate)


def scipy_reverb(source: str, target: str, response: str) -> None:
    """Convolve with an impulse response, channel by channel."""
    import numpy as np
    import soundfile
    from scipy.signal import oaconvolve

    x, rate = soundfile.read(source)
    y = oaconvolve(x, soundfile.read(response)[0], axes=0)[: len(x)]
    soundfile.write(target, np.rint(y * 32768).clip(-32768, 32767).astype(np.int16), rate)


def scipy_decimate(source: str, target: str, taps: str) -> None:
    """Filter and keep every 4th sample by scipy.signal.upfirdn."""
    import numpy as np
    import soundfile
    from scipy.signal import upfirdn

    x, rate = soundfile.read(source)
    h = np.load(taps)
    lead = len(h) // 2
    y = upfirdn(np.pad(h, ((-lead) % 4, 0)), x, down=4, axis=0)[(lead + (-lead) % 4) // 4 :][
        : -(-len(x) // 4)
    ]
    soundfile.write(target, np.rint(y * 32768).clip(-32768, 32767).astype(np.int16), rate // 4)


def pandas_mean(source: str, target: str) -> None:
    """The mean of 20 rows as a new column."""
    import pandas as pd

    table = pd.read_csv(source)
    table["y"] = table["close"].rolling(20, min_periods=1).mean()
    table.to_csv(target, index=False)


def pandas_std(source: str, target: str) -> None:
    """The standard deviation of 20 rows as a new column."""
    import pandas as pd

    table = pd.read_csv(source)
    table["y"] = table["close"].rolling(20, min_periods=1).std()
    table.to_csv(target, index=False)


def pandas_median(source: str, target: str) -> None:
    """The median of 20 rows as a new column."""
    import pandas as pd

    table = pd.read_csv(source)
    table["y"] = table["close"].rolling(20, min_periods=1).median()
    table.to_csv(target, index=False)


def pandas_lowpass(source: str, target: str, taps: str) -> None:
    """255 taps over the rows before, the first value held before the start."""
    import numpy as np
    import pandas as pd
    from scipy.signal import oaconvolve

    table, h = pd.read_csv(source), np.load(taps)
    x = table["close"].to_numpy()
    table["y"] = oaconvolve(np.concatenate([np.full(len(h) - 1, x[0]), x]), h, mode="valid")
    table.to_csv(target, index=False)


def pandas_ema(source: str, target: str) -> None:
    """An exponential mean for each ticker."""
    import pandas as pd

    table = pd.read_csv(source)
    table["y"] = table.groupby("ticker")["close"].transform(
        lambda x: x.ewm(alpha=0.1, adjust=False).mean()
    )
    table.to_csv(target, index=False)


def pandas_macd(source: str, target: str) -> None:
    """The difference of two exponential means."""
    import pandas as pd

    table = pd.read_csv(source)
    fast = table["close"].ewm(span=12, adjust=False).mean()
    table["y"] = fast - table["close"].ewm(span=26, adjust=False).mean()
    table.to_csv(target, index=False)


def polars_mean(source: str, target: str) -> None:
    """The mean of 20 rows as a new column."""
    import polars as pl

    column = pl.col("close").rolling_mean(20, min_samples=1).alias("y")
    pl.scan_csv(source).with_columns(column).collect().write_csv(target)


def polars_ema(source: str, target: str) -> None:
    """An exponential mean for each ticker."""
    import polars as pl

    column = pl.col("close").ewm_mean(alpha=0.1, adjust=False).over("ticker").alias("y")
    pl.scan_csv(source).with_columns(column).collect().write_csv(target)


def polars_macd(source: str, target: str) -> None:
    """The difference of two exponential means."""
    import polars as pl

    close = pl.col("close")
    column = close.ewm_mean(span=12, adjust=False) - close.ewm_mean(span=26, adjust=False)
    pl.scan_csv(source).with_columns(column.alias("y")).collect().write_csv(target)


def polars_lowpass(source: str, target: str, taps: str) -> None:
    """255 taps over the rows before, the first value held before the start."""
    import numpy as np
    import polars as pl
    from scipy.signal import oaconvolve

    table, h = pl.read_csv(source), np.load(taps)
    x = table["close"].to_numpy()
    y = oaconvolve(np.concatenate([np.full(len(h) - 1, x[0]), x]), h, mode="valid")
    table.with_columns(pl.Series("y", y)).write_csv(target)


def _arrow(source: str, target: str, function: Any) -> None:
    import pyarrow as pa
    from pyarrow import csv

    # Dates and texts stay texts: nothing is parsed that is not used.
    table = csv.read_csv(
        source, convert_options=csv.ConvertOptions(column_types={"date": pa.string()})
    )
    y = function(table["close"].to_numpy())
    csv.write_csv(
        table.append_column("y", pa.array(y)), target, csv.WriteOptions(quoting_style="none")
    )


def arrow_mean(source: str, target: str) -> None:
    """The mean of 20 rows by a running sum."""
    import numpy as np

    def mean(x: Any) -> Any:
        total = np.cumsum(np.concatenate([np.zeros(20), x]))
        return (total[20:] - total[:-20]) / np.minimum(np.arange(1, len(x) + 1), 20)

    _arrow(source, target, mean)


def arrow_lowpass(source: str, target: str, taps: str) -> None:
    """255 taps over the rows before, the first value held before the start."""
    import numpy as np

    h = np.load(taps)
    _arrow(
        source,
        target,
        lambda x: np.convolve(np.concatenate([np.full(len(h) - 1, x[0]), x]), h, "valid"),
    )


def opencv_gaussian(source: str, target: str) -> None:
    """sigma 3, 25 x 25."""
    import cv2

    y = cv2.GaussianBlur(_read(source), (25, 25), 3, borderType=cv2.BORDER_REPLICATE)
    quality = [
        cv2.IMWRITE_JPEG_QUALITY,
        90,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    cv2.imwrite(target, y, quality if target.endswith("jpg") else _plain(target))


def opencv_filter(source: str, target: str, matrix: str) -> None:
    """A kernel of whole numbers, divided by its sum."""
    import cv2

    y = cv2.filter2D(_read(source), -1, _matrix(matrix), borderType=cv2.BORDER_REPLICATE)
    cv2.imwrite(target, y, _plain(target))


def opencv_median(source: str, target: str) -> None:
    """The median of 5 x 5 pixels."""
    import cv2

    cv2.imwrite(target, cv2.medianBlur(_read(source), 5), _plain(target))


def opencv_sobel(source: str, target: str) -> None:
    """The strength of the gradient."""
    import cv2
    import numpy as np

    x = _read(source)
    across, down = (
        cv2.Sobel(x, cv2.CV_32F, *axis, borderType=cv2.BORDER_REPLICATE)
        for axis in ((1, 0), (0, 1))
    )
    y = np.rint(np.sqrt(across**2 + down**2)).clip(0, 255).astype(np.uint8)
    cv2.imwrite(target, y, _plain(target))


def _read(source: str) -> Any:
    import cv2

    return cv2.imread(source, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)


def _plain(target: str) -> list[int]:
    """TIFF without compression, as it was read."""
    import cv2

    return [cv2.IMWRITE_TIFF_COMPRESSION, 1] if target.endswith("tif") else []


def _matrix(path: str) -> Any:
    """The kernel of a .mat file, divided by its scale."""
    import numpy as np

    with open(path) as file:  # noqa: PTH123 -- as short as a user would
        scale = float(file.readline().split()[2])
        return np.loadtxt(file) / scale


def vips_gaussian(source: str, target: str) -> None:
    """libvips in floats, as far out as it goes (0.001 of the middle is the least, 3.7 sigma), rounded."""
    import pyvips

    image = pyvips.Image.new_from_file(source, access="sequential")
    y = image.gaussblur(3, precision="float", min_ampl=0.001)
    y.rint().cast("uchar").write_to_file(target + ("[Q=90]" if target.endswith("jpg") else ""))


def vips_median(source: str, target: str) -> None:
    """libvips: the median of 5 x 5 pixels."""
    import pyvips

    image = pyvips.Image.new_from_file(source, access="sequential")
    image.median(5).write_to_file(target)


def vips_filter(source: str, target: str, matrix: str) -> None:
    """libvips in floats, rounded."""
    import pyvips

    image = pyvips.Image.new_from_file(source, access="sequential")
    mask = pyvips.Image.new_from_file(matrix)
    image.conv(mask, precision="float").rint().cast("uchar").write_to_file(target)


def ndimage_filter(source: str, target: str, matrix: str) -> None:
    """scipy.ndimage in float32, channel by channel."""
    import cv2
    import numpy as np
    from scipy.ndimage import correlate

    x, w = _read(source), _matrix(matrix)
    y = np.empty_like(x)
    for c in range(x.shape[2]):
        filtered = correlate(x[..., c].astype(np.float32), w, mode="nearest")
        y[..., c] = np.rint(filtered).clip(0, 255)
    cv2.imwrite(target, y, _plain(target))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
