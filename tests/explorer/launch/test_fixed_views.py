"""A sweep under the other protocol: a fixed bank of views, what the teacher says of them kept on disk."""

from __future__ import annotations

import io

from rich.console import Console

from explorer.launch.sweep import sweep
from explorer.results.trials import load_frames, load_studies
from explorer.study import StudySpec


def test_a_sweep_says_its_protocol_and_asks_the_teacher_of_each_view_once(
    without_ray, tiny_spec, tmp_path_factory, monkeypatch
):
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("HETEROAKD_CACHE", str(cache))
    base = {**tiny_spec["base"], "pair": tiny_spec["space"]["pair"][0], "views": 2, "teacher_cache": True}
    space = {name: form for name, form in tiny_spec["space"].items() if name != "pair"}
    changes = {"base": base, "space": space, "enqueue": [], "num_trials": 4, "group_size": 2, "max_concurrent": 1}
    spec = StudySpec.parse({**tiny_spec, **changes, "pruner": "none"})
    said, directory = io.StringIO(), tmp_path_factory.mktemp("study") / "views"
    with without_ray():
        assert sweep(spec, directory, console=Console(file=said, width=200)) == 0

    # 8 images x 2 views; 3 classes at stride 4 and 96 channels at stride 32 of 64 x 64, in fp16; 8 bytes of mark each
    size = 8 * 2 * (2 * 3 * 16 * 16 + 8 + 2 * 96 * 2 * 2 + 8)
    assert f"teacher cache of fpn:tu-test_resnet: 8 images x 2 views, {size / 2**20:.3f} MiB under" in said.getvalue()
    assert "another protocol: fixed views" in said.getvalue()
    kept = [path for path in (cache / "teacher-cache").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in kept) == size

    # Groups of two, one after the other. Four steps of two crops ask for each image once: all misses, then none.
    frames = load_frames(directory)
    assert frames.summary["protocol"] == "a fixed bank of 2 views an image instead of fresh crops"
    _, studies = load_studies(directory)
    hits = [trial.user_attrs["teacher_hits"] for trial in studies["search"].get_trials()]
    assert hits == [0.0, 0.0, 1.0, 1.0]
    assert frames.summary["teacher cache"] == "answered 50 % of the crops"
    (alone,) = studies["baseline"].get_trials()
    assert alone.user_attrs["config"]["views"] == 2
    assert "teacher_hits" not in alone.user_attrs
