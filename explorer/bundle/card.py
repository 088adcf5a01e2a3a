"""The model card: what a bundle is, how good, how sure of it, and what nobody has measured."""

from __future__ import annotations

from typing import Any

from explorer.bundle import bought
from explorer.bundle.markdown import escape, percent, points, table
from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.models.licences import UNKNOWN, licences
from trainables.sources import is_ready

Metrics = dict[str, Any]


def card(
    metrics: Metrics, config: TrialConfig, dataset: SegDataset, provenance: dict[str, Any], *, use: str = ""
) -> str:
    """Markdown. Every figure in it is out of `metrics` or `provenance`; foreign text is escaped.

    Args:
        metrics: what `metrics.json` holds.
        provenance: what `provenance.json` holds.
        use: how the network is used where it stands in no bundle; the bundle's other files are then not named.
    """
    parts = [
        f"# {escape(config.student)} for {escape(dataset.name)}",
        _what(metrics, config, dataset, bundled=not use),
        "## How good it is",
        _scores(metrics, config, dataset),
        "## How it was chosen, and how sure that is",
        *_choice(metrics, config),
        "## How it was trained",
        _training(metrics, config, dataset, provenance, bundled=not use),
        "## Limits",
        _limits(metrics if not use else {**metrics, "files": {}}, config, dataset),
        "## How to use it",
        *([use] if use else [_use(metrics), "## Files", _files(metrics)]),
        "## Licence",
        _licence(config, dataset, provenance),
    ]
    return "\n\n".join(parts) + "\n"


def _what(metrics: Metrics, config: TrialConfig, dataset: SegDataset, *, bundled: bool) -> str:
    size = f"{metrics['parameters_millions']:.2f} million parameters"
    taught = f", taught by {escape(config.teacher)} with the method {escape(config.method)}"
    taught = taught if config.reads("teacher") else ", trained without a teacher"
    if "peer" in metrics:
        taught = f", trained together with {escape(config.teacher)}"
        taught += " (in peer&#46;safetensors)" if bundled else ""
    return (
        f"A network for semantic segmentation, {size}{taught}. It gives each pixel of {_image(dataset)} one of "
        f"{dataset.num_classes} classes. Found by HeteroAKD Explorer in the study “{escape(metrics['study'])}”."
    )


def _image(dataset: SegDataset) -> str:
    return "an RGB image" if dataset.bands.is_photo else f"an image ({dataset.bands.words})"


def _scores(metrics: Metrics, config: TrialConfig, dataset: SegDataset) -> str:
    splits = metrics["splits"]
    head = ["class", *(f"IoU on {split}" for split in splits)]
    rows = [
        [f"{number}: {escape(name)}", *(percent(scores["iou"][name]) for scores in splits.values())]
        for number, name in enumerate(dataset.classes)
    ]
    mean = ["**mean (mIoU)**", *(f"**{percent(scores['miou'])}**" for scores in splits.values())]
    spans = ["90 % interval over images", *(_span(scores) for scores in splits.values())]
    counts = ", ".join(f"{len(dataset.samples(split))} images of {split}" for split in splits)
    return (
        f"Of these weights, on {counts}: one confusion matrix over the whole split. A class that is in neither label "
        "nor prediction has no IoU (–) and is left out of the mean. The interval says how far mIoU moves on other "
        f"images of the same source (a bootstrap over these {_drawn(config, dataset)}); of another training it says "
        f"nothing.\n\n{table(head, [mean, spans, *rows])}"
    )


def _span(scores: Metrics) -> str:
    low, high = scores["miou_low"], scores["miou_high"]
    return "–" if low is None or high is None else f"{100 * low:.2f} to {percent(high)}"


def _drawn(config: TrialConfig, dataset: SegDataset) -> str:
    if config.fold_by is not None:
        return f"images' groups by {escape(config.fold_by)}"
    return "images' groups" if dataset.groups else "images"


def _choice(metrics: Metrics, config: TrialConfig) -> list[str]:
    found = metrics["confirmed"]
    first = _confirmed(metrics, found) if found else [_unconfirmed(metrics, config)]
    return [*first, *bought.lines(metrics["compute"], config, trial=metrics["trial"])]


def _unconfirmed(metrics: Metrics, config: TrialConfig) -> str:
    words = {"asked": "somebody's choice", "gain": "the best by gain", "miou": "the best by mIoU"}
    gain = (
        f"The matched student alone (same network, budget and seed) has {percent(metrics['baseline_miou'])}: a gain of "
        f"{points(metrics['gain'])} points. "
        if metrics["gain"] is not None
        else "There is no matched student alone to compare it with. "
    )
    return (
        f"**Not confirmed.** It is trial {metrics['trial']}, {words[metrics['chosen']]} of "
        f"{metrics['complete_trials']} complete trials, trained once, with seed {config.seed}, and scored on the "
        "split (val) on which it was chosen. The best of many is also the luckiest: expect less of a new training and "
        f"of new images. {gain}{_over_seeds(metrics)}"
        "`heteroakd confirm` measures it on fresh ones."
    )


def _over_seeds(metrics: Metrics) -> str:
    found = metrics["over_seeds"]
    if found is None or found["low"] is None:
        return "The interval above is over images; none over seeds is known: "
    return (
        f"Over seeds its config is believed to have {percent(found['miou'])} (90 % interval {percent(found['low'])} to "
        f"{percent(found['high'])}); the interval above is over images. "
    )


def _confirmed(metrics: Metrics, found: dict[str, Any]) -> list[str]:
    luck = {
        "winner": "told apart from every other finalist and better than the student alone",
        "separable": "told apart from every other finalist, but not better than the student alone beyond doubt",
    }
    verdict = luck.get("winner" if found["winner"] else "separable" if found["separable"] else "")
    independent = "" if found["split"] == "test" else " The search chose by this split too, so it flatters."
    rows = [
        ["mIoU", percent(found["miou"]), percent(found["miou_low"]), percent(found["miou_high"])],
        ["gain over the student alone", *(points(found[name]) for name in ("gain", "gain_low", "gain_high"))],
    ]
    told = " ".join(escape(sentence) for sentence in found["verdict"])
    unfinished = f" {found['open_runs']} runs of the confirmation are still open." if found["open_runs"] else ""
    return [
        f"Its config (trial {metrics['trial']} of {metrics['complete_trials']} complete ones) was trained again on "
        f"{found['num_seeds']} fresh seeds; on {found['split']}, over these seeds:{independent}{unfinished}",
        table(["", "mean", "90 % interval over seeds from", "to"], rows),
        *_over_images(found),
        f"It is {verdict}." if verdict else "**It is not told apart from the other finalists**: it has the best mean.",
        *([f"The verdict: {told}"] if told else []),
        f"In the search it had {percent(found['search_miou'])} {_curse(found)}. The weights here are the run "
        f"with the median mIoU on val (seed {found['seed']}), not the luckiest.",
    ]


def _curse(found: dict[str, Any]) -> str:
    if found["curse"] is None:
        return "over folds of train and val, which are other images"
    return f"on val, {points(found['curse'])} points more than on fresh seeds: the winner's curse"


def _over_images(found: dict[str, Any]) -> list[str]:
    """Of the mean over seeds; nothing where a release without such intervals scored them."""
    low, high = found.get("images_low"), found.get("images_high")
    if low is None or high is None:
        return []
    return [f"Over images instead, that mean has the 90 % interval {100 * low:.2f} to {percent(high)}."]


def _training(
    metrics: Metrics, config: TrialConfig, dataset: SegDataset, provenance: dict[str, Any], *, bundled: bool
) -> str:
    start = "ImageNet weights of the encoder" if config.pretrained or config.encoder_weights else "random weights"
    facts = [
        f"data: {escape(dataset.name)}, {len(dataset.samples('train'))} training images (content hash "
        f"{provenance['data_digest']})",
        f"{config.steps} steps of {config.batch_size} crops of {config.crop_height} x {config.crop_width} pixels, from "
        f"{start}, seed {config.seed}",
        *_teacher(metrics),
        "versions: " + ", ".join(f"{name} {escape(found)}" for name, found in provenance["versions"].items() if found),
    ]
    if bundled:
        facts.append(
            "everything else: `best.yaml`, `provenance.json`; all trials of the study: `trials.csv`, `trials.parquet`"
        )
    return "\n".join(f"- {fact}" for fact in facts)


def _teacher(metrics: Metrics) -> list[str]:
    """What taught, and how good it was; nothing where nothing did."""
    if (found := metrics["teacher"]) is None:
        return []
    whose = ", weights that it was given" if found["own_weights"] else ""
    score = "an mIoU that nobody measured" if found["miou"] is None else f"mIoU {percent(found['miou'])} on val"
    return [f"teacher: {escape(found['model'])}{whose}, with {score}"]


def _limits(metrics: Metrics, config: TrialConfig, dataset: SegDataset) -> str:
    facts = [
        "Nothing is known of images unlike those of the data set: another camera, place, season or scale.",
        f"Every pixel gets one of the {dataset.num_classes} classes, also where none of them is right.",
        "Its classes have the IoUs above; a mean hides the weak ones.",
    ]
    if "test" not in metrics["splits"]:
        facts.append("There is no test split: all scores are on images by which the search chose.")
    if config.eval_mode == "slide":
        facts.append(f"Scored in overlapping windows of {config.crop_height} x {config.crop_width} pixels.")
    facts += [files["reason"] for files in metrics["files"].values() if files.get("reason")]
    return "\n".join(f"- {escape(fact) if fact.startswith('student.') else fact}" for fact in facts)


def _use(metrics: Metrics) -> str:
    lines = ["heteroakd predict . photos/ --out predicted     # masks and overlays"]
    if "size" in metrics["files"].get("student.onnx", {}):
        lines.append("python predict.py photo.jpg mask.png            # ONNX Runtime, NumPy and Pillow, nothing else")
        lines.append("python bench.py                                 # milliseconds on the device where it runs")
    else:
        lines.append("python predict.py photo.jpg mask.png            # with heteroakd-explorer installed")
    code = ""
    if metrics["own_code"]:
        code = (
            "\n\nIt needs code of its makers, which is in `code/`: set `HETEROAKD_PATH=code`. That runs it, so look at "
            "it first."
        )
    return "\n\n".join(["```sh\n" + "\n".join(lines) + "\n```" + code, *_graphs(metrics)])


def _graphs(metrics: Metrics) -> list[str]:
    """What goes into the graphs and how far they are from the network; nothing where there are none."""
    made = {name: facts for name, facts in metrics["files"].items() if "max_abs_diff" in facts}
    if not made:
        return []
    rows = [
        [
            f"`{name}`",
            escape(facts["size"]),
            f"{facts['max_abs_diff']:.1e}",
            f"{100 * facts['agreement']:.2f} %",
            str(facts["num_images"]),
        ]
        for name, facts in made.items()
    ]
    head = ["file", "sides", "logits differ from PyTorch's by at most", "pixels of the same class", "images tried"]
    return [
        f"The graphs take float32 {_values(metrics['bands'])}, height, width], and give logits, [batch, "
        f"{len(metrics['classes'])}, height, width]; normalisation is inside. Fill an image up to the sides below with "
        f"{_fill(metrics['bands'])}, at the bottom and on the right, and cut the logits back. A side below "
        "64 is filled up further than `heteroakd predict` does (to 32), so labels of such small images may differ.",
        *_dressed(metrics),
        table(head, rows),
        *_precisions(metrics),
    ]


def _dressed(metrics: Metrics) -> list[str]:
    """What is otherwise in the ONNX files, where that was asked for."""
    kind = "uint8" if metrics["bands"]["scale"] == 255 else "float32"
    takes = [f"take {kind} [batch, height, width, channels]"] if metrics["layout"] == "nhwc" else []
    gives = ["give class ids, uint8 [batch, height, width]"] if metrics["gives"] == "ids" else []
    return [f"But the ONNX files {' and '.join([*takes, *gives])}."] if takes or gives else []


def _precisions(metrics: Metrics) -> list[str]:
    """What each ONNX file scores on val, and what was lost; nothing where they were not scored."""
    scored = {name: facts for name, facts in metrics["files"].items() if "miou" in facts}
    if not scored:
        return []
    head = ["", *(f"`{name}`" for name in scored)]
    every = scored.values()
    rows = [
        ["**mIoU**", *(f"**{percent(facts['miou'])}**" for facts in every)],
        ["points lost", *(_lost(facts, "points_lost") for facts in every)],
        ["points lost by this CPU's int8", *(_lost(facts, "points_lost_here") for facts in every)],
        ["MiB", *(f"{facts['mib']:.1f}" for facts in every)],
        ["in this folder", *("no" if "reason" in facts else "yes" for facts in every)],
        *([escape(name), *(percent(facts["iou"][name]) for facts in every)] for name in metrics["classes"]),
    ]
    how = {facts["quantised"] for facts in every if "quantised" in facts}
    words = f" In int8: {', '.join(sorted(how))}." if how else ""
    tuned = [facts for facts in every if "tuned_lost" in facts]
    words += "".join(
        f" Fine-tuned for int8 it loses {_points(facts['tuned_lost'])}, as it was {_points(facts['plain_lost'])}; int8 "
        "is the better one's."
        for facts in tuned
    )
    words += "".join(
        f" The student fine-tuned for int8 left no graph: {escape(facts['tuned_reason'])}."
        for facts in every
        if "tuned_reason" in facts
    )
    return [
        "On all of val, by ONNX Runtime on a CPU; points of mIoU are lost to `student.onnx`. int8 is scored as the "
        f"graph defines it, which a device should keep to; x86 CPUs without VNNI saturate and lose more.{words}",
        table(head, rows),
    ]


def _points(lost: float | None) -> str:
    return "what is not known" if lost is None else f"{lost:.2f} points"


def _lost(facts: Metrics, name: str) -> str:
    return f"{facts[name]:.2f}" if name in facts else ""


def _values(bands: dict[str, Any]) -> str:
    if (bands["channels"], bands["scale"]) == (3, 255):
        return "RGB from 0 to 255, [batch, 3"
    return (
        f"numbers as the files hold them (they are divided by {bands['scale']:g} inside), [batch, {bands['channels']}"
    )


def _fill(bands: dict[str, Any]) -> str:
    """What normalises to 0."""
    values = ", ".join(f"{bands['scale'] * mean:.7g}" for mean in bands["mean"])
    return f"the colour ({values})" if bands["channels"] == 3 else f"the values ({values})"


def _files(metrics: Metrics) -> str:
    rows = [
        ("`best.yaml`", "the trial's config: `heteroakd train best.yaml` repeats it"),
        ("`student.safetensors`", "the weights"),
        *([("`peer.safetensors`", "those of the other student")] if "peer" in metrics else []),
        *((f"`{name}`", "the network as a graph") for name, facts in metrics["files"].items() if "size" in facts),
        ("`metrics.json`, `provenance.json`", "the figures above; versions, hashes, seeds, commit"),
        ("`predict.py`", "loads the network and predicts one image"),
        *(
            [("`bench.py`", "times the graphs on a device")]
            if "size" in metrics["files"].get("student.onnx", {})
            else []
        ),
        ("`reproduce.sh`", "trains it again in a new environment and compares the mIoU"),
        ("`trials.csv`, `trials.parquet`", "every trial of the study"),
        *([("`code/`", "the makers' own code that the config names")] if metrics["own_code"] else []),
    ]
    return table(["file", "what it is"], rows, align="left")


def _licence(config: TrialConfig, dataset: SegDataset, provenance: dict[str, Any]) -> str:
    student, teacher_code = licences(config.student), licences(config.teacher).code
    stated = [f"- code of {escape(config.student)}: {student.code}"]
    if config.pretrained or config.encoder_weights:
        stated.append(f"- published weights of its encoder: {escape(student.weights)}; their data: {student.data}")
    if config.is_taught:
        theirs = (provenance.get("teacher") or {}).get("licence")
        weights = f"; its weights: {escape(str(theirs or UNKNOWN))}" if is_ready(config.teacher) else ""
        stated.append(f"- code of the teacher {escape(config.teacher)}: {teacher_code}{weights}")
    lines = "\n".join(stated)
    weights = "the ImageNet weights it started from, " if config.pretrained or config.encoder_weights else ""
    given = config.is_taught and not config.trains_teacher
    teacher = " and of the weights that its teacher was given as" if given else ""
    return (
        f"The code that made it is Apache-2.0. For the weights, look at the terms of {weights}the data set "
        f"{escape(dataset.name)}{teacher}. As far as the sources state them:\n\n{lines}"
    )
