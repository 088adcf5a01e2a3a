from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.data.transforms import PAD_COLOUR, augment, normalize
from trainables.recipe import Recipe

PLAIN = Recipe(crop_height=32, crop_width=64, scale_min=1, scale_max=1, flip_horizontal=0)


def change(recipe, **fields):
    return Recipe(**{**recipe.model_dump(), **fields})


def coordinates(height, width):
    """Red is the column, green the row, blue constant; the label is the column too."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    image = torch.stack([columns, rows, torch.full_like(rows, 99)]).to(torch.uint8)
    return image, columns.to(torch.uint8)


def views(image, label, recipe, count=40):
    for seed in range(count):
        yield augment(image, label, recipe, np.random.default_rng(seed), pad_id=255)


def test_at_scale_one_a_view_is_a_slice():
    image, label = coordinates(50, 90)
    for out, out_label in views(image, label, PLAIN):
        left, top = int(out[0, 0, 0]), int(out[1, 0, 0])
        assert torch.equal(out, image[:, top : top + 32, left : left + 64])
        assert torch.equal(out_label, label[top : top + 32, left : left + 64])


def test_every_offset_is_reached_the_last_too():
    image, label = coordinates(34, 66)
    seen = {(int(out[1, 0, 0]), int(out[0, 0, 0])) for out, _ in views(image, label, PLAIN, count=100)}
    assert seen == {(top, left) for top in range(3) for left in range(3)}


@pytest.mark.parametrize("scale", [0.25, 0.5, 0.8, 1.0, 1.7, 2.0, 8.0])
@pytest.mark.parametrize("flips", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_image_and_label_stay_aligned(scale, flips):
    """Both hold the source column: interpolated, and of the nearest pixel, which is at most half a step away."""
    image, label = coordinates(96, 160)
    horizontal, vertical = flips
    recipe = change(PLAIN, scale_min=scale, scale_max=scale, flip_horizontal=horizontal, flip_vertical=vertical)
    for out, out_label in views(image, label, recipe, count=10):
        valid = out_label != 255
        shift = out[0][valid].float() - out_label[valid].float()
        assert shift.abs().max() <= 0.5 + 0.5 * max(1, 1 / scale)
        assert shift.mean().abs() < 0.6  # nearest without pixel centres is 1.5 off at a quarter of the scale
        rows, columns = (out[channel][valid.any(dim=1)][:, valid.any(dim=0)].float() for channel in (1, 0))
        assert (columns[:, 0] > columns[:, -1]).all() == bool(horizontal)
        assert (rows[0] > rows[-1]).all() == bool(vertical)


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.7])
def test_scale_counts_result_pixels_for_each_source_pixel(scale):
    image, label = coordinates(96, 160)
    for out, _ in views(image, label, change(PLAIN, scale_min=scale, scale_max=scale), count=10):
        steps = [out[0, 5, 2:-2].float().diff().mean(), out[1, 2:-2, 5].float().diff().mean()]
        assert steps == pytest.approx([1 / scale, 1 / scale], rel=0.05)


def test_a_view_is_the_crop_of_the_whole_scaled_image():
    """The reference the window replaces: scale everything by 2, then slice; equal but for a pixel at the border."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 70), dtype=np.uint8)
    label, image = torch.from_numpy(noise), torch.from_numpy(np.stack([noise] * 3))
    whole = torch.nn.functional.interpolate(image[None].float(), scale_factor=2, mode="bilinear")[0]
    for out, out_label in views(image, label, change(PLAIN, scale_min=2, scale_max=2), count=5):
        slices = [(top, left) for top in range(0, 89, 2) for left in range(0, 77, 2)]
        ids = label.repeat_interleave(2, dim=0).repeat_interleave(2, dim=1)
        ((top, left),) = [(t, c) for t, c in slices if torch.equal(out_label, ids[t : t + 32, c : c + 64])]
        expected = whole[:, top + 1 : top + 31, left + 1 : left + 63]
        assert (out[:, 1:-1, 1:-1].float() - expected).abs().max() <= 1


def test_shrinking_averages_instead_of_skipping_pixels():
    """White lines in every fourth column: a quarter of the size is an even grey of a quarter of white."""
    lines = torch.tensor([200, 0, 0, 0], dtype=torch.uint8).repeat(96, 40)
    recipe = change(PLAIN, scale_min=0.25, scale_max=0.25)
    for out, out_label in views(lines.expand(3, -1, -1), torch.zeros_like(lines), recipe, count=3):
        assert out[0][out_label != 255].float().mean().item() == pytest.approx(50, abs=5)


def test_no_new_ids_appear():
    rng = np.random.default_rng(0)
    label = torch.from_numpy(rng.choice(np.array([0, 6, 255], dtype=np.uint8), (70, 70)))
    image = torch.zeros(3, 70, 70, dtype=torch.uint8)
    for _, out in views(image, label, change(PLAIN, scale_min=0.3, scale_max=3)):
        assert set(out.unique().tolist()) <= {0, 6, 255}


@pytest.mark.parametrize("pad_id", [255, 200])
def test_padding_is_ignored_and_of_the_mean_colour(pad_id):
    image, label = coordinates(20, 80)
    out, out_label = augment(image, label, PLAIN, np.random.default_rng(0), pad_id=pad_id)
    assert out.shape == (3, 32, 64)
    assert (out_label[20:] == pad_id).all()
    assert (out_label[:20] != pad_id).all()
    assert (out[:, 20:] == torch.tensor(PAD_COLOUR).reshape(3, 1, 1)).all()
    assert normalize(out[None])[0, :, 20:].abs().max() < 0.02


def test_an_image_smaller_than_the_crop_is_scaled_whole():
    image, label = coordinates(20, 30)
    _, out_label = augment(
        image, label, change(PLAIN, scale_min=0.5, scale_max=0.5), np.random.default_rng(0), pad_id=255
    )
    assert (out_label != 255).sum() == 10 * 15


def test_scales_are_uniform_between_their_bounds():
    image, label = coordinates(20, 20)  # always smaller than the crop: the valid width tells the scale
    recipe = change(PLAIN, scale_min=0.5, scale_max=1.5)
    widths = [int((out[0] != 255).sum()) for _, out in views(image, label, recipe, count=2000)]
    assert (min(widths), max(widths)) == (10, 30)
    assert np.mean(widths) == pytest.approx(20, abs=0.5)
    assert np.quantile(widths, 0.25) == pytest.approx(15, abs=1)


def test_crops_do_not_depend_on_jitter_and_every_recipe_draws_as_much():
    image, label = coordinates(96, 160)
    recipe = Recipe(crop_height=32, crop_width=64)
    for seed in range(10):
        plain, jittered = np.random.default_rng(seed), np.random.default_rng(seed)
        out, out_label = augment(image, label, recipe, plain, pad_id=255)
        other, other_label = augment(image, label, change(recipe, color_jitter=0.5), jittered, pad_id=255)
        assert torch.equal(out_label, other_label)
        assert not torch.equal(out, other)
        assert plain.random() == jittered.random()


def test_jitter_leaves_the_padding_and_the_source_alone():
    image, label = coordinates(20, 80)
    before = image.clone()
    out, _ = augment(image, label, change(PLAIN, color_jitter=0.9), np.random.default_rng(3), pad_id=255)
    assert (out[:, 20:] == torch.tensor(PAD_COLOUR).reshape(3, 1, 1)).all()
    assert torch.equal(image, before)


def test_normalize_agrees_with_numpy_and_keeps_its_input():
    images = torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    mean, std = (np.array(v).reshape(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    np.testing.assert_allclose(normalize(images).numpy(), (images.numpy() / 255 - mean) / std, atol=1e-6)
    assert normalize(images).dtype == torch.float32
    assert torch.equal(images, before)


@pytest.mark.cuda
def test_normalize_does_not_wait_for_the_device(no_waiting):
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8, device="cuda")
    with no_waiting():
        result = normalize(images)
    assert result.is_cuda
