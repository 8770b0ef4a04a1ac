"""The order of a file's axes is a matter of storage: it changes neither mask nor probability nor sides."""

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from analysis_cases import file_array, passport_of, quick

from BATNetLib.analysis import CaseInputs, analyze, analyze_files

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
