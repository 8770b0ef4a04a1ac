"""Damage of any kind ends in a refusal in words or in the very weights, never in a defect."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from modelfiles import arrays_of, as_tensors, torch_pickle, write_checkpoint, write_locked_zip, write_model

from BATNetLib.errors import BATNetError, OutputRefused
from BATNetLib.models import archive, import_file, read_weights
from BATNetLib.models.checkpoints import state_dicts
from BATNetLib.models.pickles import PickleReader


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, lost or added; mostly near the ends, where the tables of contents are."""
    spoilt = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        near = min(len(spoilt), 4000)
        place = rng.choice(
            [rng.randrange(len(spoilt)), rng.randrange(near), len(spoilt) - 1 - rng.randrange(near)]
        )
        kind = rng.random()
        if kind < 0.6:
            spoilt[place] = rng.randrange(256)
        elif kind < 0.8:
            del spoilt[place : place + rng.randrange(1, 9)]
        else:
            spoilt[place:place] = rng.randbytes(rng.randrange(1, 9))
    return bytes(spoilt)


def outcomes(read, data: bytes, folder: Path, count: int) -> dict[str, int]:
    counted: dict[str, int] = {}
    for seed in range(count):
        spoilt = damaged(data, random.Random(seed))
        try:
            read(spoilt, folder / str(seed))
            code = "read"
        except BATNetError as error:
            assert str(folder) not in str(error)
            code = error.code
        counted[code] = counted.get(code, 0) + 1
    return counted


def read_file(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    read_weights(path)


def read_archive(data: bytes, path: Path) -> None:
    path.mkdir()
    (path / "a.zip").write_bytes(data)
    archive.unpack(path / "a.zip", ["mg.txt"], path, b"batnet")


def test_a_damaged_pickle_is_refused_or_read(tmp_path: Path) -> None:
    pickled = torch_pickle({"state_dict": as_tensors(arrays_of("MAMUNet"))[0], "epoch": 3})
    found = outcomes(lambda data, _path: state_dicts(PickleReader(data).read()), pickled, tmp_path, 120)
    assert found.keys() <= {"read", "checkpoint-unreadable", "checkpoint-runs-code", "checkpoint-too-large"}
    assert found["checkpoint-unreadable"] > 20


@pytest.mark.parametrize("kind", ["zip", "old", "safetensors"])
def test_a_damaged_file_of_weights_is_refused_or_read(tmp_path: Path, kind: str) -> None:
    if kind == "zip":
        path = write_checkpoint(tmp_path / "w.pth", "MAMUNet")
    elif kind == "safetensors":
        path = write_model(tmp_path, "MAMUNet")
    else:
        torch = pytest.importorskip("torch")
        path = tmp_path / "w.pth"
        state = {key: torch.from_numpy(value) for key, value in arrays_of("MAMUNet").items()}
        torch.save(state, path, _use_new_zipfile_serialization=False)
    found = outcomes(read_file, path.read_bytes(), tmp_path, 40)
    assert sum(found.values()) - found.get("read", 0) > 12


@pytest.mark.parametrize("cipher", ["old", "aes"])
def test_a_damaged_archive_is_refused_or_unpacked(tmp_path: Path, cipher: str) -> None:
    path = write_locked_zip(tmp_path / "a.zip", {"w/mg.txt": b"weights " * 50}, cipher=cipher)
    found = outcomes(read_archive, path.read_bytes(), tmp_path, 120)
    assert found["archive-broken"] > 50


def test_a_disk_that_fills_up_while_unpacking_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_locked_zip(tmp_path / "a.zip", {"mg.txt": b"weights"})
    ordinary = Path.open

    def full(self: Path, mode: str = "r", *more: object) -> object:
        if mode == "xb":
            raise OSError(28, "No space left on device")
        return ordinary(self, mode, *more)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OutputRefused) as caught:
        archive.unpack(path, ["mg.txt"], tmp_path, b"batnet")
    assert caught.value.code == "disk-full"


def test_a_disk_that_fills_up_while_storing_leaves_nothing(
    tmp_path: Path, monkeypatch, own_home: Path
) -> None:
    import os

    path = write_checkpoint(tmp_path / "w.pth", "MAMUNet")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputRefused) as caught:
        import_file(path)
    assert caught.value.code == "disk-full"
    assert list((own_home / "models").iterdir()) == []
