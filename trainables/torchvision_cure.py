"""Make `import torchvision` work where its compiled operators do not fit the installed torch.

A CPU build of torch beside torchvision's registry wheel cannot load the wheel's C++ operators, and the import dies
with "operator torchvision::nms does not exist" although nothing here needs an operator. Declaring the two names that
torchvision registers fake kernels for lets the import through; calling them would still fail, as it should.

Imported by the packages that use torchvision or what is built on it (`models`, `data`, `scoring`), before all else.
"""

from __future__ import annotations

import importlib
import sys

import torch

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []  # a Library undeclares its operators when it is collected


def cure() -> None:
    """Import torchvision, declaring its missing operators only if the plain import fails for want of them."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        if hasattr(torch.ops.torchvision, "nms"):  # its operators are there, so something else is wrong
            raise
        library = torch.library.Library("torchvision", "DEF")
        library.define(f"nms{_SIGNATURE}")
        library.define(f"qnms{_SIGNATURE}")
        _declared.append(library)
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        importlib.import_module("torchvision")


cure()
