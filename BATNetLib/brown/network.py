"""CE-BATCls: a 3D ResNet over mirrored patch pairs, with contralateral interaction and a transformer.

Written after the published description; the state-dict keys are those of the published weights, so
these load strictly. Imports nothing of ours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

#: Mirrored pairs of a case, and patches of a case (authors' order: 16 low-column, then 16 high-column).
PAIRS = 16
PATCHES = 2 * PAIRS


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions with batch normalisation around a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, out_channels, 3, stride=stride, padding=1)
        self.bn1 = nn.BatchNorm3d(out_channels)
        self.conv2 = nn.Conv3d(out_channels, out_channels, 3, padding=1)
        self.bn2 = nn.BatchNorm3d(out_channels)
        self.shortcut: nn.Module = nn.Sequential()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv3d(in_channels, out_channels, 1, stride=stride), nn.BatchNorm3d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return torch.relu(out + self.shortcut(x))


class ChannelAttention(nn.Module):
    """Efficient channel attention: a gate per channel from its neighbours' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        size = int(abs((math.log2(channels) + 1) / 2))
        size += 1 - size % 2
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(dim=(2, 3, 4)).unsqueeze(1)
        gate = torch.sigmoid(self.conv(means)).squeeze(1)
        return x * gate[:, :, None, None, None]


class ContralateralInteraction(nn.Module):
    """Lets each side attend to both: attention over channels, keys and values from both sides."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.eca = ChannelAttention(channels)
        self.kv_proj = nn.Conv3d(2 * channels, channels, 1)

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        mirrored = right.flip(-1)
        shared = self.kv_proj(torch.cat([left, mirrored], dim=1)).flatten(2)
        return self.eca(self._attend(left, shared)), self.eca(self._attend(mirrored, shared)).flip(-1)

    @staticmethod
    def _attend(side: Tensor, shared: Tensor) -> Tensor:
        query = side.flatten(2)
        weights = torch.softmax(query @ shared.transpose(1, 2) / math.sqrt(query.shape[-1]), dim=-1)
        return (weights @ shared + query).view_as(side)


class SharedBackbone(nn.Module):
    """3D ResNet applied to both sides with the same weights; input [N, 2, 32, 32, 32] for each side."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(2, width, 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm3d(width)
        self.pool = nn.MaxPool3d(3, stride=2, padding=1)
        self.stage1 = ResidualBlock(width, width)
        self.stage2 = ResidualBlock(width, 2 * width, stride=2)
        self.stage3 = ResidualBlock(2 * width, 4 * width, stride=2)
        self.cim1 = ContralateralInteraction(2 * width)
        self.cim2 = ContralateralInteraction(4 * width)

    def stem(self, x: Tensor) -> Tensor:
        return self.stage1(self.pool(torch.relu(self.bn1(self.conv1(x)))))

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        left, right = self.stem(left), self.stem(right)
        left, right = self.cim1(self.stage2(left), self.stage2(right))
        return self.cim2(self.stage3(left), self.stage3(right))


class PatchModel(nn.Module):
    """Features and logits of each patch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.shared_backbone = SharedBackbone(width)
        self.classifier_head = nn.Sequential(
            nn.Linear(4 * width, 2 * width), nn.ReLU(), nn.Dropout(0.3), nn.Linear(2 * width, 2)
        )

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 16, 2, 32, 32, 32] a side -> features [B, 32, 4 width], logits [B, 32, 2]."""
        cases = left.shape[0]
        maps = self.shared_backbone(left.flatten(0, 1), right.flatten(0, 1))
        sides = [side.mean(dim=(2, 3, 4)).view(cases, PAIRS, -1) for side in maps]
        features = torch.cat(sides, dim=1)
        return features, self.classifier_head(features)


class CaseModel(nn.Module):
    """Transformer over the 32 patch features, read at a class token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        features = 4 * width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, features))
        self.pos_embed = nn.Parameter(torch.zeros(1, PATCHES + 1, features))
        self.patch_proj = nn.Linear(features, features)
        layer = nn.TransformerEncoderLayer(features, 8, 16 * width, dropout=0.1, batch_first=True)
        # The fast path of nested tensors has other rounding; parity wants one way of computing.
        self.transformer = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.classifier = nn.Sequential(
            nn.LayerNorm(features),
            nn.Linear(features, 2 * width),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(2 * width, 2),
        )
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, features: Tensor) -> Tensor:
        tokens = self.patch_proj(features)
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        return self.classifier(self.transformer(tokens + self.pos_embed)[:, 0])


class CEBATCls(nn.Module):
    """Contralateral-enhanced classifier of brown adipose tissue.

    Input: two tensors [B, 16, 2, 32, 32, 32] (authors' left = low columns = the patient's right, then the
    other side), channel 0 CT in [-0.5, 0.5], channel 1 adipose mask. Output: case logits [B, 2] and patch
    logits [B, 32, 2] in the authors' order, 16 low-column patches before 16 high-column ones.
    ``width`` is the number of channels of the first level (64 as published), an even number.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.patch_model = PatchModel(width)
        self.case_model = CaseModel(width)

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        features, patch_logits = self.patch_model(left, right)
        return self.case_model(features), patch_logits
