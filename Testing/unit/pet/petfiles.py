"""PET headers, series and phantoms made for the tests."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage, generate_uid

from BATNetLib.pet.headers import PetHeaders
from BATNetLib.volume import Grid, Volume

SERIES, STUDY, FRAME = (generate_uid(entropy_srcs=[name]) for name in ("series", "study", "frame"))


def header(index=0, position=0.0, slope=2.0):
    """One slice: 370 MBq at 09:00, scan at 10:00 on 2024-01-31, 70 kg, 1.70 m, a woman; BQML, START."""
    ds = Dataset()
    ds.SOPClassUID = PositronEmissionTomographyImageStorage
    ds.SOPInstanceUID = generate_uid(entropy_srcs=["slice", str(index)])
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = STUDY, SERIES, FRAME
    ds.PatientName, ds.PatientID = "Secret^Name", "SECRET-17"
    ds.Modality, ds.Manufacturer = "PT", "TEST"
    ds.SeriesNumber, ds.InstanceNumber = 4, index + 1
    ds.SeriesDate, ds.SeriesTime = "20240131", "100000"
    ds.AcquisitionDate, ds.AcquisitionTime = "20240131", "100000"
    ds.PatientWeight, ds.PatientSize, ds.PatientSex = "70", "1.70", "F"
    ds.Units, ds.DecayCorrection, ds.CorrectedImage = "BQML", "START", ["DECY", "ATTN", "SCAT"]
    ds.SeriesType = ["STATIC", "IMAGE"]
    tracer = Dataset()
    tracer.RadiopharmaceuticalStartTime = "090000"
    tracer.RadionuclideTotalDose = "370000000"
    tracer.RadionuclideHalfLife = "6586.2"
    ds.RadiopharmaceuticalInformationSequence = Sequence([tracer])
    ds.ImagePositionPatient = [-20.0, -20.0, position]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [5.0, 5.0], 3.0
    ds.Rows = ds.Columns = 8
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.RescaleSlope, ds.RescaleIntercept = str(slope), "0"
    return ds


def headers(change=None, count=3):
    """Headers of a series; ``change(dataset, index)`` alters each."""
    found = []
    for index in range(count):
        ds = header(index, 3.0 * index)
        if change is not None:
            change(ds, index)
        found.append(ds)
    return PetHeaders(found)


def tracer(ds):
    return ds.RadiopharmaceuticalInformationSequence[0]


def holder(ds, keyword):
    """Where a keyword belongs: the slice itself or its radiopharmaceutical."""
    return tracer(ds) if keyword.startswith("Radio") else ds


def set_philips(ds, suv=None, activity=None):
    block = ds.private_block(0x7053, "Philips PET Private Group", create=True)
    if suv is not None:
        block.add_new(0x00, "DS", str(suv))
    if activity is not None:
        block.add_new(0x09, "DS", str(activity))


def set_ge(ds, text):
    ds.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", text)


def write_series(folder: Path, positions, pixels, change=None, slopes=None):
    """Files of a series: ``pixels`` uint16 [slice, row, column] at ``positions`` (mm along z)."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, (position, plane) in enumerate(zip(positions, pixels, strict=True)):
        ds = header(index, position, 2.0 if slopes is None else slopes[index])
        ds.Rows, ds.Columns = plane.shape
        if change is not None:
            change(ds, index)
        ds.PixelData = plane.astype("<u2").tobytes()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        pydicom.dcmwrite(folder / f"{index:03d}.dcm", ds, enforce_file_format=True)
    return folder


def torso(shape=(24, 60, 90), spacing=(4.0, 4.0, 4.0)):
    """A CT (HU) of an elliptic body of muscle with a rind of fat in air, centred on x = 0."""
    slices, rows, columns = shape
    y = (np.arange(rows) - (rows - 1) / 2) * spacing[1]
    x = (np.arange(columns) - (columns - 1) / 2) * spacing[2]
    radius = np.hypot(y[:, None] / 90.0, x / 150.0)
    plane = np.where(radius < 0.8, 40, np.where(radius < 1.0, -100, -1000)).astype(np.int16)
    grid = Grid.canonical(shape, spacing, (x[0], y[0], 0.0))
    return Volume(np.repeat(plane[None], slices, axis=0), grid)
