"""Every block that a page may show: its name in a marker, where it comes from, and the function that writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from writers import study, trial, verbs
from writers.figures import (
    aware,
    camvid,
    dashboard,
    data,
    demo,
    earth_teachers,
    exported,
    factorial,
    front,
    image_interval,
    intervals,
    kernel,
    loop,
    losses,
    methods,
    overhead,
    pairs,
    quantised,
    record,
    regimes,
    scaling,
    search,
    sensitivity,
    sharing,
    soak,
    stop_when,
    storage,
    thousand,
    transfer,
    unlabelled,
)


@dataclass(frozen=True)
class Block:
    """What a marker names: files of benchmarks/ whose contents `render` takes, in this order; or code that it reads."""

    render: Callable[..., str]
    sources: tuple[str, ...] = ()
    code: str = ""

    @property
    def label(self) -> str:
        """The source as markers write it."""
        return self.code or (f"benchmarks/{self.sources[0]}" if len(self.sources) == 1 else "benchmarks")


_CLI, _CONFIG, _STUDY = "explorer/cli/app.py", "trainables/config.py", "explorer/study.py"

BLOCKS: dict[str, Block] = {
    "many_images": Block(unlabelled.many, ("many_images.json",)),
    "unlabelled_rows": Block(unlabelled.rows, ("unlabelled.json",)),
    "unlabelled_setting": Block(unlabelled.setting, ("unlabelled.json",)),
    "verbs": Block(verbs.verbs, code=_CLI),
    "verbs_index": Block(verbs.index, code=_CLI),
    "trial_recipe": Block(trial.recipe, code=_CONFIG),
    "trial_what": Block(trial.what, code=_CONFIG),
    "trial_methods": Block(trial.methods, code=_CONFIG),
    "trial_speed": Block(trial.speed, code=_CONFIG),
    "aware_rows": Block(aware.rows, ("aware.json",)),
    "camvid_compute": Block(camvid.compute, ("camvid.json",)),
    "camvid_factorial": Block(camvid.factorial, ("camvid.json",)),
    "camvid_reading": Block(camvid.reading, ("camvid.json",)),
    "camvid_rows": Block(camvid.rows, ("camvid.json",)),
    "camvid_setting": Block(camvid.setting, ("camvid.json",)),
    "camvid_tried": Block(camvid.tried, ("camvid.json",)),
    "dashboard_setting": Block(dashboard.setting, ("dashboard.json",)),
    "dashboard_times": Block(dashboard.times, ("dashboard.json",)),
    "data_rates": Block(data.rates, ("data.json",)),
    "data_setting": Block(data.setting, ("data.json",)),
    "demo_rows": Block(demo.rows, ("demo.json",)),
    "earth_teachers": Block(earth_teachers.teachers, ("earth_teachers.json",)),
    "exported_networks": Block(exported.networks, ("exported.json",)),
    "exported_summary": Block(exported.summary, ("exported.json",)),
    "factorial_reading": Block(factorial.reading, ("factorial.json",)),
    "factorial_rows": Block(factorial.rows, ("factorial.json",)),
    "factorial_setting": Block(factorial.setting, ("factorial.json",)),
    "front_page": Block(partial(front.claims, folder="docs/"), front.SOURCES),
    "front_page_in_docs": Block(partial(front.claims, folder=""), front.SOURCES),
    "image_interval": Block(image_interval.coverage, ("image_interval.json",)),
    "image_interval_cost": Block(image_interval.cost, ("image_interval.json",)),
    "interactions": Block(intervals.interactions, ("intervals.json",)),
    "intervals_coverage": Block(intervals.coverage, ("intervals.json",)),
    "intervals_luck": Block(intervals.luck, ("intervals.json",)),
    "intervals_setting": Block(intervals.setting, ("intervals.json",)),
    "intervals_winners": Block(intervals.winners, ("intervals.json",)),
    "kernel_forms": Block(kernel.forms, ("kernel.json",)),
    "loop_options": Block(loop.options, ("loop.json",)),
    "loop_setting": Block(loop.setting, ("loop.json",)),
    "loop_speeds": Block(loop.speeds, ("loop.json",)),
    "losses_costs": Block(losses.costs, ("losses.json",)),
    "losses_setting": Block(losses.setting, ("losses.json",)),
    "methods_reading": Block(methods.reading, ("methods.json",)),
    "methods_recipe": Block(methods.recipe, ("methods.json",)),
    "methods_scores": Block(methods.scores, ("methods.json",)),
    "overhead_ratio": Block(overhead.ratio, ("overhead.json",)),
    "overhead_times": Block(overhead.times, ("overhead.json",)),
    "pairs_first": Block(pairs.first, ("pairs.json",)),
    "pairs_rows": Block(pairs.rows, ("pairs.json",)),
    "pairs_setting": Block(pairs.setting, ("pairs.json",)),
    "quantised_rows": Block(quantised.rows, ("quantised.json",)),
    "quantised_setting": Block(quantised.setting, ("quantised.json",)),
    "record_reading": Block(record.reading, ("record.json",)),
    "record_setting": Block(record.setting, ("record.json",)),
    "record_shares": Block(record.shares, ("record.json",)),
    "regimes_reading": Block(regimes.reading, ("regimes.json",)),
    "regimes_rows": Block(regimes.rows, ("regimes.json",)),
    "regimes_setting": Block(regimes.setting, ("regimes.json",)),
    "scaling_setting": Block(scaling.setting, ("scaling.json",)),
    "scaling_steps": Block(scaling.steps, ("scaling.json",)),
    "search_reading": Block(search.reading, ("search.json",)),
    "search_rivals": Block(search.rivals, ("search_rivals.json",)),
    "search_setting": Block(search.setting, ("search.json",)),
    "search_table": Block(search.table_of_regrets, ("search.json",)),
    "sensitivity_claims": Block(sensitivity.claims, ("sensitivity.json",)),
    "sensitivity_coverage": Block(sensitivity.coverage, ("sensitivity.json",)),
    "sensitivity_setting": Block(sensitivity.setting, ("sensitivity.json",)),
    "sensitivity_table": Block(sensitivity.against_stock, ("sensitivity.json",)),
    "sharing_memory": Block(sharing.memory, ("sharing.json",)),
    "sharing_pruned": Block(sharing.pruned, ("sharing.json",)),
    "sharing_setting": Block(sharing.setting, ("sharing.json",)),
    "sharing_sweeps": Block(sharing.sweeps, ("sharing.json",)),
    "sharing_table": Block(sharing.gains, ("sharing.json",)),
    "soak": Block(soak.facts, ("soak.json",)),
    "soak_cases": Block(soak.cases, ("soak.json",)),
    "stop_when_bins": Block(stop_when.table_of_bins, ("stop_when.json",)),
    "stop_when_reading": Block(stop_when.reading, ("stop_when.json",)),
    "stop_when_rules": Block(stop_when.table_of_rules, ("stop_when.json",)),
    "stop_when_setting": Block(stop_when.setting, ("stop_when.json",)),
    "storage_costs": Block(storage.costs, ("storage.json",)),
    "thousand": Block(thousand.facts, ("thousand.json",)),
    "transfer_reading": Block(transfer.reading, ("transfer.json",)),
    "transfer_regrets": Block(transfer.table_of_regrets, ("transfer.json",)),
    "transfer_setting": Block(transfer.setting, ("transfer.json",)),
    **{f"study_{name}": Block(partial(study.section, name), code=_STUDY) for name in study.SECTIONS},
}
