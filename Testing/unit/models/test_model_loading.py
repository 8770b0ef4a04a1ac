"""A network is loaded only from weights that are whole, unchanged and of the stage asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from modelfiles import WIDTH, arrays_of, write_checkpoint, write_model

from BATNetLib.errors import NoModel, UsageError
from BATNetLib.events import Events
from BATNetLib.models import import_file, load_model
from BATNetLib.models.store import description_path

torch = pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[3]


def refusal(name: str | Path, stage: str = "adipose") -> NoModel:
    with pytest.raises(NoModel) as caught:
        load_model(name, stage)
    assert caught.value.exit_code == 5
    assert str(ROOT) not in str(caught.value)
    assert "/tmp" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(("architecture", "stage"), [("MAMUNet", "adipose"), ("CEBATCls", "brown")])
def test_a_stored_model_runs_with_the_very_numbers_that_were_imported(
    tmp_path: Path, architecture: str, stage: str
) -> None:
    import_file(write_checkpoint(tmp_path / "w.pth", architecture), name="mine")
    model = load_model("mine", stage)
    assert not model.network.training
    assert type(model.network).__name__ == architecture
    assert model.entry.width == WIDTH
    assert model.sha256 == model.entry.sha256
    for key, value in arrays_of(architecture).items():
        assert np.array_equal(model.network.state_dict()[key].numpy(), value), key
    assert all(p.device.type == "cpu" for p in model.network.parameters())
    inputs = {
        "adipose": [torch.zeros(1, 5, 16, 16)],
        "brown": [torch.zeros(1, 16, 2, 32, 32, 32)] * 2,
    }[stage]
    with torch.inference_mode():
        model.network(*inputs)


@pytest.mark.parametrize("stage", ["adipose", "brown"])
def test_the_demonstration_models_that_come_with_the_program_load(stage: str) -> None:
    model = load_model("demo", stage)
    assert model.entry.demonstration
    assert "demonstration model, trained on phantoms" in model.entry.title.lower()
    assert model.entry.stage == stage


def test_the_loaded_network_can_be_trained_on(tmp_path: Path) -> None:
    model = load_model(write_model(tmp_path, "MAMUNet"), "adipose")
    assert all(p.requires_grad for p in model.network.parameters())
    assert not any(b.requires_grad for b in model.network.buffers())


def test_the_passport_tells_the_model_without_its_password(tmp_path: Path) -> None:
    import_file(write_checkpoint(tmp_path / "w.pth", "MAMUNet"), name="mine")
    passport = load_model("mine", "adipose").passport()
    assert passport["name"] == "mine"
    assert len(passport["sha256"]) == 64
    assert "password" not in passport["source"]
    assert passport["calibrated"] is False


def test_a_file_without_a_description_loads_with_a_warning(tmp_path: Path) -> None:
    events = Events()
    model = load_model(write_model(tmp_path, "MAMUNet", name="found"), "adipose", events)
    assert (model.entry.name, model.entry.trained_on, model.entry.width) == ("found", "not stated", WIDTH)
    assert [w["code"] for w in events.warnings] == ["model-undescribed"]


def test_a_changed_file_is_refused_by_its_hash(tmp_path: Path) -> None:
    (model,) = import_file(write_checkpoint(tmp_path / "w.pth", "MAMUNet"), name="mine")
    data = bytearray(model.path.read_bytes())
    data[-1] ^= 1
    model.path.write_bytes(data)
    error = refusal("mine")
    assert error.code == "model-hash"
    assert "batnet models import" in error.remedy


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"conv10.bias": None}, "model-broken", "1 tensors are missing (conv10.bias)"),
        ({"extra.weight": np.zeros(2, np.float32)}, "model-broken", "extra.weight"),
        ({"conv10.bias": np.zeros(5, np.float32)}, "model-broken", "conv10.bias is [5] instead of [2]"),
        (
            {"conv10.bias": np.array([0, np.nan], np.float32)},
            "model-broken",
            "conv10.bias holds a value that is not a number",
        ),
        (
            {"conv10.bias": np.array([0, -np.inf], np.float32)},
            "model-broken",
            "conv10.bias holds a value that is infinite",
        ),
        ({"conv10.bias": np.array([0, 1], np.int64)}, "model-broken", "another type of number"),
        ({"conv1.conv.0.weight": None}, "not-this-network", "neither of the two networks"),
    ],
)
def test_a_model_with_a_missing_or_spoilt_tensor_is_refused_by_name(
    tmp_path: Path, changes: dict, code: str, words: str
) -> None:
    error = refusal(write_model(tmp_path, "MAMUNet", **changes))
    assert error.code == code
    assert words in error.found


def test_a_model_of_the_other_stage_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path, "MAMUNet")
    assert refusal(path, "brown").code == "model-wrong-stage"
    import_file(path, name="mine")
    error = refusal("mine", "brown")
    assert error.code == "model-wrong-stage"
    assert "segments adipose tissue" in error.found
    assert refusal("batnet-adipose", "brown").code == "model-wrong-stage"


def test_a_checkpoint_is_sent_to_import(tmp_path: Path) -> None:
    error = refusal(write_checkpoint(tmp_path / "best.pth", "MAMUNet"))
    assert error.code == "model-not-imported"
    assert "batnet models import best.pth" in error.remedy


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\xff" * 100])
def test_a_broken_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    assert refusal(path).code == "checkpoint-unreadable"


def test_a_broken_description_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path, "MAMUNet")
    description_path(path).write_text('{"name": "x"}')
    assert refusal(path).code == "registry-broken"


@pytest.mark.parametrize(
    "name", ["nothing", "no/such/folder/x.safetensors", "x.safetensors", "Weird Name", "a\nb", ""]
)
def test_a_name_that_is_nothing_is_refused(name: str) -> None:
    assert refusal(name).code in ("model-unknown", "model-missing")


def test_an_unknown_stage_is_wrong_usage() -> None:
    with pytest.raises(UsageError):
        load_model("demo", "lungs")


def test_without_torch_loading_says_so(tmp_path: Path) -> None:
    path = write_model(tmp_path, "MAMUNet")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from BATNetLib.models import load_model; from BATNetLib.errors import NoModel\n"
        f"try: load_model({str(path)!r}, 'adipose')\n"
        "except NoModel as error: print(error.code, error.exit_code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "torch-missing 5", done.stderr


def test_looking_through_the_models_imports_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from BATNetLib.models import catalogue, load_registry, load_model, resolve\n"
        "catalogue(); assert not {'torch', 'numpy', 'safetensors'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
