"""MG-ATSeg: a 2D U-Net with mirror attention for adipose tissue.

Written after the published description; the state-dict keys are those of the published weights, so
these load strictly. Imports nothing of ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DoubleConv(nn.Module):
    """Two 3x3 convolutions, each with batch normalisation and ReLU; size is kept."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class MirrorAttention(nn.Module):
    """Weighs each place by what lies there and at its mirror image about the centre column.

    ``x * sigmoid(W x) * sigmoid(W flip(x))`` with one 1x1 convolution W. A 1x1 convolution commutes
    with the flip, so the second gate is the flipped first one and W is computed once.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.conv(x))
        return x * gate * gate.flip(-1)


class MAMUNet(nn.Module):
    """Mirror-attention U-Net.

    Input [B, ``in_channels``, rows, columns], HU windowed to [0, 1], rows and columns multiples of 16;
    output logits [B, ``classes``, rows, columns]. ``width`` is the number of channels of the first
    level (64 as published; demonstration models are narrower).
    """

    def __init__(self, in_channels: int = 5, classes: int = 2, width: int = 64) -> None:
        super().__init__()
        w1, w2, w3, w4, w5 = (width * factor for factor in (1, 2, 4, 8, 16))
        self.conv1 = DoubleConv(in_channels, w1)
        self.conv2 = DoubleConv(w1, w2)
        self.conv3 = DoubleConv(w2, w3)
        self.mam3 = MirrorAttention(w3)
        self.conv4 = DoubleConv(w3, w4)
        self.mam4 = MirrorAttention(w4)
        self.conv5 = DoubleConv(w4, w5)
        self.up6 = nn.ConvTranspose2d(w5, w4, 2, stride=2)
        self.conv6 = DoubleConv(w5, w4)
        self.mam6 = MirrorAttention(w4)
        self.up7 = nn.ConvTranspose2d(w4, w3, 2, stride=2)
        self.conv7 = DoubleConv(w4, w3)
        self.mam7 = MirrorAttention(w3)
        self.up8 = nn.ConvTranspose2d(w3, w2, 2, stride=2)
        self.conv8 = DoubleConv(w3, w2)
        self.up9 = nn.ConvTranspose2d(w2, w1, 2, stride=2)
        self.conv9 = DoubleConv(w2, w1)
        self.conv10 = nn.Conv2d(w1, classes, 1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        level1 = self.conv1(x)
        level2 = self.conv2(self.pool(level1))
        level3 = self.conv3(self.pool(level2))
        level4 = self.conv4(self.mam3(self.pool(level3)))
        level5 = self.conv5(self.mam4(self.pool(level4)))
        up = self.mam6(self.conv6(torch.cat([self.up6(level5), level4], dim=1)))
        up = self.mam7(self.conv7(torch.cat([self.up7(up), level3], dim=1)))
        up = self.conv8(torch.cat([self.up8(up), level2], dim=1))
        up = self.conv9(torch.cat([self.up9(up), level1], dim=1))
        return self.conv10(up)
