"""The order of a file's axes is a matter of storage: it changes neither mask nor probability nor sides."""

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from analysis_cases import COARSE, OVERRIDES, dense_fat_models, file_array, passport_of, quick

from BATNetLib.analysis import CaseInputs, analyze, analyze_files, case_inputs
from BATNetLib.dataset.phantom import make_phantom, write_phantom
from BATNetLib.errors import InputRefused

ORDERS = [(order, flips) for order in permutations(range(3)) for flips in product((False, True), repeat=3)]
RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_nifti(volume, order, flips, path):
    array, affine = file_array(volume, order, flips)
    nib.save(nib.Nifti1Image(array, RAS @ affine), path)


def run(phantom, order, flips, folder, options, models):
    for name, volume in (("ct", phantom.ct), ("lungs", phantom.lungs)):
        write_nifti(volume, order, flips, folder / f"{name}.nii")
    inputs = CaseInputs(ct=folder / "ct.nii", lungs=folder / "lungs.nii")
    return analyze_files(inputs, folder / "out", options, models)


@pytest.fixture(scope="module")
def reference(phantom, models):
    return analyze(phantom.ct, phantom.lungs, options=quick(), models=models)


@pytest.mark.parametrize(("order", "flips"), ORDERS, ids=str)
def test_every_axis_order_gives_the_same_probability_and_mask(
    order, flips, phantom, models, options, reference, tmp_path
):
    folder = run(phantom, order, flips, tmp_path, options, models)
    facts = passport_of(folder)
    assert facts["case"]["probability"] == pytest.approx(reference.probability, abs=1e-6)
    np.testing.assert_allclose(
        [patch["probability"] for patch in facts["patches"]], reference.patch_probabilities, atol=1e-6
    )
    assert facts["inputs"]["ct"]["sha256_voxels"] == reference.as_dict()["inputs"]["ct"]["sha256_voxels"]
    # The mask on the file's own grid, read by another library, voxel for voxel.
    image = sitk.ReadImage(str(folder / "adipose.seg.nrrd"))
    expected, affine = file_array(reference.adipose, order, flips)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).transpose(2, 1, 0), expected)
    np.testing.assert_allclose(image.GetOrigin(), affine[:3, 3], atol=1e-3)
    # The map too, and the box of a patch in the file's own index order holds its probability.
    stored = nib.load(folder / "patch_probability.nii.gz")
    np.testing.assert_allclose(stored.affine, RAS @ affine, atol=1e-3)
    values = np.asarray(stored.dataobj)
    for patch in facts["patches"]:
        box = patch["box_input_voxels"]
        inside = values[tuple(slice(a, b) for a, b in zip(box["start"], box["end"], strict=True))]
        np.testing.assert_allclose(inside, patch["probability"], atol=6e-5)


@pytest.mark.parametrize(("order", "flips"), ORDERS[5::9], ids=str)
def test_axis_orders_do_not_matter_to_the_network_either(order, flips, phantom, models, tmp_path):
    options = quick(method="network")
    reference = analyze(phantom.ct, phantom.lungs, options=options, models=models)
    assert reference.assessed and 0 < reference.adipose.array[: reference.lungs.cut].mean() < 0.9
    folder = run(phantom, order, flips, tmp_path, options, models)
    assert passport_of(folder)["case"]["probability"] == pytest.approx(reference.probability, abs=1e-6)
    image = sitk.ReadImage(str(folder / "adipose.seg.nrrd"))
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(image).transpose(2, 1, 0), file_array(reference.adipose, order, flips)[0]
    )


@pytest.mark.parametrize("side", ["left", "right", "none"])
def test_a_case_with_brown_fat_on_one_side_is_positive_there_however_it_is_stored(side, tmp_path):
    """With a classifier that sees dense fat, the strongest patch lies on the side that the phantom has."""
    phantom = make_phantom(seed=4, brown=side, spacing=COARSE, noise=1.0)
    for number, (order, flips) in enumerate(ORDERS[1::16]):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, volume in (("ct", phantom.ct), ("lungs", phantom.lungs), ("fat", phantom.adipose)):
            write_nifti(volume, order, flips, folder / f"{name}.nii")
        inputs = CaseInputs(folder / "ct.nii", lungs=folder / "lungs.nii", adipose=folder / "fat.nii")
        facts = passport_of(analyze_files(inputs, folder / "out", quick(), dense_fat_models()))
        strongest = max(facts["patches"], key=lambda patch: patch["probability"])
        if side == "none":
            assert facts["case"]["probability"] < 0.1
            continue
        assert facts["case"]["probability"] > 0.9 and strongest["probability"] > 0.9
        assert strongest["side"] == side
        assert facts["patches"][strongest["partner"]]["probability"] < 0.1
        # In the file the box of that patch holds brown fat, and in millimetres it lies on that side.
        brown = file_array(phantom.brown, order, flips)[0]
        box = strongest["box_input_voxels"]
        where = tuple(slice(a, b) for a, b in zip(box["start"], box["end"], strict=True))
        assert brown[where].sum() > 0.1 * brown.sum()
        assert strongest["box"]["centre"][0] * (1 if side == "left" else -1) > 10


def test_the_authors_array_files_give_the_same_patches_as_files_with_geometry(tmp_path):
    """Identity affine, [slice, row, column]: recognised in a case folder, and by its axes elsewhere."""
    phantom = make_phantom(seed=4, brown="left", spacing=COARSE, noise=1.0)
    codes = ("adipose-volume", "axilla-missing", "apex-missing", "small-lungs", "no-lungs", "no-body")
    options = quick(overrides={**OVERRIDES, **dict.fromkeys(codes, "no spacing in these files")})
    reference = analyze(
        phantom.ct, phantom.lungs, adipose=phantom.adipose, options=quick(), models=dense_fat_models()
    )
    case = write_phantom(phantom, tmp_path / "case", "arrays")
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "scan.nii.gz").write_bytes((case / "image.nii.gz").read_bytes())
    for number, inputs in enumerate(
        (
            case_inputs(case, adipose=case / "fat_mask.nii.gz"),
            case_inputs(
                moved / "scan.nii.gz",
                axes="zyx",
                lungs=case / "lobe.nii.gz",
                adipose=case / "fat_mask.nii.gz",
            ),
        )
    ):
        out = analyze_files(inputs, tmp_path / f"out{number}", options, dense_fat_models())
        facts = passport_of(out)
        assert facts["case"]["probability"] == pytest.approx(reference.probability, abs=1e-6)
        assert [p["box_voxels"] for p in facts["patches"]] == [
            {"start": list(box.start), "end": list(box.end)} for box in reference.boxes
        ]
        image = nib.load(out / "patch_probability.nii.gz")
        assert image.shape == phantom.ct.array.shape
        np.testing.assert_allclose(np.abs(image.affine), np.eye(4), atol=1e-6)
    with pytest.raises(InputRefused) as refusal:
        analyze_files(case_inputs(moved / "scan.nii.gz"), tmp_path / "guess", options, dense_fat_models())
    assert refusal.value.code == "orientation-unknown"
