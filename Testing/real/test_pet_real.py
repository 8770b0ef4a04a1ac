"""SUV and criteria on real PET/CT. The hot spots of these patients are tumours, not brown fat."""

import copy
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pydicom
import pytest
from realdata import real_data

from BATNetLib.errors import InputRefused
from BATNetLib.events import Events
from BATNetLib.pet import (
    Given,
    PetOptions,
    choose,
    evaluate,
    factors_from_headers,
    find_midplane,
    load_criteria,
    read_pet,
)
from BATNetLib.pet.headers import PetHeaders
from BATNetLib.pet.series import choose_pet_series, read_headers
from BATNetLib.volume import read_mask, read_volume, write_volume

CT_CRITERIA = ["barcist", "hu-180-10-suv-1.5", "hu-250-50-suv-2.0", "no-hu-suv-2.0"]
PATIENT = Given(weight_kg=75, height_m=1.78, sex="M")


@pytest.fixture(scope="module")
def series():
    return real_data("dicom/pet-series")


@pytest.fixture(scope="module")
def headers(series):
    return read_headers(choose_pet_series(series))


@pytest.fixture
def copies(headers):
    """The first three headers, free to be spoiled."""
    return PetHeaders([copy.deepcopy(h) for h in headers.headers[:3]])


def by_hand(series):
    """SUVbw of every slice and its place, straight from headers and stored pixels."""
    planes = []
    for file in sorted(series.glob("*.dcm")):
        ds = pydicom.dcmread(file)
        tracer = ds.RadiopharmaceuticalInformationSequence[0]

        def seconds(text):
            return int(text[0:2]) * 3600 + int(text[2:4]) * 60 + float(text[4:])

        waited = seconds(str(ds.SeriesTime)) - seconds(str(tracer.RadiopharmaceuticalStartTime))
        left = float(tracer.RadionuclideTotalDose) * 2 ** (-waited / float(tracer.RadionuclideHalfLife))
        stored = np.frombuffer(ds.PixelData, "<i2").reshape(ds.Rows, ds.Columns)
        activity = stored * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        planes.append((float(ds.ImagePositionPatient[2]), activity * float(ds.PatientWeight) * 1000 / left))
    planes.sort(key=lambda plane: plane[0])
    return np.array([z for z, _ in planes]), np.array([values for _, values in planes])


def test_suv_agrees_with_an_independent_computation_to_a_thousandth(series):
    events = Events()
    pet = read_pet(series, events=events)
    places, wanted = by_hand(series)
    gaps = {round(g, 2) for g in np.diff(places)}
    assert gaps == {3.19, 3.27, 3.29}
    assert sorted(pet.suv.facts["slice_spacings_mm"]) == [3.19, 3.27, 3.29]
    assert "gaps-resampled" in {w["code"] for w in events.warnings}

    along = pet.suv.grid.points(np.array([[i, 0, 0] for i in range(len(pet.suv.array))]))[:, 2]
    assert along[0] > along[-1]
    on_a_slice = []
    for plane, z in zip(pet.suv.array, along, strict=True):
        above = int(np.clip(np.searchsorted(places, z), 1, len(places) - 1))
        weight = np.clip((z - places[above - 1]) / (places[above] - places[above - 1]), 0, 1)
        expected = wanted[above - 1] * (1 - weight) + wanted[above] * weight
        np.testing.assert_allclose(plane, expected, rtol=1e-3, atol=1e-6)
        nearest = int(np.abs(places - z).argmin())
        if abs(places[nearest] - z) < 1e-3:
            on_a_slice.append(nearest)
            np.testing.assert_allclose(plane, wanted[nearest], rtol=1e-3, atol=1e-3 * wanted[nearest].max())
    assert len(on_a_slice) > 50
    assert pet.suv.array.mean(dtype=float) == pytest.approx(wanted.mean(), rel=1e-3)


def test_the_facts_of_the_series(headers):
    factors = factors_from_headers(headers)
    assert factors.decay.uptake_minutes == pytest.approx(45.18, abs=0.01)
    assert factors.dose_bq == pytest.approx(388777472)
    assert factors.patient.lean_mass() == pytest.approx(52.856, abs=1e-3)
    assert factors.patient.lean_mass("james") == pytest.approx(53.814, abs=1e-3)
    # The recorded DecayFactor of all six beds leads back to the series time, so nothing is remarked on.
    assert factors.warnings == ()
    assert len({h.RescaleSlope for h in headers.headers}) == 267


NEEDED = {
    "Units": "pet-units",
    "CorrectedImage": "pet-corrected-image",
    "DecayCorrection": "pet-decay-correction",
    "PatientWeight": "pet-patient-weight",
    "SeriesDate": "pet-series-date",
    "SeriesTime": "pet-series-time",
    "AcquisitionDate": "pet-acquisition-date",
    "AcquisitionTime": "pet-acquisition-time",
    "RadiopharmaceuticalStartTime": "pet-injection-time",
    "RadionuclideTotalDose": "pet-total-dose",
    "RadionuclideHalfLife": "pet-half-life",
    "RescaleSlope": "pet-rescale-slope",
}


@pytest.mark.parametrize("keyword", NEEDED)
def test_a_real_header_without_an_attribute_is_refused_by_name(copies, keyword):
    for ds in copies.headers:
        place = ds.RadiopharmaceuticalInformationSequence[0] if keyword.startswith("Radio") else ds
        delattr(place, keyword)
    with pytest.raises(InputRefused) as caught:
        factors_from_headers(copies)
    assert caught.value.code == f"{NEEDED[keyword]}-missing"
    assert keyword in caught.value.found


@pytest.mark.parametrize(
    "keyword", ["PatientWeight", "RadionuclideTotalDose", "RadionuclideHalfLife", "RescaleSlope"]
)
def test_a_real_header_with_a_zero_is_refused_by_name(copies, keyword):
    for ds in copies.headers:
        place = ds.RadiopharmaceuticalInformationSequence[0] if keyword.startswith("Radio") else ds
        setattr(place, keyword, "0")
    with pytest.raises(InputRefused) as caught:
        factors_from_headers(copies)
    assert caught.value.code == f"{NEEDED[keyword]}-zero"


@pytest.mark.parametrize("keyword", ["PatientSize", "PatientSex"])
def test_a_real_header_without_height_or_sex_is_refused_for_lean_mass_by_name(copies, keyword):
    for ds in copies.headers:
        delattr(ds, keyword)
    with pytest.raises(InputRefused) as caught:
        load_criteria()["barcist"].cutoff_bw(factors_from_headers(copies).patient)
    assert caught.value.code == f"pet-patient-{'size' if keyword == 'PatientSize' else 'sex'}-missing"


# --- PET/CT of a shoulder and an axilla


def assessed(folder, options=None, ending=".nii.gz"):
    ct = read_volume(folder / f"ct{ending}")
    pet = read_pet(folder / f"pet_suv{ending}", unit="suv", given=PATIENT)
    options = options or PetOptions(midline_mm=0.0)
    return evaluate(ct, pet, choose(load_criteria(), CT_CRITERIA), options=options)


@pytest.mark.parametrize("place", ["shoulder", "axilla"])
def test_masks_lie_on_the_exact_grid_of_the_ct(place, tmp_path):
    folder = real_data(f"petct/{place}/ct.nii.gz").parent
    result = assessed(folder)
    ct = nib.load(folder / "ct.nii.gz")
    for assessment in result.assessments:
        name = assessment.criterion.name
        path = write_volume(assessment.mask, tmp_path / f"{name}.nii.gz", like=result.ct, kind="mask")
        mask = nib.load(path)
        assert mask.shape == ct.shape
        np.testing.assert_allclose(mask.affine, ct.affine, atol=1e-5)
        voxel_ml = abs(np.linalg.det(ct.affine[:3, :3])) / 1000
        marked = np.asarray(mask.dataobj) > 0
        assert marked.sum() * voxel_ml == pytest.approx(assessment.rows[0].volume_ml, rel=1e-4)
        if assessment.criterion.hu is not None:
            hu = np.asarray(ct.dataobj)[marked]
            assert hu.min() >= assessment.criterion.hu[0]
            assert hu.max() <= assessment.criterion.hu[1]
        again = read_mask(path, result.ct, name="criterion mask")
        np.testing.assert_array_equal(again.array, assessment.mask.array)
    # -250..-50 HU at 2.0 is a part of no HU limit at 2.0.
    volumes = [a.rows[0].volume_ml for a in result.assessments]
    assert 0 < volumes[2] < volumes[3]


@pytest.mark.parametrize("place", ["shoulder", "axilla"])
def test_a_crop_of_one_side_has_no_sides_unless_the_midplane_is_given(place):
    result = assessed(real_data(f"petct/{place}/ct.nii.gz").parent, PetOptions())
    assert result.midplane.plane is None
    assert {r.result for r in result.rows if r.side != "both"} == {"not assessable"}
    assert {r.result for r in result.rows if r.side == "both"} == {"measured"}


def test_a_whole_chest_has_its_midplane_near_the_middle_of_the_image():
    plane = find_midplane(read_volume(real_data("ct/chest-with-lungs/ct.nii.gz"))).plane
    assert plane.point[0] == pytest.approx(5.0, abs=5.0)
    assert plane.symmetry > 0.9


def test_the_midplane_of_a_patient_who_lies_turned_runs_through_the_spine():
    ct = read_volume(real_data("ct/neck-chest/ct.nii.gz"))
    plane = find_midplane(ct).plane
    # Spinous processes of three vertebrae, and the trachea, as seen in the image: [slice, row, column].
    seen = np.array([[20, 325, 263], [49, 375, 263], [78, 385, 266], [49, 225, 270]], float)
    assert np.abs(plane.distance(ct.grid.points(seen))).max() < 5
    assert plane.roll_degrees == pytest.approx(3.4, abs=1.5)


ORDERS = [(order, flips) for order in permutations(range(3)) for flips in product((False, True), repeat=3)]


def reordered(image, order, flips):
    """The same image in another axis order, with an affine that keeps it in place."""
    array, affine = np.asarray(image.dataobj), image.affine
    for axis, flip in enumerate(flips):
        if flip:
            change = np.eye(4)
            change[axis, axis], change[axis, 3] = -1, array.shape[axis] - 1
            array, affine = np.flip(array, axis), affine @ change
    mixed = np.zeros((4, 4))
    mixed[3, 3] = 1
    for new, old in enumerate(order):
        mixed[old, new] = 1
    return nib.Nifti1Image(np.ascontiguousarray(array.transpose(order)), affine @ mixed)


def volumes_of(folder, ending=".nii.gz"):
    return np.array([row.volume_ml for row in assessed(folder, ending=ending).rows])


def small(folder, target):
    """The shoulder with a third of the CT's columns and rows: the same place, quick to read 48 times."""
    ct, pet = nib.load(folder / "ct.nii.gz"), nib.load(folder / "pet_suv.nii.gz")
    array = np.asarray(ct.dataobj)[::3, ::3]
    nib.save(
        nib.Nifti1Image(np.ascontiguousarray(array), ct.affine @ np.diag([3, 3, 1, 1])), target / "ct.nii.gz"
    )
    nib.save(nib.Nifti1Image(np.asarray(pet.dataobj), pet.affine), target / "pet_suv.nii.gz")
    return target


def check_orders(source, tmp_path, orders):
    ct, pet = nib.load(source / "ct.nii.gz"), nib.load(source / "pet_suv.nii.gz")
    wanted = volumes_of(source)
    assert wanted.shape == (12,)
    assert (wanted > 0).sum() >= 8
    for number, (order, flips) in enumerate(orders):
        folder = tmp_path / str(number)
        folder.mkdir()
        nib.save(reordered(ct, order, flips), folder / "ct.nii")
        # The PET in another order than its CT.
        nib.save(reordered(pet, *ORDERS[(number * 7 + 5) % 48]), folder / "pet_suv.nii")
        np.testing.assert_allclose(volumes_of(folder, ".nii"), wanted, rtol=0.01, atol=1e-9)


def test_volumes_are_stable_under_all_48_axis_orders(tmp_path):
    (tmp_path / "small").mkdir()
    source = small(real_data("petct/shoulder/ct.nii.gz").parent, tmp_path / "small")
    check_orders(source, tmp_path, ORDERS)


def test_volumes_of_the_whole_shoulder_are_stable_under_some_axis_orders(tmp_path):
    source = real_data("petct/shoulder/ct.nii.gz").parent
    check_orders(source, tmp_path, [ORDERS[i] for i in (7, 21, 46)])
