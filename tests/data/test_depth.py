"""What is not 1 or 3 channels of 8 bits is refused by all four readers, judged by the file's own header."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from explorer.bundle import predict, snippet_onnx
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.check import verify
from trainables.data.doctor import IMAGE, diagnose
from trainables.data.images import header, read_image
from trainables.errors import DataError
from trainables.serving.predict import Predictor, pixels

HEIGHT, WIDTH = 48, 64
EIGHT = "must have 8 bits a channel, got {}. Rescale it to 0-255."
THREE = "must have 3 channels (RGB) or 1 (grey), got {}. Choose three, and save them as an RGB image."
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # of PNG's colour types


def png(depth, colour):
    """By the PNG specification, of zeros; Pillow writes no 16-bit colours."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + bytes(WIDTH * CHANNELS[colour] * depth // 8)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(row * HEIGHT)) + chunk(b"IEND", b"")


def tiff(bands, *, bits=8, photometric=2, extra=(), pages=1, planar=1, order="<", big=False, subfile=0):
    """By the TIFF specification, of zeros: one strip a page (a band where they lie apart), no compression."""
    kind = {"<": b"II", ">": b"MM"}[order]
    offset, count = ("Q", "Q") if big else ("I", "H")
    head = kind + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HHQ", 8, 0, 16) if big else struct.pack(order + "I", 8)
    content, place = b"", len(head)
    for page in range(pages):
        strips = bands if planar == 2 else 1
        size = HEIGHT * WIDTH * bands * bits // 8 // strips
        tags = {254: ("I", [subfile if page else 0]), 256: ("H", [WIDTH]), 257: ("H", [HEIGHT])}
        tags |= {258: ("H", [bits] * bands), 259: ("H", [1]), 262: ("H", [photometric]), 277: ("H", [bands])}
        tags |= {278: ("H", [HEIGHT]), 284: ("H", [planar]), 338: ("H", list(extra))} | {279: ("I", [size] * strips)}
        tags = {tag: (code, values) for tag, (code, values) in tags.items() if values} | {273: ("I", [0] * strips)}
        length = struct.calcsize(order + count + offset) + len(tags) * (20 if big else 12)
        behind = place + length  # values that do not fit into their tag, then pixels
        told = {tag: len(values) * struct.calcsize(code) for tag, (code, values) in tags.items()}
        fits = 8 if big else 4
        pixels_at = behind + sum(each for each in told.values() if each > fits)
        tags[273] = ("I", [pixels_at + strip * size for strip in range(strips)])
        directory, values_behind = struct.pack(order + count, len(tags)), b""
        for tag in sorted(tags):
            code, values = tags[tag]
            packed = struct.pack(f"{order}{len(values)}{code}", *values)
            if len(packed) > fits:
                packed, values_behind = struct.pack(order + offset, behind + len(values_behind)), values_behind + packed
            directory += struct.pack(order + "HH" + offset, tag, {"H": 3, "I": 4}[code], len(values))
            directory += packed.ljust(fits, b"\0")
        place = pixels_at + size * strips
        directory += struct.pack(order + offset, place if page + 1 < pages else 0)
        content += directory + values_behind + bytes(size * strips)
    return head + content


REFUSED = {
    "16-bit RGB.png": (png(16, 2), EIGHT.format(16)),
    "16-bit RGBA.png": (png(16, 6), EIGHT.format(16)),
    "16-bit grey.png": (png(16, 0), EIGHT.format(16)),
    "16-bit grey with alpha.png": (png(16, 4), EIGHT.format(16)),
    "16-bit RGB.tif": (tiff(3, bits=16), EIGHT.format(16)),
    "16-bit RGB, big-endian.tif": (tiff(3, bits=16, order=">"), EIGHT.format(16)),
    "16-bit grey.tif": (tiff(1, bits=16, photometric=1), EIGHT.format(16)),
    "32-bit grey.tif": (tiff(1, bits=32, photometric=1), EIGHT.format(32)),
    "16-bit, 13 bands.tif": (tiff(13, bits=16, photometric=1, extra=[0] * 12), EIGHT.format(16)),
    "RGB and infrared.tif": (tiff(4, extra=[0]), THREE.format(4)),
    "RGB and infrared, apart.tif": (tiff(4, extra=[0], planar=2), THREE.format(4)),
    "RGB and infrared, BigTIFF.tif": (tiff(4, extra=[0], big=True), THREE.format(4)),
    "RGB and infrared, not said.tif": (tiff(4), THREE.format(4)),
    "5 bands.tif": (tiff(5, extra=[0, 0]), THREE.format(5)),
    "6 bands, alpha first.tif": (tiff(6, extra=[2, 0, 0]), THREE.format(6)),
    "4 bands, grey.tif": (tiff(4, photometric=1, extra=[0, 0, 0]), THREE.format(4)),
    "13 bands.tif": (tiff(13, photometric=1, extra=[0] * 12), THREE.format(13)),
    "2 bands.tif": (tiff(2, photometric=1, extra=[0]), THREE.format(2)),
    "4 bands as pages.tif": (
        tiff(1, photometric=1, pages=4),
        "must hold one picture, got 4 pages of one size. Save the one that counts, as an RGB image.",
    ),
}
TAKEN = {
    "8-bit RGB.png": png(8, 2),
    "8-bit RGBA.png": png(8, 6),
    "8-bit grey.png": png(8, 0),
    "1-bit grey.png": png(1, 0),
    "8-bit RGB.tif": tiff(3),
    "8-bit RGB, big-endian.tif": tiff(3, order=">"),
    "8-bit RGB, apart.tif": tiff(3, planar=2),
    "8-bit grey.tif": tiff(1, photometric=1),
    "RGBA.tif": tiff(4, extra=[2]),
    "grey with alpha.tif": tiff(2, photometric=1, extra=[2]),
    "CMYK.tif": tiff(4, photometric=5),
    "with a small copy.tif": tiff(3, pages=2, subfile=1),
}


@pytest.fixture
def replaced(tree):
    """Puts a file in the place of a training image."""

    def put(name, content):
        (tree / "images" / "train" / "r0.png").unlink()
        path = tree / "images" / "train" / f"r0.{name.rpartition('.')[2]}"
        path.write_bytes(content)
        return path

    return put


@pytest.mark.parametrize("name", REFUSED)
def test_what_conversion_would_spoil_is_refused_by_all_four_readers(tree, replaced, tmp_path, name):
    content, sentence = REFUSED[name]
    path = replaced(name, content)
    heard: list[str] = []
    rgb = Predictor(TrialConfig(), ("a", "b"), ((0, 0, 0), (9, 9, 9)), None)
    assert predict.run(rgb, [path], tmp_path / "out", overlay=False, say=heard.append) == 1
    assert heard == [f"{path} {sentence}"]
    said = f"{path} {sentence} Or say in dataset.yaml what it holds: channels, scale."
    for read in (verify, lambda one: one.read(one.samples("train")[0])):
        with pytest.raises(DataError) as caught:
            read(open_dataset(str(tree)))
        assert str(caught.value) == said
    assert diagnose(str(tree)).faults == {IMAGE: [said]}
    with pytest.raises(ValueError, match="cannot be read") as caught:
        snippet_onnx.read(str(path))
    assert str(caught.value) == f"{path} cannot be read: {sentence}"


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_read_rightly_is_read_on(tree, replaced, name):
    path = replaced(name, TAKEN[name])
    verify(open_dataset(str(tree)))
    expected = 255 if name == "CMYK.tif" else 0  # no ink is white
    with Image.open(path) as image:
        seen = pixels(image)
    for rgb in (read_image(path), snippet_onnx.read(str(path)), pixels(path), seen):
        assert rgb.shape == (HEIGHT, WIDTH, 3)
        assert (rgb == expected).all()


def test_an_image_that_pillow_has_opened_is_judged_by_its_file(tmp_path):
    """16-bit colours have the mode of 8-bit ones, and once they are decoded nothing else tells."""
    (tmp_path / "deep.png").write_bytes(png(16, 2))
    for load in (False, True):
        with Image.open(tmp_path / "deep.png") as image:
            assert image.mode == "RGB"
            if load:
                image.load()
            with pytest.raises(DataError, match=r"The image must have 8 bits a channel, got 16\."):
                pixels(image)
    with pytest.raises(DataError, match=r"The image must have 8 bits a channel, got mode 'I;16'\."):
        pixels(Image.new("I;16", (8, 8)))
    with Image.open(tmp_path / "deep.png") as image:
        assert pixels(image.convert("RGB")).shape == (HEIGHT, WIDTH, 3)  # the user's own conversion


def test_alpha_is_left_out_and_the_check_says_so(tree):
    ids = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    colours = np.dstack([ids, ids[::-1], ids.T.reshape(HEIGHT, WIDTH)])
    path = tree / "images" / "train" / "r0.png"
    Image.fromarray(np.dstack([colours, np.zeros((HEIGHT, WIDTH), np.uint8)])).save(path)
    assert header(path).alpha
    assert (read_image(path) == colours).all()
    assert "Alpha is left out: 1 image of train with it." in diagnose(str(tree)).advice


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's own
def test_a_torn_tiff_is_refused_by_its_name(tree, replaced):
    whole = tiff(3)
    for end in (3, 7, 9, 40, 130):
        path = replaced("one.tif", whole[:end]) if end == 3 else path
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match=str(path)):
            verify(open_dataset(str(tree)))
