"""What the methods' own scripts use, by method and by data set: the defaults of the fields that depend on either."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's, of RGB in [0, 1]: images are normalised with them."""
BESIDE = ("cwd", "skd", "ifvd", "at", "fitnet", "cirkd", "afdcd", "cirkdv2")
"""Methods whose published results have plain KD beside them."""
CROPS = {"cityscapes": (512, 1024), "voc": (512, 512), "ade20k": (512, 512), "camvid": (360, 360)}
"""Training crops of the papers, height and width, pixels."""
_DECODER = ("cwd", "skd", "ifvd", "at", "fitnet", "cirkd", "cirkdv2")
"""Methods that compare the map after ASPP or decoder, the input of the last 1x1 convolution; others the last stage."""
_METHODS: Mapping[str, Mapping[str, Any]] = {
    **{method: {"projector_tap": "decoder", "lambda_kd": 1.0} for method in _DECODER},
    "afdcd": {"projector_tap": "stage4", "lambda_kd": 1.0},
    "lskd": {"temperature": 2.0},
}
_DATA: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("afdcd", "cityscapes"): {"lambda_afdcd_feature": 33.6, "lambda_afdcd_contrast": 0.08},
    ("afdcd", "voc"): {"lambda_afdcd_feature": 8.4, "lambda_afdcd_contrast": 0.08},
    ("afdcd", "ade20k"): {"lambda_afdcd_feature": 8.4, "lambda_afdcd_contrast": 0.64, "lambda_kd": 0.5},
    ("afdcd", "camvid"): {"lambda_afdcd_feature": 33.2, "lambda_afdcd_contrast": 0.16},
    ("cirkd", "voc"): {"lambda_cirkd_pixel": 0.01, "lambda_cirkd_region": 0.01},
}


def layout(data: str) -> str:
    """A set's name without its path and the number of labels that are used of it."""
    return re.split("[:@]", data, maxsplit=1)[0]


def published(method: str, data: str) -> dict[str, Any]:
    """Fields of a trial and their values, as far as they differ from the fields' own defaults.

    Args:
        data: a set's name, or NAME:PATH, also with @LABELS; of others nothing is published.

    Source: the scripts of CIRKD (its own, CIRKDv2's and those of cwd, skd, ifvd, at and fitnet), of Af-DCD and of
    logit standardisation.
    Deviation: Af-DCD's weights are of sums there; here of means, at its 2048 channels and 64 x 128 cells.
    """
    return {**_METHODS.get(method, {}), **_DATA.get((method, layout(data)), {})}


def with_data_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fixed fields of a trial with the papers' crop where `data` names a set of CROPS and they do not fix it.

    Goes before `with_teacher_recipe`: the teacher is trained on the same crops.
    """
    crop = CROPS.get(layout(str(values.get("data"))))
    return dict(values) if crop is None else {"crop_height": crop[0], "crop_width": crop[1], **values}
