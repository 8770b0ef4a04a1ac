"""Masks on disk: how they are found and paired, what is refused, and what a result folder holds."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest

from BATNetLib.errors import BATNetError
from BATNetLib.evaluation import MaskOptions, evaluate_adipose, save_masks
from BATNetLib.evaluation.adipose import CaseOverlap, MaskEvaluation
from BATNetLib.evaluation.overlap import Overlap
from BATNetLib.events import Events
from BATNetLib.volume import Grid, Segment, Volume, write_segmentation

SHAPE = (8, 12, 10)
FAT = (slice(2, 6), slice(3, 9), slice(2, 8))
QUICK = MaskOptions(resamples=100)


def mask(*boxes, value=1):
    array = np.zeros(SHAPE, np.uint8)
    for where in boxes or (FAT,):
        array[where] = value
    return array


def write(path, array, spacing=(3.0, 1.0, 1.0)):
    """A canonical array as NIfTI in the axes of most scanners."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    nib.save(nib.Nifti1Image(array[::-1].T.copy(), affine), path)
    return path


@pytest.fixture
def cohort(tmp_path):
    """Truth and prediction of four cases: equal, shifted, missed, empty in both."""
    shifted = mask((FAT[0], FAT[1], slice(3, 9)))
    pairs = {"a": (mask(), mask()), "b": (mask(), shifted), "c": (mask(), mask() * 0), "d": (mask() * 0,) * 2}
    for case_id, (truth, predicted) in pairs.items():
        write(tmp_path / "truth" / f"{case_id}.nii.gz", truth)
        write(tmp_path / "predicted" / case_id / "adipose.nii.gz", predicted)
    return tmp_path / "truth", tmp_path / "predicted"


def refusal(*arguments, **options):
    with pytest.raises(BATNetError) as caught:
        evaluate_adipose(*arguments, **options)
    return caught.value


def test_files_and_case_folders_are_paired_by_case_and_empty_ones_told_apart(cohort):
    events = Events()
    found = evaluate_adipose(*cohort, QUICK, events=events)
    assert "Only 4 patients" in events.warnings[-1]["text"]
    assert [case.case_id for case in found.cases] == ["a", "b", "c", "d"]
    assert found.counts() == {"both": 2, "both-empty": 1, "truth-empty": 0, "prediction-empty": 1}
    mean, _ = found.summary()["dice"]
    assert mean.n == 2 and mean.value == pytest.approx((1 + 2 * 120 / 288) / 2)
    assert found.summary()["hd95_mm"][0].value == pytest.approx(0.5)
    with_misses, _ = found.dice_with_misses()
    assert with_misses.n == 3 and with_misses.value == pytest.approx(mean.value * 2 / 3)


def test_the_result_folder_holds_table_summary_figures_and_report(cohort, tmp_path):
    found = evaluate_adipose(*cohort, QUICK)
    save_masks(found, tmp_path / "out", warnings=[])
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    # Two cases with both masks are too few for limits of agreement.
    assert names == ["metrics.csv", "raincloud.png", "report.html", "summary.json"]
    with (tmp_path / "out" / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["case_id"]: row for row in csv.DictReader(file)}
    assert rows["c"]["state"] == "prediction-empty" and rows["c"]["hd95_mm"] == ""
    assert float(rows["c"]["error_ml"]) == pytest.approx(-0.432) and rows["d"]["dice"] == ""
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert summary["apart"]["prediction-empty"] == ["c"] and summary["summary"]["dice"]["mean"]["n"] == 2
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Research use only" in page and "Tolerance here: 2 mm" in page and "HD95: for each" in page
    assert "<script" not in page and "http" not in page and str(tmp_path) not in page
    assert "nan" not in page.split("</style>")[1].split('src="data')[0].lower()


def test_a_cohort_of_empty_masks_is_reported_without_any_number_for_overlap(tmp_path):
    for side in ("truth", "predicted"):
        write(tmp_path / side / "a.nii.gz", mask() * 0)
    found = evaluate_adipose(tmp_path / "truth", tmp_path / "predicted", QUICK)
    summary = save_masks(found, tmp_path / "out", warnings=[])
    assert summary["summary"]["dice"]["mean"]["value"] is None and summary["agreement"] is None
    assert "raincloud" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_limits_of_agreement_are_those_of_bland_and_altman():
    """Lancet 1986;1:307: peak flow of 17 people by two meters, mean difference -2.1, SD 38.8 L/min."""
    first = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
    second = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
    cases = [
        CaseOverlap(
            str(n), str(n), Overlap("both", 1.0, 1.0, 0.0, truth_ml=b, predicted_ml=a), (1, 1, 1), None
        )
        for n, (a, b) in enumerate(zip(first, second, strict=True))
    ]
    found = MaskEvaluation(QUICK, cases, [], False).agreement()
    assert found["bias_ml"] == pytest.approx(-2.1, abs=0.05)
    assert (found["high_ml"] - found["bias_ml"]) / 1.96 == pytest.approx(38.8, abs=0.05)


def test_a_batch_is_compared_on_the_slices_it_looked_at(tmp_path):
    grid = Grid.canonical(SHAPE, (3.0, 1.0, 1.0), (0, 0, 21.0))
    truth, found = mask((slice(1, 8), FAT[1], FAT[2])), mask((slice(1, 5), FAT[1], FAT[2]))
    segment = Segment("fat", "Fat", (1, 1, 0))
    case = tmp_path / "study" / "cases" / "case-0001"
    case.mkdir(parents=True)
    write_segmentation(Volume(found, grid), case / "adipose.seg.nrrd", segments=[segment])
    (tmp_path / "truth").mkdir()
    write_segmentation(Volume(truth, grid), tmp_path / "truth" / "case-0001.seg.nrrd", segments=[segment])
    model = {"name": "demo-adipose", "sha256": "ab" * 32, "demonstration": True}
    facts = {"adipose": {"segmented_slices": [0, 5]}, "models": {"adipose": model}}
    (case / "analysis.json").write_text(json.dumps(facts), encoding="utf-8")
    above = evaluate_adipose(tmp_path / "truth", tmp_path / "study", QUICK)
    assert above.cases[0].overlap.dice == 1 and above.cases[0].slices == (0, 5)
    assert above.demonstration and list(above.models) == ["demo-adipose, SHA-256 abababababab"]
    facts = {"method": {"adipose": "hu-threshold"}}
    (case / "analysis.json").write_text(json.dumps(facts), encoding="utf-8")
    by_hu = evaluate_adipose(tmp_path / "truth", tmp_path / "study", QUICK)
    assert "HU threshold" in next(iter(by_hu.models)) and not by_hu.demonstration
    whole = evaluate_adipose(
        tmp_path / "truth", tmp_path / "study", MaskOptions(whole_scan=True, resamples=100)
    )
    assert whole.cases[0].overlap.dice == pytest.approx(2 * 4 / 11)
    save_masks(above, tmp_path / "out", warnings=[])
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "trained on phantoms" in page and "above the lung cut" in page


def test_names_are_found_through_the_key_and_stay_out_of_the_result(tmp_path):
    for name in ("Miller_Anna", "Doe_Jane"):
        write(tmp_path / "truth" / f"{name}.nii.gz", mask())
    write(tmp_path / "study" / "cases" / "case-0001" / "adipose.nii.gz", mask())
    key = tmp_path / "study-key.csv"
    key.write_text("case_id,name,source\ncase-0001,scans/Miller_Anna.nii.gz,/x/y.nii.gz\n", encoding="utf-8")
    options = MaskOptions(allow_missing=True, resamples=100)
    found = evaluate_adipose(tmp_path / "truth", tmp_path / "study", options, key=key)
    assert [case.case_id for case in found.cases] == ["case-0001"] and found.missing == ["unlisted-1"]
    save_masks(found, tmp_path / "out", warnings=[])
    for path in (tmp_path / "out").glob("*.[chj]*"):
        text = path.read_text(encoding="utf-8")
        assert "Miller" not in text and "Doe" not in text


def test_missing_predictions_are_named_and_counted(cohort):
    for name in ("b", "c"):
        (cohort[1] / name / "adipose.nii.gz").unlink()
    error = refusal(*cohort, QUICK)
    assert error.code == "predictions-missing" and error.exit_code == 3
    assert "2 cases of 4" in error.found and "b, c" in error.found
    events = Events()
    found = evaluate_adipose(*cohort, MaskOptions(allow_missing=True, resamples=100), events=events)
    assert found.missing == ["b", "c"] and len(found.cases) == 2
    assert "b, c" in events.warnings[0]["text"]


def test_predictions_without_a_truth_are_left_out_and_said(cohort):
    write(cohort[1] / "extra" / "adipose.nii.gz", mask())
    events = Events()
    assert len(evaluate_adipose(*cohort, QUICK, events=events).cases) == 4
    assert "extra" in events.warnings[0]["text"]


def test_a_mask_on_another_grid_is_refused_with_the_name_of_its_case(cohort):
    write(cohort[1] / "b" / "adipose.nii.gz", mask(), spacing=(3.0, 1.5, 1.0))
    error = refusal(*cohort, QUICK)
    assert error.code == "other-grid" and error.found.startswith("Case b: ") and "CT" not in error.found


def test_a_label_map_needs_the_value_that_is_fat(cohort):
    several = mask() + mask((slice(0, 1), slice(0, 2), slice(0, 2)), value=7)
    write(cohort[0] / "a.nii.gz", several)
    error = refusal(*cohort, QUICK)
    assert error.code == "mask-values" and "Case a" in error.found and "--label" in error.remedy
    found = evaluate_adipose(*cohort, MaskOptions(label=1, resamples=100))
    assert found.cases[0].overlap.dice == 1


def test_two_masks_of_one_case_are_refused(cohort):
    write(cohort[0] / "a" / "fat_mask.nii.gz", mask())
    assert refusal(*cohort, QUICK).code == "duplicate-case-id"


@pytest.mark.parametrize(("content", "code"), [("", "no-masks"), (None, "source-missing")])
def test_a_source_without_masks_is_refused(cohort, tmp_path, content, code):
    if content is not None:
        (tmp_path / "nothing").mkdir()
    assert refusal(tmp_path / "nothing", cohort[1], QUICK).code == code


def test_other_ids_than_those_of_the_truth_lead_to_the_key(cohort, tmp_path):
    write(tmp_path / "other" / "case-0001.nii.gz", mask())
    error = refusal(cohort[0], tmp_path / "other", QUICK)
    assert error.code == "no-common-cases" and "--key" in error.remedy


def test_a_table_names_masks_and_patients(cohort, tmp_path):
    table = tmp_path / "truth.csv"
    rows = "".join(f"{c};truth/{c}.nii.gz;P{n // 2}\n" for n, c in enumerate("abcd"))
    table.write_text("case_id;mask;patient\n" + rows, encoding="utf-8-sig")
    found = evaluate_adipose(table, cohort[1], QUICK)
    assert found.patients_given and {case.patient for case in found.cases} == {"P0", "P1"}
    table.write_text("case_id;mask\na;truth/a.nii.gz\nb;gone.nii.gz\n", encoding="utf-8")
    error = refusal(table, cohort[1], QUICK)
    assert error.code == "mask-missing" and error.found.endswith("b.")


def test_patients_of_some_cases_only_are_refused(cohort, tmp_path):
    patients = tmp_path / "patients.csv"
    patients.write_text("case_id,patient\na,P1\nb,P1\n", encoding="utf-8")
    error = refusal(*cohort, QUICK, patients=patients)
    assert error.code == "patients-missing" and "c, d" in error.found


def test_a_tolerance_that_means_nothing_is_refused(cohort):
    assert refusal(*cohort, MaskOptions(tolerance_mm=0)).code == "tolerance"
