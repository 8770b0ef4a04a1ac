"""Several processes that train one network: the same numbers as one process on the whole batch.

Gathering carries the gradient, so a loss that is no mean over items (Dice over the batch, weighted
cross-entropy) can be taken of the global batch. Batch normalisation uses the statistics of the global
batch: torch's own module on CUDA, ``GlobalBatchNorm`` elsewhere. With one process all of this does nothing.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather_items(shard: Tensor) -> Tensor:
    """The global batch from the shards [items, ...] of all processes, in its own order.

    Item i of rank r is item ``r + i * world`` of the global batch, as ``StageTraining.batches`` deals them.
    Shards are of one shape. The gradient flows back to the shard.
    """
    world = world_size()
    if world == 1:
        return shard
    together: Tensor = _Gather.apply(shard)  # [world, items, ...]
    return together.transpose(0, 1).reshape(-1, *shard.shape[1:])


class _Gather(torch.autograd.Function):
    """All shards stacked; the gradient is summed over processes, as each of them has a loss."""

    @staticmethod
    def forward(ctx: Any, shard: Tensor) -> Tensor:
        shards = [torch.empty_like(shard, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(shards, shard.contiguous())
        return torch.stack(shards)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        gradient = gradients[0].contiguous()
        dist.all_reduce(gradient)
        return gradient[dist.get_rank()]


class _Sum(torch.autograd.Function):
    """The sum over processes, with its gradient."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        gradient = gradients[0].clone()
        dist.all_reduce(gradient)
        return gradient


class GlobalBatchNorm(_BatchNorm):
    """Batch normalisation over the batches of all processes, for any device and number of dimensions.

    Same parameters, buffers and numbers as torch's modules on the global batch. torch has this for CUDA only.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2 dimensions, got {input.dim()}")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(input)
        x = input.to(torch.get_default_dtype())
        over = [d for d in range(x.dim()) if d != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        count = float(x.numel() // x.shape[1] * world_size())
        mean: Tensor = _Sum.apply(x.sum(over)) / count
        centred = x - mean.view(shape)
        variance: Tensor = _Sum.apply((centred * centred).sum(over)) / count
        self._remember(mean.detach(), variance.detach(), count)
        y = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, count: float) -> None:
        if not self.track_running_stats:
            return
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None and self.running_var is not None
        self.num_batches_tracked += 1
        share = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), share)


def with_global_norms(network: nn.Module, device: torch.device) -> nn.Module:
    """``network`` with batch normalisation over all processes; keys of its state dict stay the same."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return _exchanged(network)


def _exchanged(module: nn.Module) -> nn.Module:
    if isinstance(module, _BatchNorm):
        made = GlobalBatchNorm(
            module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats
        )
        made.load_state_dict(module.state_dict())
        made.train(module.training)
        return made
    for name, child in module.named_children():
        changed = _exchanged(child)
        if changed is not child:
            setattr(module, name, changed)
    return module
