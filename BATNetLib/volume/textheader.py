"""The text headers of NRRD and MetaImage, read before any library takes memory for the voxels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputRefused
from .nifti import refuse_damaged

_MAX_HEADER = 1 << 20

#: Bytes of a voxel by the names that NRRD and MetaImage use.
_BYTES = {
    "signed char": 1, "int8": 1, "int8_t": 1, "uchar": 1, "unsigned char": 1, "uint8": 1, "uint8_t": 1,
    "short": 2, "short int": 2, "signed short": 2, "signed short int": 2, "int16": 2, "int16_t": 2,
    "ushort": 2, "unsigned short": 2, "unsigned short int": 2, "uint16": 2, "uint16_t": 2,
    "int": 4, "signed int": 4, "int32": 4, "int32_t": 4,
    "uint": 4, "unsigned int": 4, "uint32": 4, "uint32_t": 4,
    "longlong": 8, "long long": 8, "long long int": 8, "signed long long": 8, "int64": 8, "int64_t": 8,
    "ulonglong": 8, "unsigned long long": 8, "unsigned long long int": 8, "uint64": 8, "uint64_t": 8,
    "float": 4, "double": 8,
    "met_char": 1, "met_uchar": 1, "met_short": 2, "met_ushort": 2, "met_int": 4, "met_uint": 4,
    "met_long": 4, "met_ulong": 4, "met_long_long": 8, "met_ulong_long": 8, "met_float": 4, "met_double": 8,
}  # fmt: skip


#: Spaces of NRRD that name the patient's directions.
_SPACES = {
    "left-posterior-superior", "lps", "right-anterior-superior", "ras", "left-anterior-superior", "las",
}  # fmt: skip


@dataclass(frozen=True)
class TextHeader:
    """What a text header says. ``spacing``: as written, None where it is missing; ``oriented``: whether
    the header tells how the axes lie in the patient; ``data_bytes``: bytes of voxels held by the file."""

    fields: dict[str, str]
    sizes: tuple[int, ...]
    voxel_bytes: int
    components: int
    spacing: tuple[float, ...] | None
    oriented: bool
    compressed: bool
    data_bytes: int | None


def read_nrrd(path: Path) -> TextHeader:
    """Header of an NRRD file (attached or .nhdr); raises ``InputRefused`` when it is not one."""
    name = path.name
    with path.open("rb") as file:
        start = file.read(_MAX_HEADER)
    if not start.startswith(b"NRRD000"):
        raise refuse_damaged(name)
    ends = [start.find(mark) + len(mark) for mark in (b"\n\n", b"\r\n\r\n") if mark in start]
    head = start[: min(ends)] if ends else start
    fields: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").splitlines()[1:]:
        if line.startswith("#") or ":" not in line:
            continue
        mark = ":=" if ":=" in line and line.index(":=") == line.index(":") else ":"
        key, value = line.split(mark, 1)
        fields[key.strip() if mark == ":=" else key.strip().lower()] = value.strip()
    voxel_bytes = _voxel_bytes(fields.get("type", ""), name)
    sizes = _numbers(fields.get("sizes", ""), name, int)
    vectors = _vectors(fields.get("space directions", ""), name)
    kinds = fields.get("kinds", "").split()
    spatial = [i for i, vector in enumerate(vectors) if vector is not None]
    components = 1
    if vectors and len(spatial) < len(sizes):
        components = math.prod(n for i, n in enumerate(sizes) if i not in spatial)
        sizes = tuple(n for i, n in enumerate(sizes) if i in spatial)
    elif kinds and any(
        k.lower() in {"rgb-color", "rgba-color", "vector", "list", "3-color", "4-color"} for k in kinds
    ):
        components = math.prod(
            n for n, k in zip(sizes, kinds, strict=False) if k.lower() not in {"domain", "space"}
        )
    spacing: tuple[float, ...] | None = None
    if vectors:
        spacing = tuple(float(np.linalg.norm(v)) for v in vectors if v is not None)
    elif "spacings" in fields:
        spacing = _numbers(fields["spacings"], name, float)
    detached = "data file" in fields or "datafile" in fields
    return TextHeader(
        fields=fields,
        sizes=sizes,
        voxel_bytes=voxel_bytes,
        components=components,
        spacing=spacing,
        oriented=bool(vectors) and fields.get("space", "").lower() in _SPACES,
        compressed=fields.get("encoding", "raw").lower() not in {"raw"},
        data_bytes=None if detached else path.stat().st_size - len(head),
    )


def read_metaimage(path: Path) -> TextHeader:
    """Header of a MetaImage (.mha, .mhd); raises ``InputRefused`` when it is not one."""
    name = path.name
    with path.open("rb") as file:
        start = file.read(_MAX_HEADER)
    fields: dict[str, str] = {}
    position = 0
    while position < len(start):
        end = start.find(b"\n", position)
        line = start[position : end if end >= 0 else len(start)].decode("utf-8", "replace")
        position = end + 1 if end >= 0 else len(start)
        if "=" not in line:
            break
        key, value = line.split("=", 1)
        fields[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            break
    if "ElementDataFile" not in fields or "DimSize" not in fields:
        raise refuse_damaged(name)
    data_file = fields["ElementDataFile"]
    data_bytes: int | None = None
    if data_file.upper() == "LOCAL":
        data_bytes = path.stat().st_size - position
    elif "%" not in data_file and not data_file.upper().startswith("LIST"):
        beside = path.parent / data_file
        if not beside.is_file():
            raise InputRefused(
                "missing",
                f"{name} names the voxel file {Path(data_file).name}, which is not there.",
                "Header and voxel file belong together.",
                "Copy both into one folder.",
            )
        data_bytes = beside.stat().st_size
    spacing_text = fields.get("ElementSpacing")
    return TextHeader(
        fields=fields,
        sizes=_numbers(fields["DimSize"], name, int),
        voxel_bytes=_voxel_bytes(fields.get("ElementType", ""), name),
        components=int(fields.get("ElementNumberOfChannels", "1") or 1),
        spacing=_numbers(spacing_text, name, float) if spacing_text else None,
        oriented=any(key in fields for key in ("TransformMatrix", "Rotation", "Orientation")),
        compressed=fields.get("CompressedData", "False").lower() == "true",
        data_bytes=data_bytes,
    )


def _voxel_bytes(text: str, name: str) -> int:
    found = _BYTES.get(text.lower().strip())
    if found is None:
        raise InputRefused(
            "voxel-type",
            f"{name} holds voxels of type {text[:40] or 'unknown'!r}.",
            "Integers or real numbers are needed.",
            "Export the scan with 16-bit integer voxels.",
        )
    return found


def _numbers(text: str, name: str, kind: type) -> tuple:
    try:
        return tuple(kind(part) for part in text.split())
    except ValueError as error:
        raise refuse_damaged(name) from error


def _vectors(text: str, name: str) -> list[tuple[float, ...] | None]:
    """NRRD vectors such as ``(1,0,0) none (0,1,0)``."""
    found: list[tuple[float, ...] | None] = []
    for part in text.replace(" ,", ",").replace(", ", ",").replace("( ", "(").replace(" )", ")").split():
        if part.lower() == "none":
            found.append(None)
            continue
        try:
            found.append(tuple(float(number) for number in part.strip("()").split(",")))
        except ValueError as error:
            raise refuse_damaged(name) from error
    return found
