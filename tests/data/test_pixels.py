import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ardm.data.pixels import decode, endings, with_channels
from ardm.data.provenance import Refused

RANDOM = np.random.default_rng(0)
GRAY = RANDOM.integers(0, 256, (5, 7), np.uint8)
COLORS = RANDOM.integers(0, 256, (5, 7, 3), np.uint8)
GRAY_16 = RANDOM.integers(0, 65536, (5, 7), np.uint16)
ORIENTATION = 0x0112


def encoded(image: Image.Image, kind: str = "png", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(pixels: np.ndarray, depth: int, color: int) -> bytes:
    """Write a PNG of any bit depth, which Pillow cannot: unfiltered rows of big-endian values."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = pixels.astype(">u2" if depth == 16 else "u1")
    height, width = pixels.shape[:2]
    content = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize(
    "kind", ["png", "tiff", "bmp", "gif", "ppm", "tga", "webp", "jpeg2000", "pcx", "sgi", "qoi"]
)
@pytest.mark.parametrize("pixels", [GRAY, COLORS % 4 * 85])
def test_formats_without_loss_give_every_pixel(kind, pixels):
    if kind in ("webp", "qoi") and pixels is GRAY:
        pixels = np.repeat(GRAY[..., None], 3, axis=2)
    options = {"lossless": True} if kind == "webp" else {}
    picture = decode(encoded(Image.fromarray(pixels), kind, **options), (5, 7))
    expected = pixels if pixels.ndim == 3 else pixels[..., None]
    np.testing.assert_array_equal(picture.pixels, expected)


@pytest.mark.parametrize("ending", [".tif", ".gif", ".webp", ".bmp", ".jfif", ".avif", ".ppm"])
def test_usual_endings_are_known(ending):
    assert ending in endings()


@pytest.mark.parametrize("ending", [".pdf", ".eps", ".ps", ".mpg", ".csv", ".ini", ".npz"])
def test_other_endings_are_not_read(ending):
    assert ending not in endings()


@pytest.mark.parametrize("kind", ["png", "tiff", "ppm", "jpeg2000"])
def test_gray_of_16_bits_keeps_its_upper_bits(kind):
    picture = decode(encoded(Image.fromarray(GRAY_16), kind))
    np.testing.assert_array_equal(picture.pixels[..., 0], GRAY_16 >> 8)
    assert picture.changes == ("16 bits to 8",)


def test_all_layouts_of_16_bits_agree():
    colors = np.repeat(GRAY_16[..., None], 3, axis=2)
    opaque = np.full((5, 7, 1), 65535, np.uint16)
    expected = (GRAY_16 >> 8)[..., None]
    for data in (
        png(colors, 16, 2),
        png(np.concatenate([GRAY_16[..., None], opaque], axis=2), 16, 4),
        png(np.concatenate([colors, opaque], axis=2), 16, 6),
    ):
        np.testing.assert_array_equal(with_channels(decode(data), 1).pixels, expected)


def test_white_is_zero_is_turned_in_16_bits_as_in_8():
    for pixels, expected in ((GRAY, 255 - GRAY), (GRAY_16, 255 - (GRAY_16 >> 8))):
        data = bytearray(encoded(Image.fromarray(pixels), "tiff"))
        at = data.index(struct.pack("<HHI", 262, 3, 1))
        data[at + 8] = 0
        np.testing.assert_array_equal(decode(bytes(data)).pixels[..., 0], expected)


def test_12_bits_in_a_tiff_are_refused():
    whole = bytearray(encoded(Image.fromarray(np.zeros((2, 4), np.uint16)), "tiff"))
    at = whole.index(struct.pack("<HHIH", 258, 3, 1, 16))
    whole[at + 8] = 12
    with pytest.raises(Refused, match="bit depth"):
        decode(bytes(whole))


@pytest.mark.parametrize(
    ("pixels", "fault"),
    [
        (np.ones((2, 2), np.int32), "bit depth .32-bit or signed"),
        (np.ones((2, 2), np.float32), "bit depth .floating-point"),
    ],
)
def test_values_without_a_range_are_refused(pixels, fault):
    with pytest.raises(Refused, match=fault):
        decode(encoded(Image.fromarray(pixels), "tiff"))


def test_one_bit_is_black_and_white():
    picture = decode(encoded(Image.fromarray(GRAY > 127)))
    np.testing.assert_array_equal(picture.pixels[..., 0], np.where(GRAY > 127, 255, 0))


@pytest.mark.parametrize("kind", ["png", "gif", "tiff"])
def test_a_palette_becomes_its_colors(kind):
    image = Image.fromarray(COLORS).quantize(16)
    np.testing.assert_array_equal(
        decode(encoded(image, kind)).pixels, np.asarray(image.convert("RGB"))
    )


def test_a_palette_of_grays_has_one_channel():
    image = Image.fromarray(GRAY % 4)
    image.putpalette([200, 200, 200, 0, 0, 0, 90, 90, 90, 17, 17, 17])
    picture = decode(encoded(image))
    np.testing.assert_array_equal(picture.pixels[..., 0], np.array([200, 0, 90, 17])[GRAY % 4])


def test_transparent_pixels_become_white_whatever_lies_below():
    clear, half, solid = [9, 9, 9, 0], [0, 0, 0, 51], [10, 20, 30, 255]
    image = Image.fromarray(np.array([[clear, half, solid]], np.uint8))
    picture = decode(encoded(image))
    assert picture.pixels.tolist() == [[[255] * 3, [204] * 3, [10, 20, 30]]]
    assert "transparent pixels to white" in picture.changes
    two = Image.fromarray(np.array([[[9, 0], [0, 51], [10, 255]]], np.uint8))
    assert decode(encoded(two)).pixels.tolist() == [[[255], [204], [10]]]


@pytest.mark.parametrize("kind", ["png", "gif"])
def test_a_transparent_color_of_a_palette_becomes_white(kind):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([9, 9, 9, 50, 60, 70, 0, 0, 0])
    picture = decode(encoded(image, kind, transparency=0))
    assert picture.pixels.tolist() == [[[255] * 3, [50, 60, 70], [0] * 3]]


def test_a_transparent_shade_becomes_white():
    for pixels in (np.array([[0, 80]], np.uint8), np.array([[0, 80 << 8]], np.uint16)):
        picture = decode(encoded(Image.fromarray(pixels), transparency=0))
        assert picture.pixels[..., 0].tolist() == [[255, 80]]


def test_alpha_that_hides_nothing_is_dropped():
    opaque = np.full((5, 7, 1), 255, np.uint8)
    image = Image.fromarray(np.concatenate([COLORS, opaque], axis=2))
    picture = decode(encoded(image), transparency="refuse")
    np.testing.assert_array_equal(picture.pixels, COLORS)


@pytest.mark.parametrize("kind", ["tiff", "jpeg"])
def test_cmyk_becomes_rgb(kind):
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    options = {"quality": 100} if kind == "jpeg" else {}
    np.testing.assert_allclose(
        decode(encoded(image, kind, **options)).pixels[4, 4], [255, 0, 0], atol=3
    )


@pytest.mark.parametrize("kind", ["png", "tiff", "jpeg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright(kind, orientation):
    """The top left quarter of the picture is white, wherever the camera has put it."""
    upright = np.zeros((16, 32), np.uint8)
    upright[:8, :16] = 255
    back = {2: 0, 3: 1, 4: 2, 5: 5, 6: 3, 7: 6, 8: 4}
    to = [
        Image.Transpose.FLIP_LEFT_RIGHT,
        Image.Transpose.ROTATE_180,
        Image.Transpose.FLIP_TOP_BOTTOM,
        Image.Transpose.ROTATE_90,
        Image.Transpose.ROTATE_270,
        Image.Transpose.TRANSPOSE,
        Image.Transpose.TRANSVERSE,
    ]
    image = Image.fromarray(upright)
    lying = image if orientation == 1 else image.transpose(to[back[orientation]])
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    picture = decode(encoded(lying, kind, exif=exif), (16, 32))
    np.testing.assert_allclose(picture.pixels[..., 0], upright, atol=9)
    assert ("turned by its EXIF orientation" in picture.changes) == (orientation > 1)


@pytest.mark.parametrize(
    ("kind", "what"), [("gif", "frames"), ("png", "frames"), ("webp", "frames"), ("tiff", "pages")]
)
def test_several_frames_are_refused_with_their_number(kind, what):
    frames = [Image.fromarray(np.roll(COLORS, n, 0)) for n in range(3)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(Refused, match=f"animation or several pages .3 {what}"):
        decode(data)


def test_a_preview_beside_the_picture_is_no_animation():
    image = Image.fromarray(np.full((8, 8, 3), 90, np.uint8))
    data = encoded(image, "mpo", save_all=True, append_images=[image.resize((4, 4))])
    np.testing.assert_allclose(decode(data, (8, 8)).pixels, 90, atol=2)


def test_another_size_is_refused_before_anything_is_decoded():
    whole = encoded(Image.fromarray(np.zeros((50, 60), np.uint8)))
    with pytest.raises(Refused, match=r"wrong size .60 wide and 50 high"):
        decode(whole[:60], (5, 7))
    with pytest.raises(Refused, match=r"wrong size .60 wide and 50 high"):
        decode(whole, (60, 50))


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "bmp", "webp", "gif"])
def test_a_cut_file_is_refused(kind):
    image = Image.fromarray(RANDOM.integers(0, 256, (64, 64, 3), np.uint8))
    whole = encoded(image, kind)
    for part in (4, 10, 30):
        with pytest.raises(Refused) as caught:
            decode(whole[: len(whole) * part // 40])
        assert caught.value.reason in ("damaged", "not a picture in a format that Pillow reads")
        assert "0x" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty file"), (b"no picture", "not a picture"), (b"%!PS-Adobe-3.0 EPSF\n", "not a")],
)
def test_what_is_no_picture_is_refused(data, reason):
    with pytest.raises(Refused, match=reason):
        decode(data)


def test_a_picture_too_large_to_be_honest_is_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    with pytest.raises(Refused, match=r"too many pixels.*exceeds limit"):
        decode(encoded(Image.new("L", (4, 4))))


def test_colors_become_gray_and_gray_becomes_colors():
    gray = with_channels(decode(encoded(Image.fromarray(COLORS))), 1)
    np.testing.assert_array_equal(
        gray.pixels[..., 0], np.asarray(Image.fromarray(COLORS).convert("L"))
    )
    assert gray.changes == ("RGB to gray",)
    colors = with_channels(decode(encoded(Image.fromarray(GRAY))), 3)
    np.testing.assert_array_equal(colors.pixels, np.repeat(GRAY[..., None], 3, axis=2))
    assert colors.changes == ("gray to RGB",)
