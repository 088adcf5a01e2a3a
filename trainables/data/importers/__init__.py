"""IMPORTERS: other tools' trees, read into the `folder` layout. One file for each kind, and one line here."""

from __future__ import annotations

from trainables.data.importers.coco import COCO
from trainables.data.importers.cvat import CVAT
from trainables.data.importers.hf import HF
from trainables.data.importers.labelme import LABELME
from trainables.data.importers.rgb import RGB
from trainables.data.importers.roboflow import ROBOFLOW
from trainables.data.importers.source import Importer
from trainables.data.importers.supervisely import SUPERVISELY
from trainables.data.importers.voc_custom import VOC_CUSTOM
from trainables.data.importers.yolo import YOLO

IMPORTERS: dict[str, Importer] = {
    "coco": COCO,
    "cvat": CVAT,
    "labelme": LABELME,
    "yolo": YOLO,
    "roboflow": ROBOFLOW,
    "supervisely": SUPERVISELY,
    "hf": HF,
    "voc-custom": VOC_CUSTOM,
    "rgb": RGB,
}
