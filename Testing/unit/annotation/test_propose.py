"""Proposals: fat AND uptake by a named criterion, and the refusals around them."""

import numpy as np
import pytest

from BATNetLib.annotation.propose import HU_ONLY, origin, propose, propose_hu_only
from BATNetLib.errors import InputRefused, UsageError
from BATNetLib.pet import Patient, load_criteria, resample_to_ct
from BATNetLib.volume import Grid, Volume

SHAPE = (6, 8, 10)
GRID = Grid.canonical(SHAPE, (3.0, 2.0, 2.0), (-9.0, 0.0, 100.0))
MAN = Patient(weight_kg=75.0, height_m=1.78, sex="M")


def scan(seed=0):
    """CT, fat and SUV of chance, in which all combinations occur."""
    rng = np.random.default_rng(seed)
    hu = rng.integers(-220, 60, SHAPE).astype(np.int16)
    fat = rng.integers(0, 2, SHAPE).astype(np.uint8)
    suv = rng.uniform(0.5, 3.0, SHAPE).astype(np.float32)
    suv[0, 0, :3] = 1.5  # exactly at a cut-off
    return Volume(hu, GRID), Volume(fat, GRID), Volume(suv, GRID)


@pytest.mark.parametrize("name", list(load_criteria()))
def test_a_proposal_is_fat_and_the_criterion_and_nothing_else(name):
    ct, fat, suv = scan()
    rule = load_criteria()[name]
    mask, ml, words = propose(ct, fat, suv, name, patient=MAN)
    hu_ok = np.ones(SHAPE, bool) if rule.hu is None else (ct.array >= rule.hu[0]) & (ct.array <= rule.hu[1])
    cutoff = np.float32(rule.cutoff_bw(MAN))
    hot = suv.array >= cutoff if rule.inclusive else suv.array > cutoff
    expected = (fat.array > 0) & hu_ok & hot
    assert 0 < expected.sum() < fat.array.sum()
    assert np.array_equal(mask.array, expected) and mask.array.dtype == np.uint8
    assert ml == pytest.approx(expected.sum() * 0.012)
    assert rule.title in words and f"{ml:.1f} mL" in words and "need not be brown fat" in words
    assert origin(name) == origin(rule) == f"proposal {name}"


def test_lean_mass_sets_the_cutoff_that_the_words_tell():
    ct, fat, suv = scan()
    man = propose(ct, fat, suv, "barcist", patient=MAN)
    woman = propose(ct, fat, suv, "barcist", patient=Patient(130.0, 1.62, "F"))
    assert "SUVbw 1.53 for this patient" in man.words and "SUVbw 2.70" in woman.words
    assert woman.ml < man.ml


def test_a_pet_on_its_own_grid_is_interpolated_as_for_the_criteria_masks():
    ct, fat, _ = scan()
    rng = np.random.default_rng(3)
    coarse = Grid.canonical((5, 5, 6), (4.0, 4.0, 4.0), (-9.0, 0.0, 100.0))
    suv = Volume(rng.uniform(0.5, 3.0, coarse.shape).astype(np.float32), coarse)
    direct = propose(ct, fat, suv, "batnet")
    before = propose(ct, fat, resample_to_ct(suv, ct), "batnet")
    assert np.array_equal(direct.mask.array, before.mask.array) and direct.ml > 0


def test_where_the_pet_does_not_reach_nothing_is_proposed_and_the_words_say_so():
    ct, fat, suv = scan()
    holes = suv.array.copy()
    holes[3:] = np.nan
    mask, _, words = propose(ct, fat, Volume(holes, GRID), "batnet")
    assert not mask.array[3:].any() and mask.array[:3].any()
    assert "The PET does not reach" in words


def test_nothing_found_is_said_as_nothing():
    ct, fat, suv = scan()
    mask, ml, words = propose(ct, fat, suv.with_array(suv.array * 0), "batnet")
    assert ml == 0 and not mask.array.any() and "nothing" in words


def test_without_a_pet_a_proposal_is_refused_and_the_other_choice_is_named():
    ct, fat, _ = scan()
    with pytest.raises(InputRefused) as refused:
        propose(ct, fat, None, "barcist", patient=MAN)
    assert refused.value.code == "propose-no-pet"
    assert "There is no PET" in refused.value.found and HU_ONLY in refused.value.remedy


@pytest.mark.parametrize("fat", [None, "empty"])
def test_without_fat_a_proposal_is_refused(fat):
    ct, mask, suv = scan()
    fat = None if fat is None else mask.with_array(mask.array * 0)
    for attempt in (lambda: propose(ct, fat, suv, "batnet"), lambda: propose_hu_only(ct, fat, (-100, -50))):
        with pytest.raises(InputRefused) as refused:
            attempt()
        assert refused.value.code == "propose-no-fat"


def test_what_is_missing_of_the_patient_is_named_and_never_guessed():
    ct, fat, suv = scan()
    with pytest.raises(InputRefused, match="PatientWeight"):
        propose(ct, fat, suv, "barcist")
    with pytest.raises(InputRefused, match="PatientSex"):
        propose(ct, fat, suv, "barcist", patient=Patient(75.0, 1.78))
    assert propose(ct, fat, suv, "batnet").ml > 0  # SUVbw needs nobody's weight


def test_an_unknown_criterion_and_another_grid_are_refused():
    ct, fat, suv = scan()
    with pytest.raises(UsageError, match="no criterion called 'bat'"):
        propose(ct, fat, suv, "bat")
    other = Volume(fat.array, Grid.canonical(SHAPE, (3.0, 2.0, 2.5)))
    with pytest.raises(InputRefused, match="The fat mask has"):
        propose(ct, other, suv, "batnet")


def test_a_pet_of_another_place_is_refused():
    ct, fat, suv = scan()
    far = Grid.canonical(SHAPE, (3.0, 2.0, 2.0), (900.0, 0.0, 0.0))
    with pytest.raises(InputRefused, match="do not overlap"):
        propose(ct, fat, Volume(suv.array, far), "batnet")


def test_hu_alone_is_a_choice_of_its_own_and_says_that_it_is_no_finding():
    ct, fat, _ = scan()
    mask, ml, words = propose_hu_only(ct, fat, (-80.0, -40.0))
    expected = (fat.array > 0) & (ct.array >= -80) & (ct.array <= -40)
    assert np.array_equal(mask.array, expected) and ml == pytest.approx(expected.sum() * 0.012)
    assert words.startswith(HU_ONLY) and "no finding" in words
    assert origin(None) == "proposal hu-only"
    with pytest.raises(UsageError, match="lower end must be below"):
        propose_hu_only(ct, fat, (-40.0, -80.0))
