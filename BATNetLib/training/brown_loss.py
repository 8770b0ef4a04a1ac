"""The loss of stage 2: cross-entropy of the case and of its patches, weighed together.

As published: 0.7 for the case and 0.3 for the patches, classes weighed [1.5, 1.0] (without, with brown fat),
patches labelled -1 ignored. Corrected: a batch whose patches are all ignored counts 0 for them and not NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..brown.patches import IGNORED


@dataclass(frozen=True)
class BrownLoss:
    """``case``, ``patch``: shares of the two. ``class_weights``, ``patch_weights``: of negative, positive."""

    case: float = 0.7
    patch: float = 0.3
    class_weights: tuple[float, float] = (1.5, 1.0)
    patch_weights: tuple[float, float] = (1.5, 1.0)

    def weight_of_cases(self, labels: Sequence[int]) -> float:
        """Sum of the class weights of cases: what their weighted mean is divided by."""
        return float(sum(self.class_weights[int(label)] for label in labels))

    def weight_of_patches(self, labels: Sequence[int]) -> float:
        """Sum of the weights of the patches that count; 0 where all are ignored."""
        return float(sum(self.patch_weights[int(label)] for label in labels if label != IGNORED))

    def __call__(
        self,
        case_logits: Tensor,
        patch_logits: Tensor,
        labels: Tensor,
        patch_labels: Tensor,
        weight_of_cases: float,
        weight_of_patches: float,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted mean over cases and patches.

        ``case_logits`` [B, 2], ``patch_logits`` [B, 32, 2], ``labels`` [B] of 0 and 1, ``patch_labels``
        [B, 32] of -1, 0, 1. The weights are those of all that the mean is taken over; where processes share
        a batch each divides by the batch's own, so that the sum of their losses is that of one process.
        """
        device = case_logits.device
        of_classes = torch.tensor(self.class_weights, device=device)
        of_patches = torch.tensor(self.patch_weights, device=device)
        # In float32 whatever the precision of the network: the logarithm of a softmax needs it.
        case = cross_entropy(case_logits.float(), labels, of_classes, reduction="sum") / weight_of_cases
        patch = cross_entropy(
            patch_logits.float().flatten(0, 1),
            patch_labels.flatten(),
            of_patches,
            reduction="sum",
            ignore_index=IGNORED,
        )
        patch = patch / weight_of_patches if weight_of_patches else patch * 0.0
        parts = {"case": case.detach(), "patch": patch.detach()}
        return self.case * case + self.patch * patch, parts
