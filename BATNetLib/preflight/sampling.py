"""How finely the scan is sampled."""

from __future__ import annotations

from ..volume.geometry import Volume
from .limits import PreflightLimits
from .report import BLOCK, NOTE, WARN, Finding


def sampling(ct: Volume, limits: PreflightLimits) -> list[Finding]:
    """Distances between slices and pixels, matrix, and what reading had to interpolate."""
    findings = []
    facts = ct.facts or {}
    dz, dy, dx = ct.spacing
    _, rows, columns = ct.array.shape
    if facts.get("spacing_unknown"):
        findings.append(
            Finding(
                "spacing-unknown",
                WARN,
                "The file does not say how large its voxels are; 1 mm was assumed.",
                "Millimetres and millilitres of this result mean nothing. The probability does not use them.",
                {"spacing_mm": [dz, dy, dx]},
            )
        )
    if dz > limits.slice_mm_warn:
        block = dz > limits.slice_mm_block
        bound = limits.slice_mm_block if block else limits.slice_mm_warn
        findings.append(
            Finding(
                "thick-slices",
                BLOCK if block else WARN,
                f"The slices lie {dz:.3g} mm apart, more than {bound:g} mm.",
                "Take a thinner reconstruction: thick slices blur fat into its neighbours.",
                {"slice_mm": dz},
            )
        )
    pixel = max(dy, dx)
    if pixel > limits.pixel_mm_warn:
        block = pixel > limits.pixel_mm_block
        bound = limits.pixel_mm_block if block else limits.pixel_mm_warn
        findings.append(
            Finding(
                "large-pixels",
                BLOCK if block else WARN,
                f"The pixels are {dy:.3g} x {dx:.3g} mm, more than {bound:g} mm.",
                "Take the full-resolution images of the scan.",
                {"row_mm": dy, "column_mm": dx},
            )
        )
    if max(dy / dx, dx / dy) > limits.pixel_ratio_warn:
        findings.append(
            Finding(
                "unequal-pixels",
                WARN,
                f"The pixels are {dy:.3g} mm high and {dx:.3g} mm wide; axial CT has square pixels.",
                "Check that the scan is axial and not a reformat.",
                {"row_mm": dy, "column_mm": dx},
            )
        )
    if min(rows, columns) < limits.matrix_warn:
        findings.append(
            Finding(
                "small-matrix",
                WARN,
                f"The slices have {rows} x {columns} pixels; usual are {limits.matrix_warn} or more.",
                "Take the full-resolution images of the scan.",
                {"rows": rows, "columns": columns},
            )
        )
    resampled = facts.get("resampled")
    if resampled:
        degrees = resampled.get("degrees")
        findings.append(
            Finding(
                "resampled",
                NOTE,
                f"The scan lay {degrees:g} degrees off the patient's axes and was interpolated onto them.",
                "Fine fat planes may be blurred a little.",
                {"degrees": degrees},
            )
        )
    return findings
