"""What a training does, as validated fields: presets in YAML, a file of the user, single overrides.

Every field has a type, a range or a list of choices; whatever does not fit is refused with the name of the
field, what was given and what is allowed. The resolved configuration is stored with the run. No torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from ..errors import OutputRefused, UsageError
from ..workfiles import whole_file
from .contract import Metric

STAGES = ("adipose", "brown")
PRESETS = ("published", "modern")
#: Figures of the validation that epochs can be compared by, and which way is better; the first is taken
#: where nothing is said.
METRICS: dict[str, dict[str, str]] = {
    "adipose": {"dice": "max", "validation_loss": "min"},
    "brown": {"auc": "max", "patch_auc": "max", "brier": "min", "validation_loss": "min"},
}
_PRESETS = Path(__file__).with_name("presets")


def _number(low: float | None = None, high: float | None = None, default: Any = dataclasses.MISSING) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


def _choice(*choices: str, default: Any = dataclasses.MISSING) -> Any:
    return field(default=default, metadata={"choices": choices})


@dataclass(frozen=True)
class Optimiser:
    """``name``: "adam" or "adamw"; ``rate``: learning rate at its highest."""

    name: str = _choice("adam", "adamw", default="adam")
    rate: float = _number(0, 10, default=0.01)
    betas: tuple[float, float] = _number(0, 0.999999, default=(0.9, 0.999))
    weight_decay: float = _number(0, 1, default=0.0)


@dataclass(frozen=True)
class Schedule:
    """How the learning rate changes. ``multistep``: times ``factor`` after each of ``milestones`` (epochs).
    ``cosine``: down to ``factor`` of it at the last epoch. Either rises from nearly 0 over ``warmup_epochs``.
    """

    name: str = _choice("constant", "multistep", "cosine", default="constant")
    milestones: tuple[int, ...] = _number(1, 1_000_000, default=())
    factor: float = _number(0, 1, default=0.1)
    warmup_epochs: float = _number(0, 1000, default=0.0)


@dataclass(frozen=True)
class AdiposeLoss:
    """Weights of cross-entropy on the logits and of Dice of fat. ``dice_over``: "batch" (one Dice over all
    items of a step; defined where some slices hold no fat) or "item"."""

    bce: float = _number(0, 100, default=0.3)
    dice: float = _number(0, 100, default=1.0)
    dice_over: str = _choice("batch", "item", default="batch")


@dataclass(frozen=True)
class BrownLoss:
    """Weights of the case's and of the patches' cross-entropy."""

    case: float = _number(0, 100, default=0.7)
    patch: float = _number(0, 100, default=0.3)


@dataclass(frozen=True)
class Augmentation:
    """Random changes of what is trained on; ``none`` leaves all as it is whatever the other fields say.

    ``flip``: probability of a mirrored patient (sides change places). ``affine``: probability of a rotation
    up to ``rotate_degrees``, a change of size up to the share ``scale`` and a shift up to the share
    ``shift`` of the image. ``noise_hu``, ``offset_hu``: largest standard deviation of noise and of one
    offset for all, in HU.
    """

    name: str = _choice("none", "modern", default="none")
    flip: float = _number(0, 1, default=0.5)
    affine: float = _number(0, 1, default=0.5)
    rotate_degrees: float = _number(0, 45, default=8.0)
    scale: float = _number(0, 0.5, default=0.1)
    shift: float = _number(0, 0.5, default=0.04)
    noise_hu: float = _number(0, 200, default=12.0)
    offset_hu: float = _number(0, 100, default=6.0)


@dataclass(frozen=True)
class Sampler:
    """``uniform``: every sample once an epoch. ``brown-volume``: half of a batch without brown fat, the rest
    by its amount; small groups are repeated, and every sample is seen at least once."""

    name: str = _choice("uniform", "brown-volume", default="uniform")


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after ``patience`` validations without a gain above ``min_delta`` (None: never); smaller gains are
    kept as the best all the same. ``metric``: what epochs are compared by (None: the first of the stage)."""

    metric: str | None = None
    patience: int | None = _number(1, 1_000_000, default=None)
    min_delta: float = _number(0, 1, default=0.0)


@dataclass(frozen=True)
class Config:
    """All of a training but the data. ``clip``: largest norm of the gradient (None: not clipped). ``amp``:
    "off", "bf16" or "fp16". ``class_weights``: of cases without and with brown fat, ``patch_weights``: of
    such patches. ``start``: what the first filters of stage 2 begin as, "random" or "fat" (they answer to the
    density of fat: for small cohorts). ``segmenter``: a model of stage 1 whose masks stage 2 is trained on in
    place of the true ones. ``keep``: also keep the weights of every so many epochs (0: best and last only).
    ``save_minutes``: the state for resuming is saved at the end of each epoch and after so many minutes.
    ``memory_gb``: images above this are kept in files beside the run in place of memory. ``tensorboard``:
    also write the curves for TensorBoard.
    """

    stage: str = _choice(*STAGES)
    preset: str = _choice(*PRESETS, default="published")
    loss: AdiposeLoss | BrownLoss = field(default_factory=AdiposeLoss)
    width: int = _number(2, 256, default=64)
    epochs: int = _number(1, 1_000_000, default=100)
    batch_size: int = _number(1, 4096, default=4)
    seed: int = _number(0, 2**31 - 1, default=0)
    optimiser: Optimiser = field(default_factory=Optimiser)
    schedule: Schedule = field(default_factory=Schedule)
    augmentation: Augmentation = field(default_factory=Augmentation)
    sampler: Sampler = field(default_factory=Sampler)
    class_weights: tuple[float, float] | None = _number(0, 1000, default=None)
    patch_weights: tuple[float, float] | None = _number(0, 1000, default=None)
    start: str = _choice("random", "fat", default="random")
    segmenter: str | None = None
    amp: str = _choice("off", "bf16", "fp16", default="off")
    clip: float | None = _number(1e-6, 1e6, default=None)
    deep_supervision: bool = False
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    validate_every: int = _number(1, 1_000_000, default=1)
    keep: int = _number(0, 1_000_000, default=0)
    save_minutes: float = _number(0, 100_000, default=10.0)
    memory_gb: float = _number(0, 10_000, default=4.0)
    tensorboard: bool = True
    device: str = "auto"
    devices: int = _number(1, 1024, default=1)
    nodes: int = _number(1, 1024, default=1)

    def metric(self) -> Metric:
        """What epochs are compared by."""
        known = METRICS[self.stage]
        name = self.early_stopping.metric or next(iter(known))
        return Metric(name, known[name])

    def as_dict(self) -> dict[str, Any]:
        """Plain values, nested as in YAML."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def digest(self) -> str:
        """SHA-256 (hex) of all fields."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()


def resolve(
    stage: str,
    preset: str | None = None,
    file: Path | None = None,
    overrides: Sequence[str] = (),
    **fields: Any,
) -> Config:
    """The configuration of a training: the preset, then the user's file, then ``key=value`` overrides, then
    ``fields`` that are not None (``epochs``, ``batch_size``, ... of the command line).

    Raises ``UsageError`` that names the field: unknown, of a wrong type, out of range.
    """
    given = {} if file is None else _read(file)
    chosen = preset or given.get("preset") or "published"
    if stage not in STAGES or chosen not in PRESETS:
        raise UsageError(
            "preset-unknown",
            f"The preset {chosen!r} of the stage {stage!r} was asked for.",
            f"Known are the presets {', '.join(PRESETS)} of the stages {', '.join(STAGES)}.",
            "Choose one of these.",
        )
    if given.get("stage", stage) != stage:
        raise refused("stage", given["stage"], f"the stage that is trained, {stage}")
    values = preset_values(chosen, stage)
    _merge(values, given)
    for text in overrides:
        _merge(values, _override(text))
    _merge(values, {key: value for key, value in fields.items() if value is not None})
    values["preset"] = chosen
    return make_config(values)


def make_config(values: Mapping[str, Any]) -> Config:
    """A configuration from nested plain values. Raises ``UsageError`` naming the field that is wrong."""
    stage = values.get("stage")
    if stage not in STAGES:
        raise refused("stage", stage, f"one of {', '.join(STAGES)}")
    made = _build(Config, values, "", AdiposeLoss if stage == "adipose" else BrownLoss)
    assert isinstance(made, Config)
    _require_sense(made)
    return made


def preset_values(preset: str, stage: str) -> dict[str, Any]:
    """The fields of a preset as plain values."""
    return _read(_PRESETS / f"{preset}-{stage}.yaml")


def read_config(path: Path) -> Config:
    """The configuration stored with a run. Raises ``UsageError``."""
    return make_config(_read(path))


def write_config(config: Config, path: Path) -> None:
    """Store a configuration as YAML, whole. Raises ``OutputRefused``."""
    with whole_file(path) as tmp:
        text = _yaml().safe_dump(config.as_dict(), sort_keys=False, default_flow_style=None)
        tmp.write_text(text, encoding="utf-8")


def fields_of(stage: str) -> dict[str, Any]:
    """Every field by its dotted name with the value of the published preset; for help and forms."""
    return _flat(make_config(preset_values("published", stage)).as_dict(), "")


def refused(name: str, found: Any, wanted: str) -> UsageError:
    shown = repr(found) if len(repr(found)) < 60 else repr(found)[:57] + "..."
    return UsageError(
        "config-field",
        f"The field '{name}' of the configuration is {shown}.",
        f"It is {wanted}.",
        "Correct it in the file, or say --set " + name + "=VALUE.",
    )


# --- reading


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise OutputRefused(
            "yaml-missing",
            "PyYAML is not installed.",
            "Configurations of a training are YAML files.",
            "Install what training needs: pip install 'batnet[train]'.",
        ) from error
    return yaml


def _read(path: Path) -> dict[str, Any]:
    yaml = _yaml()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(
            "source-missing",
            f"'{path.name}' does not exist.",
            "A configuration (YAML) is needed.",
            "Check the path.",
        ) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise UsageError(
            "config-unreadable",
            f"'{path.name}' is no YAML file that can be read{where}.",
            "Lines of 'field: value' are expected.",
            "Compare it with config.yaml of a run.",
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UsageError(
            "config-unreadable",
            f"'{path.name}' holds no fields.",
            "Lines of 'field: value' are expected.",
            "Compare it with config.yaml of a run.",
        )
    return content


def _override(text: str) -> dict[str, Any]:
    """``a.b=c`` as nested values; the value is read as YAML, so 1e-3, [1, 2], null and true work."""
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise UsageError(
            "override-unreadable",
            f"'{text[:60]}' was given with --set.",
            "A field and its value are expected, such as optimiser.rate=0.001.",
            "Write --set field=value without spaces.",
        )
    yaml = _yaml()
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise refused(name.strip(), value, "a plain value, such as 0.001, true, null or [10, 20]") from error
    for part in reversed(name.strip().split(".")):
        parsed = {part: parsed}
    return parsed


def _merge(values: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = dict(value) if isinstance(value, Mapping) else value


def _flat(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


# --- checking


def _build(kind: type, values: Any, prefix: str, loss: type) -> Any:
    """The dataclass ``kind`` from plain values; ``prefix``: dotted name of the field it is."""
    if not isinstance(values, Mapping):
        raise refused(prefix.rstrip("."), values, "a group of fields")
    known = {f.name: f for f in dataclasses.fields(kind)}
    unknown = [str(key) for key in values if key not in known]
    if unknown:
        near = ", ".join(prefix + name for name in known)
        raise UsageError(
            "config-unknown",
            f"The configuration has the field '{prefix}{unknown[0]}', which is not known.",
            f"Known here are {near}.",
            "Correct its name or take it out.",
        )
    hints = get_type_hints(kind)
    made = {}
    for name, value in values.items():
        hint = loss if (kind, name) == (Config, "loss") else hints[name]
        if dataclasses.is_dataclass(hint):
            made[name] = _build(hint, value, f"{prefix}{name}.", loss)
        else:
            made[name] = _value(prefix + name, value, hint, known[name].metadata)
    if kind is Config:
        made.setdefault("loss", loss())
    return kind(**made)


def _value(name: str, value: Any, hint: Any, rules: Mapping[str, Any]) -> Any:
    """``value`` in the type that ``hint`` says, within the rules."""
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        hint = next(a for a in get_args(hint) if a is not type(None))
    if get_origin(hint) is tuple:
        return _several(name, value, hint, rules)
    if hint is bool:
        if not isinstance(value, bool):
            raise refused(name, value, "true or false")
        return value
    if hint is str:
        choices = rules.get("choices")
        if value is False and choices and "off" in choices:
            value = "off"  # YAML takes the bare word for false.
        if not isinstance(value, str) or (choices and value not in choices):
            raise refused(name, value, f"one of {', '.join(choices)}" if choices else "a text")
        return value
    return _one_number(name, value, hint, rules)


def _several(name: str, value: Any, hint: Any, rules: Mapping[str, Any]) -> tuple[Any, ...]:
    kinds = get_args(hint)
    length = None if kinds[-1] is Ellipsis else len(kinds)
    if not isinstance(value, list | tuple) or (length is not None and len(value) != length):
        raise refused(name, value, "a list of numbers" if length is None else f"a list of {length} numbers")
    return tuple(_one_number(name, item, kinds[0], rules) for item in value)


def _one_number(name: str, value: Any, hint: Any, rules: Mapping[str, Any]) -> Any:
    low, high = rules.get("low"), rules.get("high")
    whole = hint is int
    wanted = "a whole number" if whole else "a number"
    if low is not None:
        wanted += f" from {low:g}" + (f" to {high:g}" if high is not None else " on")
    if isinstance(value, str):
        # YAML takes 1e-3 (without a point) for a text.
        try:
            value = float(value)
        except ValueError as error:
            raise refused(name, value, wanted) from error
    fits = isinstance(value, int | float) and not isinstance(value, bool) and value == value
    if not fits or (whole and value != int(value)):
        raise refused(name, value, wanted)
    if (low is not None and value < low) or (high is not None and value > high):
        raise refused(name, value, wanted)
    return int(value) if whole else float(value)


def _require_sense(config: Config) -> None:
    """What single fields cannot say."""
    if config.early_stopping.metric not in (None, *METRICS[config.stage]):
        known = ", ".join(METRICS[config.stage])
        raise refused("early_stopping.metric", config.early_stopping.metric, f"one of {known}")
    if config.optimiser.rate == 0:
        raise refused("optimiser.rate", 0, "above 0")
    if config.stage == "brown" and config.width % 2:
        raise refused("width", config.width, "an even number for this stage")
    for name in ("start", "segmenter"):
        if config.stage == "adipose" and getattr(config, name) not in ("random", None):
            raise refused(name, getattr(config, name), "a field of the stage brown")
    if config.segmenter is not None and Path(config.segmenter).name != config.segmenter:
        # The configuration is passed on with a run; folders of this computer are not.
        raise refused(
            "segmenter",
            Path(config.segmenter).name,
            "the name of a model in the list (batnet models import FILE)",
        )
    if config.deep_supervision and config.stage == "brown":
        raise refused("deep_supervision", True, "false for this stage, whose network has one level of output")
    if config.batch_size % (config.devices * config.nodes):
        processes = config.devices * config.nodes
        raise refused("batch_size", config.batch_size, f"a multiple of the {processes} devices that share it")
    weights = dataclasses.asdict(config.loss)
    if not any(value for value in weights.values() if not isinstance(value, str)):
        raise refused("loss", weights, "at least one weight above 0")
