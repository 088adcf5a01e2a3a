"""How good and how fast: mIoU, evaluation, the step's meter."""

from trainables import torchvision_cure as torchvision_cure  # before torchmetrics, which imports torchvision
