"""Whether a teacher's and a student's tap can be compared, and the table of shapes that says why not."""

from __future__ import annotations

from trainables.config import TrialConfig
from trainables.errors import ModelError
from trainables.models.segmodel import SegModel

_MIN_CELLS = 2  # a 1x1 grid has no space to distil


def check_tap(config: TrialConfig, *, student: SegModel, teacher: SegModel) -> None:
    """Refuse a pair whose taps cannot be brought onto one grid.

    Channels may differ (each side has its own projector) and so may strides (Z_T is resampled to Z_S's grid), as long
    as each network has the tap and its grid on the training crop is at least 2 x 2.

    Raises:
        ModelError: with the table of both networks' taps.
    """
    tap = config.projector_tap
    for role, name, model in (("student", config.student, student), ("teacher", config.teacher, teacher)):
        if tap not in model.taps:
            raise ModelError(f"The {role} {name!r} has no tap {tap!r}.\n{table(config, student, teacher)}")
        side = min(config.padded_crop) // model.taps[tap].stride
        if side < _MIN_CELLS:
            raise ModelError(
                f"projector_tap {tap!r} of the {role} {name!r} has {side} cell(s) on a "
                f"{config.crop_height}x{config.crop_width} crop, but {_MIN_CELLS} are needed. Choose a finer tap or a "
                f"larger crop.\n{table(config, student, teacher)}"
            )


def table(config: TrialConfig, student: SegModel, teacher: SegModel) -> str:
    """One line per tap: channels and grid of the student and of the teacher on the training crop."""

    def cell(model: SegModel, tap: str) -> str:
        if tap not in model.taps:
            return "-"
        channels, stride = model.taps[tap]
        height, width = config.padded_crop
        return f"{channels} x {height // stride} x {width // stride}"

    rows = [("tap", f"student {config.student}", f"teacher {config.teacher}")]
    rows += [(tap, cell(student, tap), cell(teacher, tap)) for tap in sorted(student.taps | teacher.taps)]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows)
