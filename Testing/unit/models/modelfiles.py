"""Files of weights and archives for these tests, honest and hostile, made without torch."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import ClassVar

import numpy as np

from BATNetLib.models.architectures import is_counter, state_shapes
from BATNetLib.models.weights import write_safetensors

#: Small enough to be quick, wide enough that no two layers have the same shape by accident.
WIDTH = 2
MEMBERS = {"mg_atseg_model.pth": "MAMUNet", "ce_batcis_model.pth": "CEBATCls"}


def arrays_of(architecture: str, width: int = WIDTH, seed: int = 0) -> dict[str, np.ndarray]:
    """A state dict with numbers that differ everywhere."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for key, shape in state_shapes(architecture, width).items():
        values = rng.standard_normal(shape, dtype=np.float32)
        arrays[key] = np.array(7, np.int64) if is_counter(key) else np.abs(values) + 0.01
    return arrays


class _Storage:
    def __init__(self, kind: str, key: str, numel: int) -> None:
        self.identity = (kind, key, numel)


class _Tensor:
    """Pickles as torch pickles a tensor."""

    def __init__(self, storage: _Storage, offset: int, shape: tuple, strides: tuple) -> None:
        self.arguments = (storage, offset, shape, strides, False, {})


def _global(module: str, name: str) -> type:
    """A class that the pickler writes as the global ``module.name`` without it being importable here."""
    return type(name, (), {"__module__": module, "__qualname__": name})


_KINDS = {
    "float32": "FloatStorage",
    "int64": "LongStorage",
    "float16": "HalfStorage",
    "float64": "DoubleStorage",
}


class TorchPickler(pickle._Pickler):  # the Python one: its methods can be replaced
    """Writes what torch.save writes into data.pkl."""

    def persistent_id(self, value: object) -> object:
        if isinstance(value, _Storage):
            kind, key, numel = value.identity
            return ("storage", _global("torch", kind), key, "cpu", numel)
        return None

    def reducer_override(self, value: object) -> object:
        if isinstance(value, _Tensor):
            return _global("torch._utils", "_rebuild_tensor_v2"), value.arguments
        return NotImplemented

    def save_global(self, value: object, name: str | None = None) -> None:
        if isinstance(value, type) and value.__module__.split(".")[0] in ("torch", "model", "os", "posix"):
            self.write(b"c" + f"{value.__module__}\n{value.__name__}\n".encode())
            return
        super().save_global(value, name)

    def save_type(self, value: type) -> None:
        self.save_global(value)

    dispatch: ClassVar = {**pickle._Pickler.dispatch, type: save_type}


def torch_pickle(root: object) -> bytes:
    out = io.BytesIO()
    TorchPickler(out, protocol=2).dump(root)
    return out.getvalue()


def as_tensors(arrays: dict[str, np.ndarray]) -> tuple[dict[str, _Tensor], dict[str, bytes]]:
    """Arrays as torch's pickle names them, and their bytes by storage key."""
    tensors, data = {}, {}
    for number, (key, values) in enumerate(arrays.items()):
        storage = _Storage(_KINDS[values.dtype.name], str(number), values.size)
        strides = tuple(s // values.itemsize for s in values.strides)
        tensors[key] = _Tensor(storage, 0, values.shape, strides)
        data[str(number)] = values.tobytes()
    return tensors, data


def write_torch_zip(
    path: Path, pickled: bytes, data: dict[str, bytes], compression: int = zipfile.ZIP_STORED
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, content in data.items():
            archive.writestr(f"archive/data/{key}", content)
        archive.writestr("archive/version", "3\n")
    return path


def write_checkpoint(
    path: Path, architecture: str, width: int = WIDTH, prefix: str = "", seed: int = 0
) -> Path:
    """A state dict as torch.save writes it."""
    arrays = arrays_of(architecture, width, seed)
    tensors, data = as_tensors({f"{prefix}{key}": value for key, value in arrays.items()})
    return write_torch_zip(path, torch_pickle(tensors), data)


def write_model(folder: Path, architecture: str, name: str = "some-model", **changes: object) -> Path:
    """A .safetensors file without a description; ``changes`` replaces tensors by key, None removes one."""
    arrays = arrays_of(architecture)
    for key, value in changes.items():
        if value is None:
            del arrays[key]
        else:
            arrays[key] = value  # type: ignore[assignment]
    path = folder / f"{name}.safetensors"
    write_safetensors(path, arrays)
    return path


# --- archives with a password


def encrypt_old(password: bytes, data: bytes, check: int) -> bytes:
    """The older cipher of zip archives (PKWARE's APPNOTE, section 6.1)."""
    crc = [_crc_of_byte(n) for n in range(256)]
    keys = [0x12345678, 0x23456789, 0x34567890]

    def update(byte: int) -> None:
        keys[0] = crc[(keys[0] ^ byte) & 0xFF] ^ (keys[0] >> 8)
        keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = crc[(keys[2] ^ (keys[1] >> 24)) & 0xFF] ^ (keys[2] >> 8)

    for byte in password:
        update(byte)
    out = bytearray()
    for byte in bytes(11) + bytes([check]) + data:
        mask = keys[2] | 2
        out.append(byte ^ (((mask * (mask ^ 1)) >> 8) & 0xFF))
        update(byte)
    return bytes(out)


def _crc_of_byte(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
    return value


def write_locked_zip(
    path: Path, members: dict[str, bytes], password: bytes = b"batnet", cipher: str = "aes"
) -> Path:
    """A zip archive with deflated, encrypted members; ``cipher``: aes (quick) or old (slow)."""
    if cipher == "aes":
        return write_aes_zip(path, members, password)
    local, directory = b"", b""
    for name, data in members.items():
        squeeze = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed = squeeze.compress(data) + squeeze.flush()
        crc = zlib.crc32(data)
        body = encrypt_old(password, packed, crc >> 24)
        encoded = name.encode()
        common = struct.pack("<HHHHHIIIHH", 20, 1, 8, 0, 0x21, crc, len(body), len(data), len(encoded), 0)
        directory += b"PK\1\2" + struct.pack("<H", 20) + common
        directory += struct.pack("<HHHII", 0, 0, 0, 0, len(local)) + encoded
        local += b"PK\3\4" + common + encoded + body
    end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(local), 0)
    path.write_bytes(local + directory + b"PK\5\6" + end)
    return path


def write_aes_zip(
    path: Path,
    members: dict[str, bytes],
    password: bytes = b"batnet",
    bits: int = 256,
    compression: int = zipfile.ZIP_DEFLATED,
) -> Path:
    import pyzipper

    with pyzipper.AESZipFile(path, "w", compression=compression) as archive:
        archive.setpassword(password)
        archive.setencryption(pyzipper.WZ_AES, nbits=bits)
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def published_members(folder: Path, width: int = 64) -> dict[str, bytes]:
    """The two checkpoints of the published archive, in a folder as there."""
    members = {}
    for file, architecture in MEMBERS.items():
        path = write_checkpoint(folder / file, architecture, width, prefix="module.")
        members[f"model_weights/{file}"] = path.read_bytes()
        path.unlink()
    return members


def narrow_registry(folder: Path, monkeypatch: object, width: int = WIDTH) -> Path:
    """The shipped registry with the published models at a width that tests can afford."""
    source = Path(__file__).resolve().parents[3] / "Resources" / "models" / "registry.json"
    content = json.loads(source.read_text(encoding="utf-8"))
    for model in content["models"]:
        model["width"] = width
    models = folder / "Resources" / "models"
    models.mkdir(parents=True)
    (models / "registry.json").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setenv("BATNET_RESOURCES", str(folder / "Resources"))  # type: ignore[attr-defined]
    return models
