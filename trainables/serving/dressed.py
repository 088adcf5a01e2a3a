"""What a device's camera gives and its application takes, inside an ONNX graph: bytes of pixels in, class ids out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainables.bands import Bands
from trainables.kept import atomic


def dress(path: Path, *, ids: bool, nhwc: bool, bands: Bands) -> None:
    """Rewrite a graph of float32 `images` [batch, channels, H, W] to `logits`; its size and numbers stay.

    Args:
        ids: it gives `ids` instead, uint8 [batch, H, W]: the class of the largest logit.
        nhwc: it takes [batch, H, W, channels]; uint8 where images have 8 bits.
    """
    import onnx

    model = onnx.load(path)
    if nhwc:
        _take_pixels(model.graph, onnx.TensorProto.FLOAT if bands.is_deep else onnx.TensorProto.UINT8)
    if ids:
        _give_ids(model.graph)
    onnx.checker.check_model(model)
    atomic.write(path, lambda part: onnx.save(model, str(part)))


def _take_pixels(graph: Any, kind: int) -> None:
    import onnx
    from onnx import helper

    given = graph.input[0]
    batch, channels, *sides = given.type.tensor_type.shape.dim
    inside = "images_nchw"
    for node in graph.node:
        node.input[:] = [inside if name == given.name else name for name in node.input]
    cast = helper.make_node("Cast", [given.name], ["images_float"], name="cast_pixels", to=onnx.TensorProto.FLOAT)
    turn = helper.make_node("Transpose", ["images_float"], [inside], name="turn_pixels", perm=[0, 3, 1, 2])
    shape = [dim.dim_param or dim.dim_value for dim in (batch, *sides, channels)]
    graph.input[0].CopyFrom(helper.make_tensor_value_info(given.name, kind, shape))
    nodes = [cast, turn, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _give_ids(graph: Any) -> None:
    import onnx
    from onnx import helper

    made = graph.output[0]
    batch, _, *sides = made.type.tensor_type.shape.dim
    best = helper.make_node("ArgMax", [made.name], ["largest"], name="largest_logit", axis=1, keepdims=0)
    cast = helper.make_node("Cast", ["largest"], ["ids"], name="cast_ids", to=onnx.TensorProto.UINT8)
    graph.node.extend([best, cast])
    shape = [dim.dim_param or dim.dim_value for dim in (batch, *sides)]
    graph.output[0].CopyFrom(helper.make_tensor_value_info("ids", onnx.TensorProto.UINT8, shape))
