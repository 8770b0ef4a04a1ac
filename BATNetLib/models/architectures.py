"""Which tensors each network is made of, written down without torch.

``state_shapes`` gives the state-dict keys and shapes of a network at a given width, in the order in which
the networks register them. With it a file of weights is recognised, checked and converted on a machine
that has no torch, and a stranger's file is judged by its table of contents before a number of it is read.
The tests hold these tables against the networks themselves and against the published keys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .printable import printable

Shape = tuple[int, ...]

#: Width of the published networks.
PUBLISHED_WIDTH = 64
#: Widths that a file may claim; a file outside is not one of these networks.
WIDEST = 256

_BATCHES_SEEN = "num_batches_tracked"


@dataclass(frozen=True)
class Architecture:
    """A network that this library can run: its stage, its name, and where its width can be read."""

    name: str
    stage: str
    title: str
    width_key: str
    width_factor: int


MAMUNET = Architecture("MAMUNet", "adipose", "MG-ATSeg, mirror-attention U-Net", "conv1.conv.0.weight", 1)
CEBATCLS = Architecture(
    "CEBATCls",
    "brown",
    "CE-BATCls, contralateral 3D ResNet with transformer",
    "patch_model.shared_backbone.conv1.weight",
    # Heads of the transformer share 4 * width features and there are 8 of them, so width is even.
    2,
)
ARCHITECTURES: dict[str, Architecture] = {a.name: a for a in (MAMUNET, CEBATCLS)}
STAGES = ("adipose", "brown")


def architecture_of_stage(stage: str) -> Architecture:
    return next(a for a in ARCHITECTURES.values() if a.stage == stage)


def state_shapes(architecture: str, width: int = PUBLISHED_WIDTH) -> dict[str, Shape]:
    """Keys and shapes of the state dict of ``architecture`` ("MAMUNet" or "CEBATCls") at ``width``."""
    return {"MAMUNet": _mamunet, "CEBATCls": _cebatcls}[architecture](width)


def is_counter(key: str) -> bool:
    """True for the count of training batches that batch normalisation keeps; it plays no part in a result."""
    return key.rsplit(".", 1)[-1] == _BATCHES_SEEN


def recognise(shapes: Mapping[str, Shape]) -> tuple[Architecture, int] | None:
    """The architecture and width that a state dict seems to be of, or None.

    Only the key that carries the width decides; whether all the rest fits is for ``differences`` to say,
    so that a file with one tensor missing is told so instead of being called unknown.
    """
    for architecture in ARCHITECTURES.values():
        shape = shapes.get(architecture.width_key)
        if shape and 0 < shape[0] <= WIDEST and shape[0] % architecture.width_factor == 0:
            return architecture, shape[0]
    return None


@dataclass(frozen=True)
class Differences:
    """What separates a state dict from the one wanted; each list names keys."""

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    wrong_shape: tuple[tuple[str, Shape, Shape], ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.wrong_shape)

    def in_words(self, shown: int = 3) -> str:
        """One sentence naming the first few tensors of each kind of difference."""
        parts = []
        if self.missing:
            parts.append(f"{len(self.missing)} tensors are missing ({_few(self.missing, shown)})")
        if self.extra:
            parts.append(f"{len(self.extra)} tensors do not belong to it ({_few(self.extra, shown)})")
        if self.wrong_shape:
            named = [
                f"{key} is {list(found)} instead of {list(wanted)}" for key, found, wanted in self.wrong_shape
            ]
            parts.append(f"{len(self.wrong_shape)} tensors have another shape ({_few(named, shown)})")
        return "; ".join(parts)


def differences(shapes: Mapping[str, Shape], architecture: str, width: int) -> Differences:
    """Compare the shapes found with those that ``architecture`` has at ``width``."""
    wanted = state_shapes(architecture, width)
    return Differences(
        missing=tuple(key for key in wanted if key not in shapes),
        extra=tuple(key for key in shapes if key not in wanted),
        wrong_shape=tuple(
            (key, tuple(shapes[key]), shape)
            for key, shape in wanted.items()
            if key in shapes and tuple(shapes[key]) != shape
        ),
    )


def _few(names: tuple[str, ...] | list[str], shown: int) -> str:
    # A stranger's key may be anything; printable and short is all that reaches a message.
    clean = [printable(name, 80) for name in names[:shown]]
    return ", ".join(clean) + (", ..." if len(names) > shown else "")


# --- layers


def _weight_bias(name: str, weight: Shape, bias: int) -> dict[str, Shape]:
    return {f"{name}.weight": weight, f"{name}.bias": (bias,)}


def _norm(name: str, channels: int) -> dict[str, Shape]:
    return {
        **_weight_bias(name, (channels,), channels),
        f"{name}.running_mean": (channels,),
        f"{name}.running_var": (channels,),
        f"{name}.{_BATCHES_SEEN}": (),
    }


def _conv(name: str, out: int, into: int, *kernel: int) -> dict[str, Shape]:
    return _weight_bias(name, (out, into, *kernel), out)


# --- networks


def _mamunet(width: int) -> dict[str, Shape]:
    w1, w2, w3, w4, w5 = (width * factor for factor in (1, 2, 4, 8, 16))
    keys: dict[str, Shape] = {}

    def double(name: str, into: int, out: int) -> None:
        keys.update(_conv(f"{name}.conv.0", out, into, 3, 3) | _norm(f"{name}.conv.1", out))
        keys.update(_conv(f"{name}.conv.3", out, out, 3, 3) | _norm(f"{name}.conv.4", out))

    def mirror(name: str, channels: int) -> None:
        keys.update(_conv(f"{name}.conv", channels, channels, 1, 1))

    def up(name: str, into: int, out: int) -> None:
        # A transposed convolution keeps its input channels first.
        keys.update(_weight_bias(name, (into, out, 2, 2), out))

    double("conv1", 5, w1)
    double("conv2", w1, w2)
    double("conv3", w2, w3)
    mirror("mam3", w3)
    double("conv4", w3, w4)
    mirror("mam4", w4)
    double("conv5", w4, w5)
    up("up6", w5, w4)
    double("conv6", w5, w4)
    mirror("mam6", w4)
    up("up7", w4, w3)
    double("conv7", w4, w3)
    mirror("mam7", w3)
    up("up8", w3, w2)
    double("conv8", w3, w2)
    up("up9", w2, w1)
    double("conv9", w2, w1)
    keys.update(_conv("conv10", 2, w1, 1, 1))
    return keys


def _cebatcls(width: int) -> dict[str, Shape]:
    features = 4 * width
    keys: dict[str, Shape] = {}
    backbone = "patch_model.shared_backbone"
    keys.update(_conv(f"{backbone}.conv1", width, 2, 7, 7, 7) | _norm(f"{backbone}.bn1", width))
    for stage, (into, out) in enumerate(
        [(width, width), (width, 2 * width), (2 * width, 4 * width)], start=1
    ):
        name = f"{backbone}.stage{stage}"
        keys.update(_conv(f"{name}.conv1", out, into, 3, 3, 3) | _norm(f"{name}.bn1", out))
        keys.update(_conv(f"{name}.conv2", out, out, 3, 3, 3) | _norm(f"{name}.bn2", out))
        if into != out:
            keys.update(_conv(f"{name}.shortcut.0", out, into, 1, 1, 1) | _norm(f"{name}.shortcut.1", out))
    for number, channels in ((1, 2 * width), (2, 4 * width)):
        keys[f"{backbone}.cim{number}.eca.conv.weight"] = (1, 1, _gate_kernel(channels))
        keys.update(_conv(f"{backbone}.cim{number}.kv_proj", channels, 2 * channels, 1, 1, 1))
    keys.update(_conv("patch_model.classifier_head.0", 2 * width, features))
    keys.update(_conv("patch_model.classifier_head.3", 2, 2 * width))
    keys["case_model.cls_token"] = (1, 1, features)
    keys["case_model.pos_embed"] = (1, 33, features)
    keys.update(_conv("case_model.patch_proj", features, features))
    for layer in (0, 1):
        name = f"case_model.transformer.layers.{layer}"
        keys[f"{name}.self_attn.in_proj_weight"] = (3 * features, features)
        keys[f"{name}.self_attn.in_proj_bias"] = (3 * features,)
        keys.update(_conv(f"{name}.self_attn.out_proj", features, features))
        keys.update(_conv(f"{name}.linear1", 16 * width, features))
        keys.update(_conv(f"{name}.linear2", features, 16 * width))
        keys.update(_weight_bias(f"{name}.norm1", (features,), features))
        keys.update(_weight_bias(f"{name}.norm2", (features,), features))
    keys.update(_weight_bias("case_model.classifier.0", (features,), features))
    keys.update(_conv("case_model.classifier.1", 2 * width, features))
    keys.update(_conv("case_model.classifier.4", 2, 2 * width))
    return keys


def _gate_kernel(channels: int) -> int:
    """Kernel of the efficient channel attention: odd, growing with the logarithm of the channels."""
    size = int(abs((math.log2(channels) + 1) / 2))
    return size if size % 2 else size + 1
