"""A sweep with a teacher of each source that is good already, on `earth`: four trials, killed in the middle, resumed.

The networks have random weights, made here and saved in their libraries' own formats, so they teach nothing; what is
shown is that a sweep finds them, matches their classes, trains, is killed (SIGKILL of the driver at the first report of
a search trial) and goes on. Two of `earth`'s seven classes are known to none of those that name theirs.

Run: `python benchmarks/ready.py [--workers 2] [--only segformer]`; writes benchmarks/ready.json.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import trainables.torchvision_cure  # noqa: F401 - before what is built on torchvision
from explorer.results.trials import load_studies

OUT = Path(__file__).with_suffix(".json")
HETEROAKD = (sys.executable, "-c", "from explorer.cli.app import main; main()")
NAMES = ("water", "forest", "shrubland", "savanna", "grassland", "sky")
LIMIT_S = 600


def _labels() -> dict[str, Any]:
    return {"id2label": dict(enumerate(NAMES)), "label2id": {name: number for number, name in enumerate(NAMES)}}


def _transformers(make: Callable[[Any], Any]) -> Callable[[Path], str]:
    def save(folder: Path) -> str:
        import transformers

        make(transformers).eval().save_pretrained(folder)
        return f"hf:{folder}"

    return save


def _segformer(library: Any) -> Any:
    small = {"depths": [2, 2, 2, 2], "hidden_sizes": [32, 64, 160, 256]}
    return library.SegformerForSemanticSegmentation(library.SegformerConfig(**small, **_labels()))


def _upernet(library: Any) -> Any:
    stages = ["stage1", "stage2", "stage3", "stage4"]
    backbone = library.ConvNextConfig(hidden_sizes=[16, 32, 64, 96], depths=[1, 1, 2, 1], out_features=stages)
    config = library.UperNetConfig(backbone_config=backbone, hidden_size=32, use_auxiliary_head=False, **_labels())
    return library.UperNetForSemanticSegmentation(config)


def _dpt(library: Any) -> Any:
    config = library.DPTConfig(
        hidden_size=48, num_hidden_layers=4, num_attention_heads=2, intermediate_size=96, image_size=128, patch_size=16,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[16, 24, 32, 48], fusion_hidden_size=24,
        use_auxiliary_head=False, **_labels(),
    )  # fmt: skip
    return library.DPTForSemanticSegmentation(config)


def _mask2former(library: Any) -> Any:
    stages = ["stage1", "stage2", "stage3", "stage4"]
    backbone = library.SwinConfig(
        embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], window_size=4, image_size=128, out_features=stages
    )
    config = library.Mask2FormerConfig(
        backbone_config=backbone, hidden_dim=32, feature_size=32, mask_feature_size=32, num_queries=20,
        encoder_layers=1, decoder_layers=2, num_attention_heads=2, encoder_feedforward_dim=32, dim_feedforward=32,
        **_labels(),
    )  # fmt: skip
    return library.Mask2FormerForUniversalSegmentation(config)


def _dinov2(library: Any) -> Any:
    config = library.Dinov2Config(
        hidden_size=48, num_hidden_layers=4, num_attention_heads=2, image_size=112, patch_size=14
    )
    return library.Dinov2Model(config)


def _smp(folder: Path) -> str:
    import segmentation_models_pytorch as smp

    smp.create_model("fpn", "resnet18", encoder_weights=None, classes=7).save_pretrained(folder)
    return f"smp:{folder}"


def _torchvision(folder: Path) -> str:
    import torch
    import torchvision

    model = torchvision.models.segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=7)
    torch.save(model.state_dict(), folder / "weights.pth")
    return f"file:{folder / 'weights.pth'}@torchvision:deeplabv3_resnet50"


def _cirkd(folder: Path) -> str:
    import torch

    from trainables.models.ready.cirkd import Cirkd

    tensors = {f"module.{name}": value for name, value in Cirkd("resnet18", 7).state_dict().items()}
    torch.save(tensors, folder / "weights.pth")
    return f"file:{folder / 'weights.pth'}@cirkd:resnet18"


KINDS: dict[str, Callable[[Path], str]] = {
    "segformer": _transformers(_segformer),
    "upernet": _transformers(_upernet),
    "dpt": _transformers(_dpt),
    "mask2former": _transformers(_mask2former),
    "dinov2": _transformers(_dinov2),
    "smp": _smp,
    "torchvision": _torchvision,
    "cirkd": _cirkd,
}


def saved(kind: str, place: Path) -> str:
    """The name of a network of this kind."""
    import torch

    torch.manual_seed(0)
    (place / kind).mkdir()
    return KINDS[kind](place / kind)


def measure(kind: str, name: str, place: Path) -> dict[str, Any]:
    """One sweep, killed and resumed.

    Raises:
        RuntimeError: a command ended otherwise than it should.
    """
    folder = place / kind
    pair = f"{name}>fpn:tu-mobilenetv3_small_050"
    out, log = place / f"{kind}-study", place / f"{kind}.log"
    searched, other = ("lambda_hakd", {"lambda_kd": 0.0}) if kind == "dinov2" else ("lambda_kd", {"lambda_hakd": 1.0})
    base = {"pair": pair, "data": "earth", "steps": 4, "eval_every": 2, "batch_size": 4, **other}
    space = {searched: {"low": 0.1, "high": 1.0}}
    spec = folder / "spec.yaml"
    spec.write_text(
        json.dumps({"name": kind, "space": space, "base": base, "num_trials": 4, "pruner": "nop"}), encoding="utf-8"
    )
    started = time.perf_counter()
    options = ["--out", str(out), "--force", "--concurrent", "1"]
    killed = _killed([*HETEROAKD, "sweep", str(spec), *options], out, log)
    resumed = subprocess.run([*HETEROAKD, "resume", str(out)], capture_output=True, encoding="utf-8", timeout=LIMIT_S)
    if resumed.returncode:
        raise RuntimeError(f"{kind}: {resumed.stdout}{resumed.stderr}")
    _, studies = load_studies(out)
    states = [trial.state.name for trial in studies["search"].get_trials()]
    files = studies["search"].user_attrs["teacher_files"]
    return {
        "teacher": kind,
        "killed_after_s": round(killed, 1),
        "all_s": round(time.perf_counter() - started, 1),
        "states": states,
        "files_recorded": sum(len(each) for each in files.values()),
    }


def _killed(command: list[str], out: Path, log: Path) -> float:
    started = time.perf_counter()
    with log.open("w", encoding="utf-8") as lines:
        driver = subprocess.Popen(command, stdout=lines, stderr=subprocess.STDOUT, start_new_session=True)
    while not list(out.glob("trials/search-*/log.jsonl")):
        if driver.poll() is not None or time.perf_counter() - started > LIMIT_S:
            raise RuntimeError(log.read_text(encoding="utf-8"))
        time.sleep(0.1)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=KINDS, nargs="*", default=list(KINDS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(given.workers) as pool:
        os.environ["HETEROAKD_CACHE"] = f"{place}/cache"
        rows = []
        names = {kind: saved(kind, Path(place)) for kind in given.only}
        for row in pool.map(lambda kind: measure(kind, names[kind], Path(place)), given.only):
            rows.append(row)
            print(row, flush=True)
    OUT.write_text(json.dumps({"sweeps": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
