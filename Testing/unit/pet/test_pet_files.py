"""PET series and volumes read from disk, with their own slopes and places of slices."""

import numpy as np
import pytest
from petfiles import STUDY, set_philips, tracer, write_series
from pydicom.uid import generate_uid

from BATNetLib.errors import InputRefused, UsageError
from BATNetLib.events import Events
from BATNetLib.pet import Given, explain, read_pet
from BATNetLib.volume import Grid, Volume, write_volume

FACTOR = 70 * 1000 / (370e6 * 0.5 ** (3600 / 6586.2))
EVEN = [3.0 * i for i in range(6)]


@pytest.fixture
def pixels():
    return np.random.default_rng(3).integers(1, 4000, (6, 8, 8))


def test_each_slice_has_its_own_slope(tmp_path, pixels):
    slopes = [0.5, 1.25, 2.0, 3.5, 0.125, 7.0]
    pet = read_pet(write_series(tmp_path / "pet", EVEN, pixels, slopes=slopes))
    wanted = (pixels * np.array(slopes)[:, None, None] * FACTOR)[::-1]  # superior slice first
    assert pet.suv.array.dtype == np.float32
    np.testing.assert_allclose(pet.suv.array, wanted, rtol=1e-5)
    assert pet.suv.facts["unit"] == "SUVbw"


def test_uneven_slices_are_interpolated_between_their_true_places(tmp_path, pixels):
    places = [0.0, 3.27, 6.54, 9.83, 13.02, 16.29]
    slopes = [0.7, 1.3, 2.1, 0.9, 1.1, 1.7]
    events = Events()
    pet = read_pet(write_series(tmp_path / "pet", places, pixels, slopes=slopes), events=events)
    values = pixels * np.array(slopes)[:, None, None] * FACTOR
    along = pet.suv.grid.points(np.array([[i, 0, 0] for i in range(len(pet.suv.array))]))[:, 2]
    for plane, z in zip(pet.suv.array, np.clip(along, places[0], places[-1]), strict=True):
        above = min(max(np.searchsorted(places, z), 1), 5)
        weight = (z - places[above - 1]) / (places[above] - places[above - 1])
        wanted = values[above - 1] * (1 - weight) + values[above] * weight
        np.testing.assert_allclose(plane, wanted, rtol=1e-4)
    assert "gaps-resampled" in {w["code"] for w in events.warnings}


def test_a_missing_slope_in_one_slice_is_refused_before_it_could_count_as_one(tmp_path, pixels):
    def change(ds, i):
        if i == 4:
            del ds.RescaleSlope

    with pytest.raises(InputRefused) as caught:
        read_pet(write_series(tmp_path / "pet", EVEN, pixels, change))
    assert caught.value.code == "pet-rescale-slope-missing"
    assert "1 of 6" in caught.value.found


def test_counts_of_a_philips_scanner_become_suv(tmp_path, pixels):
    def change(ds, i):
        ds.Units = "CNTS"
        set_philips(ds, suv=0.001)

    pet = read_pet(write_series(tmp_path / "pet", EVEN, pixels, change))
    np.testing.assert_allclose(pet.suv.array, pixels[::-1] * 2.0 * 0.001, rtol=1e-6)


def test_the_pet_is_found_beside_its_ct(tmp_path, pixels):
    def as_ct(ds, i):
        ds.Modality, ds.SeriesInstanceUID = "CT", generate_uid(entropy_srcs=["ct"])
        ds.SOPInstanceUID = generate_uid(entropy_srcs=["ct", str(i)])

    write_series(tmp_path / "study" / "a", EVEN, pixels, as_ct)
    write_series(tmp_path / "study" / "b", EVEN, pixels)
    assert read_pet(tmp_path / "study").suv.facts["modality"] == "PT"


def test_two_pet_series_are_refused_until_one_is_named(tmp_path, pixels):
    other = generate_uid(entropy_srcs=["other"])

    def second(ds, i):
        ds.SeriesInstanceUID, ds.SeriesNumber = other, 9
        ds.SOPInstanceUID = generate_uid(entropy_srcs=["other", str(i)])

    write_series(tmp_path / "study" / "a", EVEN, pixels)
    write_series(tmp_path / "study" / "b", EVEN, pixels, second)
    with pytest.raises(InputRefused) as caught:
        read_pet(tmp_path / "study")
    assert caught.value.code == "several-series"
    for name in (other, 2, other[-9:]):
        assert read_pet(tmp_path / "study", series=name).suv.facts["SeriesInstanceUID"] == other
    with pytest.raises(UsageError):
        read_pet(tmp_path / "study", series="7")


def test_one_file_stands_for_its_series(tmp_path, pixels):
    folder = write_series(tmp_path / "pet", EVEN, pixels)
    assert read_pet(folder / "002.dcm").suv.array.shape == (6, 8, 8)


def test_a_folder_without_pet_is_refused(tmp_path, pixels):
    write_series(tmp_path / "ct", EVEN, pixels, lambda ds, i: setattr(ds, "Modality", "CT"))
    with pytest.raises(InputRefused) as caught:
        read_pet(tmp_path / "ct")
    assert caught.value.code == "no-pet-series"


def test_a_unit_stated_for_a_dicom_series_is_a_contradiction(tmp_path, pixels):
    with pytest.raises(UsageError):
        read_pet(write_series(tmp_path / "pet", EVEN, pixels), unit="suv")


def test_a_volume_in_becquerel_becomes_suv(tmp_path):
    grid = Grid.canonical((6, 8, 8), (3.0, 5.0, 5.0), (-20, -20, 15))
    array = np.random.default_rng(1).uniform(0, 30000, grid.shape).astype(np.float32)
    write_volume(Volume(array, grid), tmp_path / "pet.nii.gz")
    given = Given(weight_kg=70, dose_bq=370e6, decay_corrected_to="injection")
    pet = read_pet(tmp_path / "pet.nii.gz", unit="bqml", given=given)
    np.testing.assert_allclose(pet.suv.array, array * 70000 / 370e6, rtol=1e-6)


def test_voxels_that_are_no_number_are_counted_and_warned_of(tmp_path):
    grid = Grid.canonical((6, 8, 8), (3.0, 5.0, 5.0), (-20, -20, 15))
    array = np.ones(grid.shape, np.float32)
    array[0, 0, :3] = np.nan
    write_volume(Volume(array, grid), tmp_path / "pet.nii.gz")
    events = Events()
    pet = read_pet(tmp_path / "pet.nii.gz", unit="suv", events=events)
    assert np.isnan(pet.suv.array).sum() == 3
    assert "3 voxels" in {w["code"]: w["text"] for w in events.warnings}["pet-non-finite"]


def test_all_that_is_missing_is_told_at_once(tmp_path, pixels):
    def change(ds, i):
        ds.PatientWeight, ds.PatientSize = "0", ""
        del tracer(ds).RadionuclideTotalDose

    facts = explain(write_series(tmp_path / "pet", EVEN, pixels, change))
    problems = {a["keyword"] for a in facts["attributes"] if a["problem"]}
    assert problems == {"PatientWeight", "PatientSize", "RadionuclideTotalDose"}
    assert (facts["suv"], facts["sul"], facts["factors"]) == (False, False, None)
    assert "Secret" not in str(facts)
    assert STUDY not in str(facts)


def test_a_whole_series_is_told_with_its_factors(tmp_path, pixels):
    facts = explain(write_series(tmp_path / "pet", EVEN, pixels, slopes=[1, 2, 3, 4, 5, 6]))
    values = {a["keyword"]: a["value"] for a in facts["attributes"]}
    assert not any(a["problem"] for a in facts["attributes"])
    assert values["RescaleSlope"] == "1 to 6"
    assert values["PatientSize"] == "1.7"
    assert facts["factors"]["factor_suv_bw"] == pytest.approx(FACTOR)
    assert (facts["suv"], facts["sul"], facts["problems"]) == (True, True, [])


def test_only_a_height_missing_leaves_body_weight_possible(tmp_path, pixels):
    facts = explain(write_series(tmp_path / "pet", EVEN, pixels, lambda ds, i: delattr(ds, "PatientSize")))
    assert (facts["suv"], facts["sul"]) == (True, False)
    assert [p["code"] for p in facts["problems"]] == ["pet-patient-size-missing"]
