"""Small scans for the tests of reading and writing, made with nibabel, SimpleITK and pydicom only."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from BATNetLib.errors import BATNetError

LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

#: One letter for each axis of each of the 48 ways to lay a patient into an array (nibabel's codes).
AXIS_CODES = [
    "".join(letters) for order in permutations(("LR", "PA", "SI")) for letters in product(*order)
]  # fmt: skip


def voxels(shape: tuple[int, int, int] = (9, 8, 7), seed: int = 0) -> np.ndarray:
    """int16 voxels [x, y, z] with x to the left, y to posterior, z to superior; no two neighbours alike."""
    return np.random.default_rng(seed).integers(-1000, 1500, shape).astype(np.int16)


def lps_affine(spacing=(0.8, 0.7, 3.0), origin=(-31.5, -180.25, 40.0), turn=None) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if turn is None else turn) @ np.diag(spacing)
    affine[:3, 3] = origin
    return affine


def turned(degrees: float, axis: str = "x") -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return {
        "x": np.array([[1, 0, 0], [0, c, -s], [0, s, c]]),
        "z": np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    }[axis]


def canonical(array: np.ndarray) -> np.ndarray:
    """[slice head first, row front to back, column from the patient's right] of ``voxels()``."""
    return array[:, :, ::-1].transpose(2, 1, 0)


def nifti(array: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    image = nib.Nifti1Image(array, LPS_RAS @ affine)
    image.set_sform(LPS_RAS @ affine, code=1)
    return image


def reoriented(array: np.ndarray, affine: np.ndarray, codes: str) -> nib.Nifti1Image:
    """The same patient stored with other axes, turned by nibabel."""
    image = nifti(array, affine)
    start = nib.io_orientation(image.affine)
    turn = nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(codes))
    return image.as_reoriented(turn)


def itk_image(array: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """SimpleITK image of an array in file axes with an affine to LPS mm."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def save(image: nib.Nifti1Image, path: Path) -> Path:
    """Save a nibabel image as NIfTI, or through SimpleITK as NRRD or MetaImage."""
    if path.name.endswith((".nii", ".nii.gz")):
        nib.save(image, path)
    else:
        sitk.WriteImage(itk_image(np.asarray(image.dataobj), LPS_RAS @ image.affine), str(path))
    return path


def refused(code: str, call, *args, **options) -> BATNetError:
    """The refusal that ``call`` raises; it must have this code and say all three things."""
    with pytest.raises(BATNetError) as caught:
        call(*args, **options)
    error = caught.value
    assert error.code == code, f"{error.code}: {error}"
    assert error.found and error.wanted and error.remedy
    assert "/" not in error.found.replace("DICOM/", ""), "a refusal names no folders"
    return error


def dicom_series(
    folder: Path,
    positions,
    *,
    orientation=(1, 0, 0, 0, 1, 0),
    series="1.2.826.0.1.3680043.8.498.1",
    modality="CT",
    rows=12,
    columns=10,
    slope=1,
    intercept=-1024,
    seed=0,
    change=None,
    prefix="im",
    **fields,
) -> np.ndarray:
    """Write a small series; ``positions``: LPS mm of the first voxel of each slice. Returns stored values
    [slice, row, column]. ``change(dataset, index)`` may spoil single slices before they are written."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    stored = rng.integers(0, 3000, (len(positions), rows, columns)).astype(np.uint16)
    for index, position in enumerate(positions):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        ds = Dataset()
        ds.file_meta = meta
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.77", series
        ds.FrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.78"
        ds.Modality = modality
        ds.PatientName, ds.PatientID, ds.PatientBirthDate = "Secret^Name", "SECRET-ID", "19700101"
        ds.Rows, ds.Columns = rows, columns
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
        ds.PixelSpacing = [0.9, 0.8]
        ds.SliceThickness = 3
        ds.ImagePositionPatient = [float(f"{v:.6f}") for v in position]
        ds.ImageOrientationPatient = [float(f"{v:.9f}") for v in orientation]
        ds.RescaleSlope, ds.RescaleIntercept = slope, intercept
        ds.PixelData = stored[index].tobytes()
        for key, value in fields.items():
            setattr(ds, key, value)
        if change:
            change(ds, index)
        ds.save_as(folder / f"{prefix}{index:03d}.dcm", enforce_file_format=True)
    return stored


def up(n: int, step: float = 3.0, start=(-40.0, -50.0, 100.0)) -> list[tuple[float, float, float]]:
    """Positions of an axial series from inferior to superior."""
    return [(start[0], start[1], start[2] + step * index) for index in range(n)]
