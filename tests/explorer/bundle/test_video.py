"""`heteroakd predict` on videos, and on frames as a camera gives them. The bundle is made by hand."""

from __future__ import annotations

import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

import explorer
from explorer.bundle import video
from explorer.cli.app import app
from trainables.config import TrialConfig
from trainables.contracts import tiny
from trainables.errors import ConfigError, DataError, MissingExtra
from trainables.kept import checkpoint
from trainables.scoring.evaluate import predict

av = pytest.importorskip("av")
CLASSES = ["a", "b", "c"]
SIZE = 45, 71  # odd, as many cameras' crops are


@pytest.fixture
def bundle(home, tmp_path):
    """A bundle of a network that sees every class in noise."""
    made = tiny.network(num_classes=3).eval()
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    config = TrialConfig.parse({"student": "mine_tiny:net", "method": "task", "device": "cpu"})
    with torch.no_grad():
        made.head.bias -= predict(made, pixels, config)[0].mean(dim=(1, 2))
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "best.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    meta = {"model": config.student, "classes": CLASSES}
    checkpoint.write(folder / "student.safetensors", made.state_dict(), meta)
    return folder


def pictures(num, size=SIZE):
    return [np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8) for seed in range(num)]


@pytest.fixture
def film(tmp_path):
    """Writes a video of random pixels that loses nothing: 5 frames at 10 a second, unless it is told otherwise."""

    def make(name="film.mkv", num=5, turned=0):
        path = tmp_path / name
        with av.open(path, "w") as file:
            stream = file.add_stream("ffv1", rate=10)
            stream.height, stream.width, stream.pix_fmt = *SIZE, "bgr0"
            for picture in pictures(num):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(stream.encode())
        return path

    return make


def read(path, pixels="rgb24"):
    with av.open(path) as file:
        return [frame.to_ndarray(format=pixels) for frame in file.decode(video=0)]


def test_each_frame_has_the_mask_of_its_picture_and_the_rate_is_said(bundle, film, tmp_path):
    loaded = explorer.Bundle.load(bundle)
    expected = [loaded.predict(picture) for picture in pictures(5)]
    done = CliRunner().invoke(app, ["predict", str(bundle), str(film()), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "film.mkv: 5 frames, " in done.output
    assert " a second (" in done.output
    files = sorted((tmp_path / "out/masks/film").iterdir())
    assert [path.name for path in files] == [f"{number:06d}.png" for number in range(5)]
    assert np.array_equal(np.stack([np.array(Image.open(path)) for path in files]), np.stack(expected))
    overlays = read(tmp_path / "out/overlays/film.mp4")
    assert len(overlays) == 5
    assert overlays[0].shape[:2] == (46, 72)
    with av.open(tmp_path / "out/overlays/film.mp4") as file:
        assert file.streams.video[0].average_rate == Fraction(10)


def test_masks_as_a_video_lose_nothing(bundle, film, tmp_path):
    loaded = explorer.Bundle.load(bundle)
    done = explorer.predict(bundle, film(), tmp_path / "out", overlay=False, masks="video")
    assert (done.num, done.failed, done.overlays) == (0, 0, None)
    (rate,) = done.videos.values()
    assert rate.frames == 5
    assert 0 < rate.busy <= rate.seconds
    assert rate.per_second == pytest.approx(5 / rate.seconds)
    expected = np.stack([loaded.predict(picture) for picture in pictures(5)])
    assert np.array_equal(np.stack(read(tmp_path / "out/masks/film.mkv", "gray")), expected)
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["film.mkv"]


def test_a_stream_of_camera_frames_is_answered_frame_by_frame_without_an_end(bundle):
    loaded = explorer.Bundle.load(bundle)
    asked = []

    def camera():
        while True:
            asked.append(pictures(1, (480, 640))[0])
            yield asked[-1]

    stream = loaded.stream(camera())
    for number, (pixels, ids) in enumerate(stream, start=1):
        assert len(asked) == number
        assert pixels is asked[-1]
        assert ids.shape == (480, 640)
        if number == 3:
            break
    assert stream.rate.frames == 2  # those that were done with
    assert stream.rate.words.startswith("2 frames, ")


def test_a_film_of_a_phone_is_seen_upright(bundle, tmp_path, monkeypatch):
    """Its frames say by how much they are turned against the clock."""

    class Frame:
        rotation = -90

        def to_ndarray(self, format):
            return np.arange(12, dtype=np.uint8).reshape(2, 2, 3)

    class Film:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def decode(self, video):
            return [Frame()]

    monkeypatch.setattr(av, "open", lambda path: Film())
    (found,) = video.frames(tmp_path / "film.mov")
    assert found[..., 0].tolist() == [[6, 0], [9, 3]]  # clockwise


def test_a_folder_gives_its_images_and_a_pattern_its_videos_too(bundle, film, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    Image.fromarray(pictures(1)[0]).save(folder / "a.png")
    film("mixed/a.mkv", num=1)
    assert not explorer.predict(bundle, folder, tmp_path / "one").videos
    done = explorer.predict(bundle, f"{folder}/*", tmp_path / "two")
    assert (done.num, len(done.videos)) == (1, 1)


def test_what_is_no_video_is_named_and_the_others_are_done(bundle, film, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    said = []
    done = explorer.predict(bundle, [tmp_path / "broken.mp4", film()], tmp_path / "out", say=said.append)
    assert (done.failed, len(done.videos)) == (1, 1)
    assert len(said) == 1
    assert "broken.mp4 cannot be decoded: " in said[0]
    assert not [path for path in (tmp_path / "out").rglob("*broken*") if path.is_file()]


def test_what_cannot_be_done_is_refused_in_one_sentence(bundle, film, tmp_path, monkeypatch):
    made = film()
    with pytest.raises(ConfigError, match="masks must be frames or video, got 'gif'"):
        explorer.predict(bundle, made, tmp_path / "out", masks="gif")
    overlays = tmp_path / "out/overlays"
    overlays.mkdir(parents=True)
    said = []
    made.rename(overlays / "film.mp4")
    assert explorer.predict(bundle, overlays / "film.mp4", tmp_path / "out", say=said.append).failed == 1
    assert "would be overwritten" in said[0]
    with pytest.raises(DataError, match=r"would both become film\.mp4"):
        explorer.predict(bundle, [overlays / "film.mp4", film()], tmp_path / "other")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r"^av is not installed. `pip install 'heteroakd-explorer\[video\]'`\.$"):
        explorer.predict(bundle, film(), tmp_path / "out")
