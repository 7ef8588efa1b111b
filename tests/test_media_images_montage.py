"""Pictures of many channels in formats of few: a montage, in a grid, each map to its own range."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from convcli.cli import main
from convcli.layers.weights import encode_weights
from convcli.media.images.montage import MontageGrid

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)


def picture(path: Path, pixels: Any) -> Path:
    """A PGM or PPM file of 8 bits."""
    rows, columns, *channels = pixels.shape
    kind = b"P6" if channels else b"P5"
    path.write_bytes(kind + b" %d %d 255\n" % (columns, rows) + pixels.tobytes())
    return path


def maps_of(path: Path) -> Any:
    import pyvips

    return pyvips.Image.new_from_file(str(path)).numpy()


@pytest.mark.parametrize(
    ("count", "shape", "grid"),
    [(64, (10, 10), (8, 8)), (5, (10, 10), (3, 2)), (12, (300, 451), (3, 4)), (7, (4, 90), (1, 7))],
)
def test_grids(count: int, shape: tuple[int, int], grid: tuple[int, int]) -> None:
    made = MontageGrid(count, *shape)
    assert (made.maps_across, made.maps_down) == grid
    assert made.shape == (grid[1] * (shape[0] + 1) - 1, grid[0] * (shape[1] + 1) - 1)


def test_feature_maps_in_a_png(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gains = np.array([1, -1, 0.5, 0, 3, 2.0, 1])
    tensors = {"0.weight": gains.reshape(7, 1, 1, 1), "1.weight": np.ones((1, 7, 1, 1))}
    model = tmp_path / "m.safetensors"
    model.write_bytes(encode_weights(tensors, {"layers": "conv | conv"}))
    pixels = RNG.integers(0, 256, (6, 5), np.uint8)
    pixels[0, :2] = 0, 255
    given = picture(tmp_path / "p.pgm", pixels)
    words = ["image", f"model:{model},upto=0", str(given), "-o"]
    assert main([*words, str(tmp_path / "maps.png")]) == 0
    told = capsys.readouterr().err
    assert "a montage of 7 channels (1, 2, 3, 4, 5, 6, 7), 3 in a row from the first on" in told
    # Each map by itself, from 0 to 255, with a line between.
    expected = np.zeros((3 * 7 - 1, 3 * 6 - 1), np.uint8)
    for number, gain in enumerate(gains):
        row, column = divmod(number, 3)
        scaled = pixels if gain > 0 else 255 - pixels
        if gain == 0:
            scaled = np.zeros_like(pixels)
        expected[row * 7 : row * 7 + 6, column * 6 : column * 6 + 5] = scaled
    found = maps_of(tmp_path / "maps.png")
    assert found.reshape(expected.shape).tolist() == expected.tolist()
    # TIFF holds the maps themselves, as the network makes them of 0...1.
    assert main([*words, str(tmp_path / "maps.tif")]) == 0
    assert "warning" not in capsys.readouterr().err
    held = maps_of(tmp_path / "maps.tif")
    assert held.dtype == np.float32
    np.testing.assert_allclose(held, pixels[..., None] / 255 * gains, rtol=1e-6)


@pytest.mark.parametrize("white", [255, 65535])
def test_maps_of_a_graph_in_a_tiff(tmp_path: Path, white: int) -> None:
    """Further steps keep them; channels that are made of the picture by other steps stay whole."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    weights = np.linspace(-2, 2, 6, dtype=np.float32).reshape(6, 1, 1, 1)
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    sides = [1, 1, "h", "w"], [1, 6, "h", "w"]
    infos = [helper.make_tensor_value_info(n, 1, s) for n, s in zip("xy", sides, strict=True)]
    tensor = onnx.numpy_helper.from_array(weights, "w")
    graph = helper.make_graph([node], "g", [infos[0]], [infos[1]], [tensor])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset), tmp_path / "m.onnx")
    pixels = RNG.integers(0, white, (4, 5)).astype(np.uint8 if white == 255 else ">u2")
    (tmp_path / "p.pgm").write_bytes(b"P5 5 4 %d\n" % white + pixels.tobytes())
    words = ["image", str(tmp_path / "p.pgm"), "-q", "--force", "-o", str(tmp_path / "o.tif")]
    assert main([words[0], f"model:{tmp_path}/m.onnx | gain:2", *words[1:]]) == 0
    wanted = pixels[..., None] / white * weights.ravel() * 2
    np.testing.assert_allclose(maps_of(tmp_path / "o.tif"), wanted, rtol=1e-5)
    assert main([words[0], "mix:1;1;1;1;1;-1", *words[1:]]) == 0
    held = maps_of(tmp_path / "o.tif")
    assert held.dtype == (np.uint8 if white == 255 else np.uint16)
    np.testing.assert_array_equal(held[..., 0], pixels)
    np.testing.assert_array_equal(held[..., 5], 0)


def test_a_range_of_a_montage_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = picture(tmp_path / "p.ppm", RNG.integers(0, 256, (4, 4, 3), np.uint8))
    for extra in ([], ["--dry-run"]):
        words = ["image", "x & gaussian:1", str(given), "--range", "offset", *extra]
        assert main([*words, "-o", str(tmp_path / "o.png")]) == 2
        assert "--range offset" in capsys.readouterr().err
    assert main([*words[:-1], "-o", str(tmp_path / "o.tif")]) == 0


def test_any_filter_of_many_outputs(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (4, 4, 3), np.uint8)
    given = picture(tmp_path / "p.ppm", pixels)
    out = tmp_path / "out.png"
    assert main(["image", "x & gaussian:1", str(given), "-o", str(out), "-q"]) == 0
    assert maps_of(out).reshape(9, 14).shape == (9, 14)
    assert maps_of(out)[:4, :4].reshape(4, 4).max() == 255


def test_strips_and_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyvips

    from convcli.media.images import montage

    rng = np.random.default_rng(1)
    first, second = (rng.integers(0, 256, (8, 6, 1), np.uint8) for _ in range(2))
    pages = [pyvips.Image.new_from_array(page) for page in (first, second)]
    joined = pages[0].join(pages[1], "vertical")
    joined.tiffsave(str(tmp_path / "p.tif"), page_height=8)
    words = ["image", "mix:1;-1;0.5;0.25;2", str(tmp_path / "p.tif"), "--force", "-q"]
    found = []
    for size in (4_000_000, 1):
        monkeypatch.setattr(montage, "STRIP_BYTES", size)
        out = tmp_path / f"{size}.webp"
        assert main([*words, "-o", str(out)]) == 0
        both = pyvips.Image.new_from_file(str(out), n=-1)
        assert both.get("n-pages") == 2
        assert (both.width, both.height) == (3 * 7 - 1, 2 * (2 * 9 - 1))
        found.append(both.numpy().tolist())
    assert found[0] == found[1]
    # The pages are different pictures.
    assert found[0][:17] != found[0][17:]


def test_a_montage_that_is_too_large_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = picture(tmp_path / "p.pgm", np.zeros((10, 10), np.uint8))
    words = ["image", "mix:1;1;1;1;1;1;1;1", str(given), "-o", str(tmp_path / "out.png")]
    assert main([*words, "--max-pixels", "200"]) == 2
    assert "a montage of 8 maps has 32 x 32 pixels, more than 200" in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()
