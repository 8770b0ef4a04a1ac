"""What one analysis does, refuses and calls not assessable."""

import numpy as np
import pytest
from analysis_cases import OVERRIDES, brown_model, make_models, quick
from scipy import ndimage

from BATNetLib.analysis import (
    STAGES,
    AnalysisOptions,
    CaseInputs,
    ModelCache,
    analyze,
    analyze_files,
    analyze_inputs,
)
from BATNetLib.analysis.pipeline import predictive_values
from BATNetLib.errors import Cancelled, InputRefused, NoModel, UsageError
from BATNetLib.events import Events
from BATNetLib.volume import Grid, Volume


class Recorded(Events):
    """Keeps stage names in order, and cancels when a stage begins."""

    def __init__(self, cancel_at=None):
        super().__init__()
        self.told, self.cancel_at = [], cancel_at

    def on_stage(self, stage, finished):
        self.told.append((stage.name, finished))
        if stage.name == self.cancel_at:
            self.cancel()


def only_brown():
    cache = ModelCache()
    cache.put("batnet", "brown", brown_model())
    return cache


def without_lungs(phantom):
    """The phantom with its lungs filled with muscle."""
    near = ndimage.binary_dilation(phantom.lungs.array > 0)
    return phantom.ct.with_array(np.where(near & (phantom.ct.array < -100), np.int16(50), phantom.ct.array))


def test_a_phantom_is_assessed_with_32_patches_and_their_fat(phantom, models, options):
    result = analyze(phantom.ct, phantom.lungs, options=options, models=models)
    assert result.assessed and 0 < result.probability < 1
    assert len(result.patches) == 32
    assert sum(p.adipose_ml for p in result.patches) == pytest.approx(result.adipose_facts.volume_ml, rel=0.1)
    assert result.adipose_facts.volume_ml == pytest.approx(
        result.adipose.array[: result.lungs.cut].sum() * phantom.ct.voxel_ml
    )
    assert set(result.models) == {"brown"}, "the threshold method uses no model for the mask"


def test_no_millilitres_are_invented_where_the_file_does_not_say_how_large_a_voxel_is(
    phantom, models, options
):
    def without_spacing(volume):
        return Volume(volume.array, volume.grid, facts={"spacing_unknown": True})

    ct, lungs = without_spacing(phantom.ct), without_spacing(phantom.lungs)
    result = analyze(ct, lungs, options=options, models=models)
    assert result.assessed, result.reasons
    assert result.adipose_facts.volume_ml is None
    assert {p.adipose_ml for p in result.patches} == {None}
    assert result.preflight.of("spacing-unknown") and not result.preflight.of("adipose-volume")
    known = analyze(phantom.ct, phantom.lungs, options=options, models=models)
    assert result.adipose_facts.mean_hu == pytest.approx(known.adipose_facts.mean_hu)


def test_nothing_is_segmented_below_the_cut(phantom, models):
    for method in ("hu-threshold", "network"):
        result = analyze(phantom.ct, phantom.lungs, options=quick(method=method), models=models)
        assert not result.adipose.array[result.lungs.cut :].any()
        assert result.adipose_facts.slices == (0, result.lungs.cut)


def test_stages_are_told_under_their_stable_names_in_order(scan, models, tmp_path):
    events = Recorded()
    inputs = CaseInputs(ct=scan / "Mustermann.nii.gz")
    options = quick(method="network", attention_stage="stage1", report=True)
    analyze_files(inputs, tmp_path / "out", options, models, events)
    names = [name for name, _ in events.told]
    assert set(names) == set(STAGES)
    ended = list(dict.fromkeys(name for name, finished in events.told if finished))
    assert ended == ["read", "lungs", "preflight", "adipose", "patches", "classify", "attention", "write"]
    assert set(events.seconds) == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_cancelling_in_any_stage_leaves_nothing(stage, scan, models, tmp_path):
    events = Recorded(cancel_at=stage)
    options = quick(method="network", attention_stage="stage2", report=True)
    with pytest.raises(Cancelled):
        analyze_files(CaseInputs(ct=scan / "Mustermann.nii.gz"), tmp_path / "out", options, models, events)
    assert list(tmp_path.iterdir()) == []
    order = ["read", "lungs", "preflight", "adipose", "patches", "classify", "attention", "write"]
    begun = {name for name, _ in events.told}
    assert begun == set(order[: order.index(stage) + 1]), "nothing begins after the wish to stop"


def test_the_sides_are_the_patients(phantom, models):
    """The phantom's brown fat lies on the patient's left only: at high columns, LPS x > 0."""
    brown = phantom.brown.array > 0
    assert phantom.ct.grid.points(np.argwhere(brown))[:, 0].mean() > 20
    result = analyze(phantom.ct, phantom.lungs, adipose=phantom.adipose, options=quick(), models=models)
    share = {"right": 0, "left": 0}
    for patch, facts in zip(result.patches, result.as_dict()["patches"], strict=True):
        partner = result.as_dict()["patches"][facts["partner"]]
        left, right = (facts, partner) if facts["side"] == "left" else (partner, facts)
        assert left["box"]["centre"][0] > right["box"]["centre"][0]
        share[patch.place.side] += int(brown[patch.box.slices].sum())
    # The body leans a little, so a few voxels beside its midline fall to the other side of the box's.
    assert share["left"] > 20 * share["right"] and share["left"] > 50


def test_a_given_mask_replaces_stage_one_and_needs_no_model_for_it(phantom):
    result = analyze(
        phantom.ct,
        phantom.lungs,
        adipose=phantom.adipose,
        options=quick(method="network"),
        models=only_brown(),
    )
    assert result.assessed and result.method == "given"
    np.testing.assert_array_equal(result.adipose.array, phantom.adipose.array)
    assert result.as_dict()["method"] == {"adipose": "given", "hu_range": None}


def test_a_one_sided_mask_blocks_and_an_override_is_recorded(phantom, models):
    array = phantom.adipose.array.copy()
    array[:, :, : array.shape[2] // 2] = 0
    left_only = phantom.adipose.with_array(array)
    result = analyze(phantom.ct, phantom.lungs, adipose=left_only, options=quick(), models=models)
    assert result.outcome == "not-assessable" and result.probability is None
    assert [reason.code for reason in result.reasons] == ["adipose-one-sided"]
    reason = "the right arm was amputated"
    options = quick(overrides={**OVERRIDES, "adipose-one-sided": reason})
    result = analyze(phantom.ct, phantom.lungs, adipose=left_only, options=options, models=models)
    assert result.assessed
    assert {"code": "adipose-one-sided", "reason": reason} in result.as_dict()["overrides"]
    # All fat lies on the patient's left, so both halves of its box do.
    assert all(patch["box"]["min"][0] > -30 for patch in result.as_dict()["patches"])


def test_a_scan_without_lungs_is_not_assessable_and_has_no_number(phantom, models, options):
    result = analyze(without_lungs(phantom), options=options, models=models)
    assert result.outcome == "not-assessable"
    assert "no-lungs" in [reason.code for reason in result.reasons]
    facts = result.as_dict()
    assert facts["case"]["probability"] is None and facts["patches"] == [] and facts["adipose"] is None
    assert all(reason["text"] and reason["advice"] for reason in facts["case"]["reasons"])


def test_a_scan_without_fat_is_not_assessable(phantom, models, options):
    lean = phantom.ct.with_array(
        np.where((phantom.ct.array > -250) & (phantom.ct.array < 0), np.int16(40), phantom.ct.array)
    )
    result = analyze(lean, phantom.lungs, options=options, models=models)
    assert result.outcome == "not-assessable" and result.probability is None
    assert result.reasons


def test_a_sliver_of_fat_is_not_assessable(phantom, models):
    sliver = np.zeros_like(phantom.adipose.array)
    sliver[10:12, 30:34, 40:44] = 1
    options = quick(overrides={**OVERRIDES, "adipose-one-sided": "test", "adipose-empty": "test"})
    result = analyze(
        phantom.ct, phantom.lungs, adipose=phantom.adipose.with_array(sliver), options=options, models=models
    )
    assert result.outcome == "not-assessable"
    assert [reason.code for reason in result.reasons] == ["box-too-thin"]


def test_an_image_that_is_not_in_hu_is_not_assessable(phantom, models, options):
    grey = phantom.ct.with_array((np.clip(phantom.ct.array, -1000, 1000) + 1000).astype(np.int16))
    result = analyze(grey, options=options, models=models)
    assert result.outcome == "not-assessable" and result.probability is None


def shifted(volume):
    affine = volume.grid.affine.copy()
    affine[0, 3] += 5
    return Volume(volume.array, Grid(volume.grid.shape, affine))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda mask: mask.with_array(np.zeros_like(mask.array)), "mask-empty"),
        (
            lambda mask: mask.with_array(
                mask.array + (mask.array > 0) * (np.arange(96) % 2).astype(np.uint8)
            ),
            "mask-values",
        ),
        (lambda mask: mask.with_array(mask.array.astype(np.float32) * 0.5 + 0.1), "mask-values"),
        (shifted, "other-grid"),
    ],
)
def test_a_wrong_adipose_mask_is_refused_before_anything_long(change, code, phantom, models, options):
    events = Recorded()
    with pytest.raises(InputRefused) as refusal:
        analyze(phantom.ct, adipose=change(phantom.adipose), options=options, models=models, events=events)
    assert refusal.value.code == code
    assert events.told == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda mask: mask.with_array(np.zeros_like(mask.array)), "mask-empty"),
        (shifted, "other-grid"),
        (
            lambda mask: mask.with_array((np.arange(96) % 2).astype(np.uint8) * np.ones_like(mask.array)),
            "lungs-",
        ),
    ],
)
def test_a_wrong_lung_mask_is_refused(change, code, phantom, models, options):
    with pytest.raises(InputRefused) as refusal:
        analyze(phantom.ct, change(phantom.lungs), options=options, models=models)
    assert refusal.value.code.startswith(code)


def test_a_missing_file_a_mask_of_another_scan_and_a_pet_are_refused_without_a_folder(
    scan, phantom, models, options, tmp_path
):
    from BATNetLib.volume import write_volume

    cropped = Volume(phantom.adipose.array[2:], Grid((25, 80, 96), phantom.adipose.grid.affine @ np.eye(4)))
    other = write_volume(cropped, tmp_path / "other.nii.gz")
    ct = scan / "Mustermann.nii.gz"
    for inputs, code in (
        (CaseInputs(ct=scan / "gone.nii.gz"), "missing"),
        (CaseInputs(ct=ct, adipose=other), "other-grid"),
        (CaseInputs(ct=ct, lungs=other), "other-grid"),
        (CaseInputs(ct=ct, pet=scan / "pet.nii.gz"), "pet-not-yet"),
    ):
        with pytest.raises(InputRefused) as refusal:
            analyze_files(inputs, tmp_path / "out", options, models)
        assert refusal.value.code == code
        assert sorted(p.name for p in tmp_path.iterdir()) == ["other.nii.gz"]


def test_an_unknown_model_is_told_before_the_scan_is_looked_at(phantom, options):
    events = Recorded()
    with pytest.raises(NoModel):
        analyze(phantom.ct, options=quick(brown_model="no-such-model"), models=ModelCache(), events=events)
    assert {name for name, _ in events.told} <= {"read"}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"method": "guess"}, "unknown-method"),
        ({"attention_stage": "stage9"}, "unknown-attention-stage"),
        ({"hu_range": (-30, -190)}, "hu-range"),
        ({"batch": 0}, "batch"),
        ({"prevalence": 5}, "prevalence"),
        ({"overrides": {"no-lungs": "  "}}, "override-without-reason"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_words(fields, code):
    with pytest.raises(UsageError) as refusal:
        AnalysisOptions(**fields)
    assert refusal.value.code == code


def test_options_survive_the_way_through_json():
    import json

    options = AnalysisOptions(
        hu_range=(-180, -40), overrides={"b": "x", "a": "y"}, limits={"slice_mm_warn": 3}
    )
    plain = json.loads(json.dumps(options.as_dict()))
    assert AnalysisOptions(**{**plain, "hu_range": tuple(plain["hu_range"])}).as_dict() == options.as_dict()


def test_the_warnings_of_one_case_stay_out_of_the_next(phantom, models, options):
    events = Events()
    one_lung = phantom.lungs.with_array((phantom.lungs.array == 1).astype(np.uint8))
    first = analyze(
        phantom.ct,
        one_lung,
        options=quick(overrides={**OVERRIDES, "one-lung": "x"}),
        models=models,
        events=events,
    )
    again = analyze(
        phantom.ct,
        one_lung,
        options=quick(overrides={**OVERRIDES, "one-lung": "x"}),
        models=models,
        events=events,
    )
    clean = analyze(phantom.ct, phantom.lungs, options=options, models=models, events=events)
    assert "one-lung" in [w["code"] for w in first.warnings]
    assert again.warnings == first.warnings, "said to the run once, but kept for every case"
    assert clean.warnings == []


POINT = {"threshold": 0.3, "cohort": "Test cohort 2024", "sensitivity": 0.82, "specificity": 0.82, "n": 100}


def test_there_is_a_yes_or_no_only_with_an_operating_point(phantom, models, options):
    assert analyze(phantom.ct, phantom.lungs, options=options, models=models).decision is None
    for threshold, positive in ((0.0, True), (1.0, False)):
        loaded = make_models(phantom.ct, operating_points=[{**POINT, "threshold": threshold}])
        result = analyze(phantom.ct, phantom.lungs, options=quick(prevalence=0.25), models=loaded)
        case = result.as_dict()["case"]
        assert case["decision"]["positive"] is positive
        assert case["operating_point"] == {**POINT, "threshold": threshold}
        assert case["decision"]["predictive_values"]["positive"] == pytest.approx(0.6, abs=0.005)


def test_an_operating_point_that_the_model_does_not_have_is_refused(phantom, models):
    with pytest.raises(UsageError) as refusal:
        analyze(phantom.ct, phantom.lungs, options=quick(operating_point="elsewhere"), models=models)
    assert refusal.value.code == "unknown-operating-point"


def test_predictive_values_follow_bayes():
    at_5, at_25 = (predictive_values(0.82, 0.82, share)["positive"] for share in (0.05, 0.25))
    assert (round(at_5, 2), round(at_25, 2)) == (0.19, 0.60)
    assert predictive_values(1.0, 1.0, 0.5)["negative"] == 1.0
    assert predictive_values(0.0, 1.0, 0.5)["positive"] is None


def test_pet_gives_the_uptake_of_the_fat_of_each_patch(phantom, models, options):
    """On an SUV that is a plane in space, linear interpolation is exact, so the mean can be computed."""
    shape = (20, 40, 50)
    affine = phantom.ct.grid.affine.copy()
    extent = np.array(phantom.ct.grid.shape)
    affine[:3, :3] *= (extent - 1) / (np.array(shape) - 1)
    grid = Grid(shape, affine)
    points = grid.points(np.argwhere(np.ones(shape)))
    pet = Volume((2 + points @ [0.003, 0.001, 0.002]).reshape(shape).astype(np.float32), grid)
    plain = analyze(phantom.ct, phantom.lungs, options=options, models=models)
    result = analyze(phantom.ct, phantom.lungs, pet, options=options, models=models)
    assert result.probability == plain.probability
    for patch in result.patches:
        inside = np.zeros(phantom.ct.grid.shape, bool)
        inside[patch.box.slices] = result.adipose.array[patch.box.slices] > 0
        if not inside.any():
            assert patch.pet is None
            continue
        suv = 2 + phantom.ct.grid.points(np.argwhere(inside)) @ [0.003, 0.001, 0.002]
        assert patch.pet["suv_mean"] == pytest.approx(suv.mean(), abs=1e-3)
        assert patch.pet["suv_max"] == pytest.approx(suv.max(), abs=1e-3)
        assert patch.pet["covered"] == 1.0


def test_a_pet_that_lies_elsewhere_gives_no_uptake(phantom, models, options):
    affine = phantom.ct.grid.affine.copy()
    affine[2, 3] += 5000
    pet = Volume(np.ones(phantom.ct.grid.shape, np.float32), Grid(phantom.ct.grid.shape, affine))
    result = analyze(phantom.ct, phantom.lungs, pet, options=options, models=models)
    assert all(patch.pet is None for patch in result.patches)


def test_voxels_without_a_pet_value_do_not_count(phantom, models, options):
    """Resampled PET files hold NaN where the scanner saw nothing."""
    suv = np.full(phantom.ct.grid.shape, 2.5, np.float32)
    suv[:, :, : suv.shape[2] // 2] = np.nan
    pet = Volume(suv, phantom.ct.grid)
    result = analyze(phantom.ct, phantom.lungs, pet, options=options, models=models)
    seen = [patch.pet for patch in result.patches if patch.pet is not None]
    assert 0 < len(seen) < 32
    assert all(pet["suv_mean"] == pet["suv_max"] == 2.5 and 0 < pet["covered"] <= 1 for pet in seen)


def test_a_model_is_loaded_once_for_all_cases(phantom, options, monkeypatch):
    import BATNetLib.models.loading as loading

    asked = []
    monkeypatch.setattr(
        loading, "load_model", lambda name, stage, events: asked.append(name) or brown_model()
    )
    cache = ModelCache()
    for _ in range(3):
        analyze(phantom.ct, phantom.lungs, options=options, models=cache)
    assert asked == ["batnet"]


def test_reading_and_analysing_without_writing_gives_the_same(scan, phantom, models, options):
    inputs = CaseInputs(ct=scan / "Mustermann.nii.gz", lungs=scan / "Mustermann-lungs.nii.gz")
    from_files = analyze_inputs(inputs, options, models)
    assert (
        from_files.probability
        == analyze(phantom.ct, phantom.lungs, options=options, models=models).probability
    )
