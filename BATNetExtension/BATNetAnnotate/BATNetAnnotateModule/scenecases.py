"""Volumes that are loaded already as cases of a work list."""

from __future__ import annotations

from typing import Any

import numpy as np
from BATNetSlicer.geometry import size_of, voxels


def volumes(scene: Any) -> dict[str, tuple[Any, Any]]:
    """Case to (CT node, PET node or None): each volume in HU, with the PET whose name goes with it.

    A volume under a transform is no case: a mask is kept on the voxels of the scan, where the scan is.
    """
    count = scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    nodes = [scene.GetNthNodeByClass(index, "vtkMRMLScalarVolumeNode") for index in range(count)]
    nodes = [node for node in nodes if _usable(node)]
    cts = [node for node in nodes if _is_ct(node)]
    pets = [node for node in nodes if not _is_ct(node) and _is_pet(node)]
    found: dict[str, tuple[Any, Any]] = {}
    for node in cts:
        name, number = node.GetName(), 2
        while name in found:
            name, number = f"{node.GetName()} ({number})", number + 1
        found[name] = (node, _pet_of(node, pets, len(cts)))
    return found


def items(cases: list[str]) -> list[Any]:
    """Items of a work list without files."""
    from BATNetLib.annotation.worklist import WorkItem

    return [WorkItem(case, case) for case in cases]


def _usable(node: Any) -> bool:
    return (
        not node.IsA("vtkMRMLLabelMapVolumeNode")
        and not node.GetHideFromEditors()
        and node.GetParentTransformNode() is None
        and min(size_of(node)) > 1
        and node.GetImageData().GetNumberOfScalarComponents() == 1
    )


def _is_ct(node: Any) -> bool:
    """HU: there is air far below zero and tissue about it. Looked at in every tenth voxel along each axis."""
    some = voxels(node.GetImageData())[::10, ::10, ::10]
    return bool(some.size and np.min(some) < -150 and np.max(some) > -150)


def _is_pet(node: Any) -> bool:
    some = voxels(node.GetImageData())[::10, ::10, ::10]
    return bool(some.size and np.nanmin(some) >= 0)


def _pet_of(ct: Any, pets: list[Any], cases: int) -> Any:
    """The PET that is named as the CT with "PET" or "SUV" for "CT"; with a single CT the only PET."""
    if cases == 1 and len(pets) == 1:
        return pets[0]
    stem = ct.GetName().lower().replace("ct", "").strip(" _-")
    for pet in pets:
        name = pet.GetName().lower()
        if stem and stem in name and ("pet" in name or "suv" in name):
            return pet
    return None
