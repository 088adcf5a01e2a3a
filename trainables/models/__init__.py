"""Segmentation networks by name: `build("segformer:mit_b0", num_classes=7)`.

DECODERS names the heads offered, as segmentation-models-pytorch spells them; the encoder is any of its encoders, or any
of timm's with the prefix `tu-`.
"""

from trainables import torchvision_cure as torchvision_cure  # before anything that imports torchvision

DECODERS = ("deeplabv3", "deeplabv3plus", "fpn", "segformer", "unet", "upernet")
