"""How good and how fast: mIoU, evaluation, the step's meter."""
