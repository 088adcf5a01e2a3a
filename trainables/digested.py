"""Which fields of a trial make it another trial, and which trials may train side by side."""

from __future__ import annotations

SPEED = (
    *("num_workers", "channels_last", "compile", "fused_optimizer", "hakd_kernel", "fold_teacher"),
    *("augment_on", "image_cache", "processes"),
)
"""How a trial is computed, not what: results agree to within rounding, so digests leave these out.

But for two: in channels_last dropout draws in another order, and of several processes each draws by itself.
"""
IF_GIVEN = ("folds", "fold_by", "feature_share")
"""Fields that digests leave out where they are none: trials without them are those of releases that had none."""
STREAM = (
    *("data", "views", "seed", "steps", "batch_size", "crop_height", "crop_width", "scale_min", "scale_max"),
    *("flip_horizontal", "flip_vertical", "color_jitter", "on_corrupt", "eval_every", "eval_mode", "eval_stride"),
    *("device", "amp", "num_threads", "num_workers", "channels_last", "augment_on", "image_cache"),
)
"""What trials that train side by side share: crops, reports and device."""
GUIDE = (
    *("teacher", "teacher_recipe", "teacher_checkpoint", "teacher_classes", "teacher_synonyms", "teacher_cache"),
    *("fold_teacher", "compile"),
)
"""What they share of their teacher."""
