"""Uncompressed NRRD files of cases that were read ahead: voxels in file order, nothing copied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from BATNetSlicer.geometry import LPS

_TYPES = {"uint8": "<u1", "int16": "<i2", "int32": "<i4", "float": "<f4"}


def read_raw(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels [k, j, i] and the affine (i, j, k) to RAS mm of a file that ``rawnrrd.write_raw`` wrote.

    Raises ``InputRefused`` ("prepared-damaged") for anything else.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096)
        end = head.index(b"\n\n") + 2
        fields = dict(line.split(": ", 1) for line in head[:end].decode("ascii").splitlines()[1:] if line)
        i, j, k = (int(number) for number in fields["sizes"].split())
        affine = np.eye(4)
        for axis, text in enumerate(fields["space directions"].split()):
            affine[:3, axis] = _numbers(text)
        affine[:3, 3] = _numbers(fields["space origin"])
        array = np.fromfile(path, _TYPES[fields["type"]], offset=end).reshape(k, j, i)
    except (OSError, ValueError, KeyError) as error:
        from BATNetLib.errors import InputRefused

        raise InputRefused(
            "prepared-damaged",
            f"{path.name}, which was read ahead, is damaged.",
            "It must be as it was written.",
            "Open the case again.",
        ) from error
    return array, LPS @ affine


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.strip("()").split(",")]
