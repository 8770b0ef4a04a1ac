"""The adipose mask as a DICOM Segmentation object that refers to the CT it was made from.

The patient and study attributes of the CT are copied into it, as the standard's patient and study modules
require: it belongs into the same archive as the CT, and is as confidential as the CT.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import RESEARCH_USE_ONLY, __version__
from ..errors import InputRefused
from ..events import Events
from ..volume import restore
from .colours import MASK
from .passport import SOFTWARE
from .result import Analysis

if TYPE_CHECKING:
    from pydicom import Dataset

#: Attributes that a segmentation copies or refers to; an image without one of them cannot be referred to.
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID")
#: Attributes of the patient and study modules that must be there but may be empty; de-identified files
#: leave some of them out.
_MAY_BE_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip


def write_dicom_seg_if_dicom(analysis: Analysis, path: Path, events: Events) -> bool:
    """Write ``path`` where the CT was a DICOM series; where that is not possible a warning says why."""
    if (analysis.ct.facts or {}).get("format") != "dicom":
        return False
    source = analysis.ct.source
    if source is None or not source.files:
        events.warning(
            "dicom-seg-skipped",
            "No DICOM SEG was written: the slices were interpolated, so the mask lies on none of them.",
        )
        return False
    try:
        import highdicom  # noqa: F401
    except ImportError:
        events.warning(
            "dicom-seg-skipped",
            "No DICOM SEG was written: highdicom is not installed (pip install pydicom highdicom).",
        )
        return False
    try:
        with warnings.catch_warnings():
            # Remarks of the library quote names of patients; they must not reach a log.
            warnings.simplefilter("ignore")
            dataset = dicom_seg(analysis)
    except (AttributeError, ValueError, TypeError, KeyError) as error:
        # highdicom checks the standard strictly; what it refuses in a scanner's file is no defect of ours.
        events.warning(
            "dicom-seg-skipped",
            f"No DICOM SEG was written: the headers of the CT do not allow one ({type(error).__name__}).",
        )
        return False
    except InputRefused as error:
        events.warning("dicom-seg-skipped", f"No DICOM SEG was written. {error.found}")
        return False
    dataset.save_as(path, enforce_file_format=True)
    return True


def dicom_seg(analysis: Analysis) -> Dataset:
    """The adipose mask as a binary DICOM SEG, one segment, empty slices left out.

    The CT must have been read from DICOM files whose slices were not interpolated. Raises
    ``InputRefused`` where an attribute that the reference to the CT needs is missing.
    """
    import highdicom as hd
    from pydicom.sr.coding import Code

    assert analysis.adipose is not None and analysis.ct.source is not None
    images = [_image(file) for file in analysis.ct.source.files]
    array, _ = restore(analysis.adipose.array, analysis.ct, kind="mask")
    frames = np.ascontiguousarray(array.transpose(2, 1, 0)).astype(np.uint8)
    given = analysis.method == "given"
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Adipose tissue",
        segmented_property_category=Code("85756007", "SCT", "Tissue"),
        segmented_property_type=Code("55603005", "SCT", "Adipose tissue"),
        algorithm_type=(
            hd.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC
            if given
            else hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC
        ),
        algorithm_identification=_algorithm(analysis),
        tracking_uid=hd.UID(),
        tracking_id="adipose-tissue",
        display_color=hd.color.CIELabColor.from_rgb(*MASK),
    )
    made = hd.seg.Segmentation(
        source_images=images,
        pixel_array=frames,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid=hd.UID(),
        series_number=9100,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=SOFTWARE,
        manufacturer_model_name="BATNetLib",
        software_versions=__version__,
        device_serial_number="not applicable",
        content_label="ADIPOSE_TISSUE",
        content_description=RESEARCH_USE_ONLY,
        series_description=_description(analysis),
    )
    return made


def _image(file: str) -> Dataset:
    import pydicom

    header = pydicom.dcmread(file, stop_before_pixels=True)
    missing = [name for name in _NEEDED if not header.get(name)]
    if missing:
        raise InputRefused(
            "dicom-attributes",
            f"The DICOM files of the CT have no {missing[0]}.",
            "A segmentation refers to its images by their identifiers.",
            "Export the series again from the archive.",
        )
    for name in _MAY_BE_EMPTY:
        if name not in header:
            setattr(header, name, None)
    return header


def _algorithm(analysis: Analysis) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    if analysis.method == "network":
        model = analysis.models["adipose"]
        family, name = codes.cid7162.ArtificialIntelligence, model["name"]
        facts = {"SHA-256": model["sha256"]}
    elif analysis.method == "hu-threshold":
        low, high = analysis.options.hu_range
        family, name = codes.cid7162.MorphologicalOperations, "HU threshold"
        facts = {"HU range": f"{low:g} to {high:g}"}
    else:
        family, name, facts = codes.cid7162.ManualProcessing, "mask given by the user", {}
    return hd.AlgorithmIdentificationSequence(
        name=name, family=family, version=__version__, source=SOFTWARE, parameters=facts or None
    )


def _description(analysis: Analysis) -> str:
    """Series description, at most 64 letters."""
    if analysis.method == "network" and analysis.demonstration:
        return "BATNet adipose tissue, demonstration model, trained on phantoms"
    return f"BATNet adipose tissue ({analysis.method}), research use only"
