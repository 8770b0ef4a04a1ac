"""PET beside the CT: uptake values (SUV), named criteria for active brown fat, masks and measures.

Works without torch. DICOM needs pydicom, pictures need Pillow.
"""

from .bodysize import Patient, lean_mass_james, lean_mass_janmahasatian, surface_du_bois, surface_mosteller
from .criteria import Criterion, choose, load_criteria
from .evaluate import Assessment, PetOptions, PetResult, evaluate
from .given import Given
from .masks import clean, criterion_mask, resample_to_ct
from .metrics import Measurer, PatchActivity, Row, patch_activity
from .midplane import MidPlane, find_midplane
from .read import Pet, explain, read_pet, suv_from_volume
from .suv import SUVFactors, factors_from_headers, factors_from_values

__all__ = [
    "Assessment",
    "Criterion",
    "Given",
    "Measurer",
    "MidPlane",
    "PatchActivity",
    "Patient",
    "Pet",
    "PetOptions",
    "PetResult",
    "Row",
    "SUVFactors",
    "choose",
    "clean",
    "criterion_mask",
    "evaluate",
    "explain",
    "factors_from_headers",
    "factors_from_values",
    "find_midplane",
    "lean_mass_james",
    "lean_mass_janmahasatian",
    "load_criteria",
    "patch_activity",
    "read_pet",
    "resample_to_ct",
    "surface_du_bois",
    "surface_mosteller",
    "suv_from_volume",
]
