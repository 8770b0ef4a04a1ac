"""Weights come in from every form in which they are published or saved, and only whole."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from modelfiles import (
    WIDTH,
    arrays_of,
    as_tensors,
    narrow_registry,
    torch_pickle,
    write_checkpoint,
    write_locked_zip,
    write_model,
    write_torch_zip,
)

from BATNetLib.errors import InputRefused, UsageError
from BATNetLib.models import describe_model, import_file, read_weights
from BATNetLib.models.store import stored_models
from BATNetLib.models.weights import file_sha256, read_safetensors

ROOT = Path(__file__).resolve().parents[3]


def stored_arrays(path: Path) -> dict[str, np.ndarray]:
    return read_safetensors(path.read_bytes())


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> bool:
    return found.keys() == wanted.keys() and all(np.array_equal(found[k], wanted[k]) for k in wanted)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module."])
@pytest.mark.parametrize("architecture", ["MAMUNet", "CEBATCls"])
def test_a_state_dict_is_stored_number_for_number(tmp_path: Path, architecture: str, prefix: str) -> None:
    path = write_checkpoint(tmp_path / "Best Model.pth", architecture, prefix=prefix)
    (model,) = import_file(path)
    assert model.entry.name == "best-model"
    assert (model.entry.architecture, model.entry.width) == (architecture, WIDTH)
    assert same(stored_arrays(model.path), arrays_of(architecture))
    assert model.entry.sha256 == file_sha256(model.path)
    assert model.path.name == f"best-model-{model.entry.sha256[:8]}.safetensors"
    assert file_sha256(path) in model.entry.source.text
    assert [m.entry for m in stored_models()] == [model.entry]


class Saved:
    """The ways people save a network, with torch."""

    @staticmethod
    def state(torch, network, path):
        torch.save(network.state_dict(), path)

    @staticmethod
    def module(torch, network, path):
        torch.save(network, path)

    @staticmethod
    def parallel(torch, network, path):
        torch.save(torch.nn.DataParallel(network), path)

    @staticmethod
    def parallel_state(torch, network, path):
        torch.save(torch.nn.DataParallel(network).state_dict(), path)

    @staticmethod
    def checkpoint(torch, network, path):
        # As the state dict of AdamW; making one imports all of torch's compiler.
        of_weights = [
            {"step": p.new_tensor(1.0), "exp_avg": p.detach().clone(), "exp_avg_sq": p.detach() ** 2}
            for p in network.parameters()
        ]
        group = {"lr": 1e-3, "betas": (0.9, 0.999), "foreach": None, "params": list(range(len(of_weights)))}
        optimizer = {"state": dict(enumerate(of_weights)), "param_groups": [group]}
        torch.save({"epoch": 3, "best": np.float64(0.9), "optimizer": optimizer, "model": network}, path)

    @staticmethod
    def checkpoint_of_states(torch, network, path):
        torch.save({"args": {"lr": 1e-4}, "state_dict": network.state_dict()}, path)


@pytest.mark.parametrize(
    ("way", "protocol"),
    [(name, 2) for name in vars(Saved) if not name.startswith("_")] + [("state", 4), ("checkpoint", 4)],
)
@pytest.mark.parametrize("new_format", [True, False])
def test_every_way_of_saving_with_torch_gives_the_same_weights(
    tmp_path: Path, way: str, new_format: bool, protocol: int
) -> None:
    torch = pytest.importorskip("torch")
    from BATNetLib.models.loading import build_network

    torch.manual_seed(0)
    network = build_network("CEBATCls", WIDTH)
    path = tmp_path / "w.pth"
    original = torch.save

    class Torch:
        nn, optim = torch.nn, torch.optim

        @staticmethod
        def save(value, target):
            original(value, target, pickle_protocol=protocol, _use_new_zipfile_serialization=new_format)

    getattr(Saved, way)(Torch, network, path)
    weights = read_weights(path)
    wanted = {key: value.numpy() for key, value in network.state_dict().items()}
    assert same(weights.arrays, wanted)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("new_format", [True, False])
def test_other_kinds_of_float_become_float32(tmp_path: Path, kind: str, new_format: bool) -> None:
    torch = pytest.importorskip("torch")
    state = {
        key: torch.from_numpy(value).to(getattr(torch, kind))
        if value.dtype == np.float32
        else torch.tensor(7)
        for key, value in arrays_of("MAMUNet").items()
    }
    torch.save(state, tmp_path / "w.pt", _use_new_zipfile_serialization=new_format)
    weights = read_weights(tmp_path / "w.pt")
    assert same(
        weights.arrays, {key: (v.float() if v.is_floating_point() else v).numpy() for key, v in state.items()}
    )
    assert {v.dtype.name for v in weights.arrays.values()} == {"float32", "int64"}


def test_a_safetensors_file_of_bfloat16_becomes_float32(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    state = {
        key: torch.from_numpy(value).bfloat16() for key, value in arrays_of("MAMUNet").items() if value.ndim
    }
    counters = {key: torch.tensor(7) for key, value in arrays_of("MAMUNet").items() if not value.ndim}
    save_file({**state, **counters}, tmp_path / "w.safetensors")
    weights = read_weights(tmp_path / "w.safetensors")
    assert np.array_equal(weights.arrays["conv1.conv.0.weight"], state["conv1.conv.0.weight"].float().numpy())


def test_views_transposed_and_shared_tensors_are_read_as_they_are_seen(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state = {key: torch.from_numpy(value) for key, value in arrays_of("CEBATCls").items()}
    key = "case_model.patch_proj.weight"
    state[key] = state[key].t().contiguous().t()
    bank = torch.randn(100)
    state["case_model.patch_proj.bias"] = bank[3:11]
    state["case_model.classifier.0.bias"] = bank[40:56:2]
    assert not state[key].is_contiguous()
    torch.save(state, tmp_path / "w.pth")
    weights = read_weights(tmp_path / "w.pth")
    assert same(weights.arrays, {key: value.numpy() for key, value in state.items()})


def test_counters_that_old_torch_did_not_write_are_filled_in_and_noted(tmp_path: Path) -> None:
    arrays = {k: v for k, v in arrays_of("MAMUNet").items() if not k.endswith("num_batches_tracked")}
    tensors, data = as_tensors(arrays)
    (model,) = import_file(write_torch_zip(tmp_path / "old.pth", torch_pickle(tensors), data))
    found = stored_arrays(model.path)
    assert found["conv1.conv.1.num_batches_tracked"] == 0
    assert same({k: found[k] for k in arrays}, arrays)
    assert "18 counters of batches were absent" in model.entry.notes


def test_importing_needs_no_torch(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "w.pth", "MAMUNet")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path; from BATNetLib.models import import_file\n"
        f"(m,) = import_file(Path({str(tmp_path / 'w.pth')!r})); print(m.entry.architecture)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "MAMUNet"), done.stderr


def test_importing_twice_changes_nothing_and_other_weights_need_a_word(tmp_path: Path) -> None:
    first = import_file(write_checkpoint(tmp_path / "a.pth", "MAMUNet"), name="mine")[0]
    again = import_file(tmp_path / "a.pth", name="mine")[0]
    assert again == first
    other = write_checkpoint(tmp_path / "b.pth", "MAMUNet", seed=1)
    with pytest.raises(UsageError) as refused:
        import_file(other, name="mine")
    assert refused.value.code == "model-name-taken"
    assert [m.path for m in stored_models()] == [first.path]
    new = import_file(other, name="mine", replace_existing=True)[0]
    assert [m.path for m in stored_models()] == [new.path]
    assert not first.path.exists()


@pytest.mark.parametrize("name", ["demo", "demo-brown", "batnet", "Mine", "../up", "a/b", "", "a" * 65])
def test_a_name_that_is_not_the_users_to_give_is_refused(tmp_path: Path, name: str) -> None:
    path = write_checkpoint(tmp_path / "a.pth", "MAMUNet")
    with pytest.raises(UsageError):
        import_file(path, name=name or "-")
    assert stored_models() == []


def test_what_a_killed_run_left_is_swept_away_after_a_day(tmp_path: Path, own_home: Path) -> None:
    for name, age in (("old", 90_000), ("young", 60)):
        place = own_home / "models" / f".work-{name}"
        place.mkdir(parents=True)
        (place / "half.pth").write_bytes(b"x")
        then = time.time() - age
        os.utime(place, (then, then))
    import_file(write_checkpoint(tmp_path / "a.pth", "MAMUNet"))
    assert [p.name for p in (own_home / "models").glob(".work-*")] == [".work-young"]


@pytest.mark.skipif(os.name != "posix", reason="rights of files are those of POSIX")
@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_stored_files_follow_the_users_umask(tmp_path: Path, mask: int) -> None:
    path = write_checkpoint(tmp_path / "a.pth", "MAMUNet")
    before = os.umask(mask)
    try:
        (model,) = import_file(path)
    finally:
        os.umask(before)
    for file in (model.path, model.path.with_name(model.path.name + ".json")):
        assert file.stat().st_mode & 0o777 == 0o666 & ~mask


def test_what_the_user_says_of_a_model_is_kept(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "a.pth", "CEBATCls")
    fields = {
        "title": "Our clinic",
        "licence": "CC-BY-4.0",
        "trained_on": "310 chest CT, 2024",
        "notes": None,
    }
    (model,) = import_file(path, name="clinic", fields=fields)
    assert (model.entry.title, model.entry.licence) == ("Our clinic", "CC-BY-4.0")
    assert stored_models()[0].entry.trained_on == "310 chest CT, 2024"


def test_a_described_model_keeps_its_description_when_imported(tmp_path: Path) -> None:
    path = write_model(tmp_path, "CEBATCls")
    point = {"threshold": 0.4, "cohort": "clinic A 2024", "sensitivity": 0.8, "specificity": 0.7, "n": 120}
    described = describe_model(
        path,
        {
            "name": "clinic-a",
            "title": "Clinic A",
            "licence": "MIT",
            "source": "trained here",
            "trained_on": "200 CT",
            "operating_points": [point],
        },
    )
    assert (described.stage, described.width, described.sha256) == ("brown", WIDTH, file_sha256(path))
    (model,) = import_file(path)
    assert model.entry.name == "clinic-a"
    assert model.entry.operating_points[0].cohort == "clinic A 2024"
    assert model.entry.sha256 == described.sha256


def test_a_description_without_a_needed_field_is_refused_by_name(tmp_path: Path) -> None:
    path = write_model(tmp_path, "CEBATCls")
    with pytest.raises(UsageError) as refused:
        describe_model(path, {"name": "x", "title": "X", "licence": "MIT", "source": "here"})
    assert "trained_on is missing" in refused.value.found
    assert not path.with_name(path.name + ".json").exists()


# --- refusals


def refused(path: Path, **options: object) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        import_file(path, **options)
    assert str(path.parent) not in str(caught.value)
    assert stored_models() == []
    return caught.value


def test_missing_tensors_are_named(tmp_path: Path) -> None:
    error = refused(write_model(tmp_path, "MAMUNet", **{"conv10.bias": None, "up6.weight": None}))
    assert error.code == "weights-differ"
    assert "2 tensors are missing (up6.weight, conv10.bias)" in error.found


def test_a_tensor_too_many_and_one_of_another_shape_are_named(tmp_path: Path) -> None:
    changes = {"conv11.bias": np.zeros(3, np.float32), "conv10.bias": np.zeros(3, np.float32)}
    error = refused(write_model(tmp_path, "MAMUNet", **changes))
    assert "conv11.bias" in error.found
    assert "conv10.bias is [3] instead of [2]" in error.found


@pytest.mark.parametrize(("value", "word"), [(np.nan, "not a number"), (np.inf, "infinite")])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path: Path, value: float, word: str) -> None:
    error = refused(write_model(tmp_path, "MAMUNet", **{"conv10.bias": np.array([1, value], np.float32)}))
    assert error.code == "weights-not-finite"
    assert "conv10.bias" in error.found
    assert word in error.found


def test_a_negative_variance_is_refused_by_name(tmp_path: Path) -> None:
    key = "conv1.conv.1.running_var"
    error = refused(write_model(tmp_path, "MAMUNet", **{key: np.array([1, -1], np.float32)}))
    assert key in error.found


def test_the_other_stage_is_refused(tmp_path: Path) -> None:
    error = refused(write_checkpoint(tmp_path / "a.pth", "MAMUNet"), stage="brown")
    assert error.code == "wrong-stage"
    assert "adipose" in error.found


def test_weights_of_a_strange_network_are_refused(tmp_path: Path) -> None:
    tensors, data = as_tensors({"conv1.weight": np.ones((64, 3, 7, 7), np.float32)})
    error = refused(write_torch_zip(tmp_path / "resnet.pth", torch_pickle(tensors), data))
    assert error.code == "not-this-network"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>Not found", "web page"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "no checkpoint"),
        (b"PK\x03\x04" + bytes(100), "not a whole zip"),
        (b"\x80\x02}q\x00.", "not one that torch.save wrote"),
        (b"\x10\0\0\0\0\0\0\0{broken", "safetensors"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_words(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    assert words in refused(path).found


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.pth").code == "file-missing"
    (tmp_path / "folder.pth").mkdir()
    assert refused(tmp_path / "folder.pth").code == "file-unreadable"


@pytest.mark.parametrize("new_format", [True, False])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, new_format: bool) -> None:
    torch = pytest.importorskip("torch")
    state = {key: torch.from_numpy(value) for key, value in arrays_of("MAMUNet").items()}
    path = tmp_path / "w.pth"
    torch.save(state, path, _use_new_zipfile_serialization=new_format)
    whole = path.read_bytes()
    for length in (len(whole) // 3, len(whole) - 100):
        path.write_bytes(whole[:length])
        assert refused(path).code in ("checkpoint-unreadable", "archive-broken")


def test_a_flipped_byte_in_a_checkpoint_is_found(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "w.pth", "MAMUNet")
    data = bytearray(path.read_bytes())
    place = bytes(data).find(arrays_of("MAMUNet")["up6.weight"].tobytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert "damaged" in refused(path).found


def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("w/data.pkl", torch_pickle({}))
        archive.writestr("w/constants.pkl", torch_pickle(()))
    assert "TorchScript" in refused(tmp_path / "w.pt").found


# --- the published archive, downloaded by hand


@pytest.mark.parametrize("cipher", ["old", "aes"])
def test_the_published_archive_is_imported_whole(tmp_path: Path, members, monkeypatch, cipher: str) -> None:
    narrow_registry(tmp_path, monkeypatch)
    path = write_locked_zip(tmp_path / "model_weights.zip", members, cipher=cipher)
    stored = import_file(path)
    assert [m.entry.name for m in stored] == ["batnet-adipose", "batnet-brown"]
    assert same(stored_arrays(stored[0].path), arrays_of("MAMUNet"))
    assert "17540420" in stored[1].entry.source.text
    assert "mg_atseg_model.pth" in stored[0].entry.source.text


@pytest.mark.parametrize("cipher", ["old", "aes"])
def test_a_wrong_password_is_refused_and_nothing_is_left(
    tmp_path: Path, members, monkeypatch, own_home, cipher: str
) -> None:
    narrow_registry(tmp_path, monkeypatch)
    path = write_locked_zip(tmp_path / "model_weights.zip", members, cipher=cipher)
    assert refused(path, password="guess").code in ("archive-password", "archive-broken")
    assert list((own_home / "models").iterdir()) == []


def test_an_archive_of_the_wrong_width_stores_neither_model(tmp_path: Path, members, own_home) -> None:
    path = write_locked_zip(tmp_path / "model_weights.zip", members)
    assert "width 64" in refused(path).wanted
    assert list((own_home / "models").iterdir()) == []


def test_a_name_for_an_archive_is_wrong_usage(tmp_path: Path) -> None:
    path = write_locked_zip(tmp_path / "model_weights.zip", {"a.pth": b"x"})
    with pytest.raises(UsageError):
        import_file(path, name="mine")


def test_a_folder_of_models_that_cannot_be_made_is_refused_in_words(tmp_path: Path, own_home) -> None:
    from BATNetLib.errors import OutputRefused

    own_home.write_text("a file where the folder should be")
    with pytest.raises(OutputRefused) as caught:
        import_file(write_checkpoint(tmp_path / "a.pth", "MAMUNet"))
    assert "BATNET_HOME" in caught.value.remedy
