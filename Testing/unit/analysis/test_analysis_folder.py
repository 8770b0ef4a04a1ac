"""The analysis folder: what is in it, that it agrees with itself, and that it appears whole or not at all."""

import csv
import errno
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from analysis_cases import file_array, make_models, passport_of, quick
from schema_check import problems

from BATNetLib.analysis import CaseInputs, analyze, analyze_files, case_inputs, save_analysis
from BATNetLib.errors import OutputRefused, UsageError
from BATNetLib.events import Events
from BATNetLib.volume import read_mask, read_volume

SCHEMA = Path(__file__).resolve().parents[3] / "Resources" / "schemas" / "analysis.schema.json"
FILES = [
    "adipose.seg.nrrd", "analysis.json", "attention.nii.gz", "patch_probability.nii.gz", "patches.csv",
    "preview.png", "report.html",
]  # fmt: skip


@pytest.fixture(scope="module")
def result(phantom, models):
    return analyze(phantom.ct, phantom.lungs, options=quick(attention_stage="stage2"), models=models)


def inputs_of(scan):
    return CaseInputs(ct=scan / "Mustermann.nii.gz", lungs=scan / "Mustermann-lungs.nii.gz")


def schema():
    return json.loads(SCHEMA.read_text(encoding="utf-8"))


# --- what is in it


def test_the_folder_holds_what_it_says(finished, facts):
    assert sorted(p.name for p in finished.iterdir()) == FILES == facts["files"]


def test_the_passport_fits_its_schema(facts):
    assert problems(facts, schema()) == []


def test_the_passport_of_a_scan_that_is_not_assessable_fits_it_too(phantom, models, options):
    noise = np.random.default_rng(0).integers(-1000, 1000, phantom.ct.array.shape).astype(np.int16)
    refused = analyze(phantom.ct.with_array(noise), options=options, models=models)
    assert not refused.assessed
    assert problems(refused.as_dict(), schema()) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda f: f["case"].update(probability=1.2), "probability"),
        (lambda f: f["case"].pop("outcome"), "outcome"),
        (lambda f: f["patches"][3].update(side="low"), "side"),
        (lambda f: f["model"].update(sha256="xyz"), "model"),
        (lambda f: f.update(extra=1), "extra"),
        (lambda f: f["patches"][0]["box"]["min"].append(0.0), "min"),
    ],
)
def test_the_schema_notices_what_is_wrong(change, word, facts):
    wrong = json.loads(json.dumps(facts))
    change(wrong)
    assert any(word in problem for problem in problems(wrong, schema()))


def test_nothing_in_the_folder_names_the_patient_or_a_path(finished, scan):
    for path in finished.iterdir():
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = bytes(nib.load(path).header.binaryblock)
        for word in ("Mustermann", "Erika", str(scan), str(Path.home()), "/tmp/"):
            assert word.encode() not in content, f"{word} in {path.name}"
    text = (finished / "analysis.json").read_text(encoding="utf-8")
    assert "NaN" not in text and "Infinity" not in text
    assert not re.search(r'"(/|[A-Za-z]:\\\\)', text), "an absolute path"


def test_names_of_files_are_kept_when_asked_and_models_never_with_their_folder(
    scan, phantom, models, tmp_path
):
    models.put(str(tmp_path / "secret" / "mine.safetensors"), "brown", models.get("batnet", "brown"))
    options = quick(
        keep_names=True, pseudonym="case-7", brown_model=str(tmp_path / "secret" / "mine.safetensors")
    )
    found = passport_of(analyze_files(inputs_of(scan), tmp_path / "out", options, models))
    assert found["inputs"]["ct"]["name"] == "Mustermann.nii.gz"
    assert found["case"]["id"] == "case-7"
    assert found["options"]["brown_model"] == "mine.safetensors"
    assert "secret" not in json.dumps(found)


def test_every_output_of_a_demonstration_model_says_so(finished, facts):
    assert "trained on phantoms" in facts["demonstration"] and facts["model"]["demonstration"] is True
    assert "demonstration-model" in [warning["code"] for warning in facts["warnings"]]
    assert "trained on phantoms" in (finished / "report.html").read_text(encoding="utf-8")
    assert "trained on phantoms" in (finished / "patches.csv").read_text(encoding="utf-8").splitlines()[1]
    for name in ("patch_probability.nii.gz", "attention.nii.gz"):
        assert b"trained on phantoms" in nib.load(finished / name).header["descrip"].tobytes()


def test_every_output_says_that_the_mask_is_by_threshold(finished, facts):
    assert facts["method"]["adipose"] == "hu-threshold"
    assert "HU threshold" in (finished / "report.html").read_text(encoding="utf-8")
    for row in csv.DictReader((finished / "patches.csv").open(encoding="utf-8")):
        assert "HU threshold" in row["note"]
    for name in ("patch_probability.nii.gz", "attention.nii.gz"):
        assert b"HU threshold" in nib.load(finished / name).header["descrip"].tobytes()
    image = sitk.ReadImage(str(finished / "adipose.seg.nrrd"))
    assert "BATNet.Method:hu-threshold" in image.GetMetaData("Segment0_Tags")


def test_a_mask_by_the_network_is_not_said_to_be_by_threshold(phantom, tmp_path):
    options = quick(method="network", attention_stage="stage2", report=True)
    folder = analyze(phantom.ct, phantom.lungs, options=options, models=make_models(phantom.ct)).save(
        tmp_path / "out"
    )
    for file in folder.iterdir():
        assert b"HU threshold" not in file.read_bytes(), file.name
    for name in ("patch_probability.nii.gz", "attention.nii.gz"):
        assert b"threshold" not in nib.load(folder / name).header["descrip"].tobytes()


def test_a_mask_of_a_demonstration_model_says_so_too(phantom, tmp_path):
    models = make_models(phantom.ct)
    stage1 = models.get("batnet", "adipose")
    demo = replace(stage1, entry=replace(stage1.entry, demonstration=True))
    models.put("batnet", "adipose", demo)
    result = analyze(phantom.ct, phantom.lungs, options=quick(method="network"), models=models)
    folder = result.save(tmp_path / "out")
    image = sitk.ReadImage(str(folder / "adipose.seg.nrrd"))
    assert "trained on phantoms" in image.GetMetaData("Segment0_Name")


# --- that it agrees with itself


def test_mask_and_maps_lie_on_the_grid_of_the_input(finished, facts, scan):
    source = nib.load(scan / "Mustermann.nii.gz")
    for name in ("patch_probability.nii.gz", "attention.nii.gz"):
        image = nib.load(finished / name)
        assert image.shape == source.shape
        np.testing.assert_allclose(image.affine, source.affine, atol=1e-4)
        values = image.get_fdata()
        assert values.min() >= 0 and values.max() <= 1
    ct = read_volume(scan / "Mustermann.nii.gz")
    mask = read_mask(finished / "adipose.seg.nrrd", ct, name="adipose mask")
    cut = facts["lungs"]["cut_slice"]
    assert facts["adipose"]["volume_ml"] == pytest.approx(mask.array[:cut].sum() * ct.voxel_ml, rel=1e-4)


def test_the_patch_map_holds_the_probabilities_and_is_zero_outside(finished, facts):
    values = nib.load(finished / "patch_probability.nii.gz").get_fdata()
    outside = np.ones(values.shape, bool)
    for patch in facts["patches"]:
        box = patch["box_input_voxels"]
        where = tuple(slice(a, b) for a, b in zip(box["start"], box["end"], strict=True))
        np.testing.assert_allclose(values[where], patch["probability"], atol=6e-5)
        outside[where] = False
    assert not values[outside].any()


def test_boxes_in_millimetres_enclose_their_voxels(facts, scan):
    affine = np.diag([-1, -1, 1, 1]) @ nib.load(scan / "Mustermann.nii.gz").affine
    for patch in facts["patches"]:
        start, end = (np.array(patch["box_input_voxels"][key], float) for key in ("start", "end"))
        corners = np.array([affine[:3, :3] @ c + affine[:3, 3] for c in (start - 0.5, end - 0.5)])
        np.testing.assert_allclose(corners.min(0), patch["box"]["min"], atol=0.01)
        np.testing.assert_allclose(corners.max(0), patch["box"]["max"], atol=0.01)
        np.testing.assert_allclose(
            np.mean(patch["box"]["corners"], axis=0), patch["box"]["centre"], atol=0.01
        )


def test_places_are_named_by_the_patient(facts):
    patches = facts["patches"]
    assert [p["index"] for p in patches] == list(range(32))
    for patch in patches:
        partner = patches[patch["partner"]]
        assert partner["partner"] == patch["index"] and partner["place"] == patch["place"]
        assert {patch["side"], partner["side"]} == {"right", "left"}
    centre = {(p["side"], p["level"], p["depth"], p["lateral"]): p["box"]["centre"] for p in patches}
    assert len(centre) == 32
    for level in ("upper", "lower"):
        for depth in ("anterior", "posterior"):
            row = [centre["right", level, depth, n][0] for n in (1, 2, 3, 4)]
            row += [centre["left", level, depth, n][0] for n in (4, 3, 2, 1)]
            assert row == sorted(row), "from the patient's right to left, x grows"
    assert centre["right", "upper", "anterior", 1][2] > centre["right", "lower", "anterior", 1][2]
    assert centre["right", "upper", "anterior", 1][1] < centre["right", "upper", "posterior", 1][1]


def test_the_cut_in_millimetres_lies_between_the_slices(facts, phantom):
    cut = facts["lungs"]["cut_slice"]
    above, below = (phantom.ct.grid.points(np.array([[n, 0, 0]]))[0][2] for n in (cut - 1, cut))
    assert facts["lungs"]["cut_lps_mm"][2] == pytest.approx((above + below) / 2, abs=0.01)


def test_the_table_has_both_patches_of_a_pair_together(finished, facts):
    with (finished / "patches.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["side"] for row in rows] == ["right", "left"] * 16
    for row in rows:
        patch = facts["patches"][int(row["patch"])]
        assert float(row["probability"]) == pytest.approx(patch["probability"], abs=1e-6)
        right, left = (facts["patches"][n]["probability"] for n in sorted((patch["index"], patch["partner"])))
        assert float(row["difference_right_minus_left"]) == pytest.approx(right - left, abs=2e-6)
        assert float(row["lps_max_z"]) == patch["box"]["max"][2]


def test_attention_states_its_true_resolution(facts, phantom):
    attention = facts["attention"]
    assert attention["cells_per_patch_edge"] == 4
    edges = np.array([p["box"]["size"] for p in facts["patches"]]) / 4
    np.testing.assert_allclose(attention["resolution_mm"]["min"], edges.min(0), atol=0.01)
    np.testing.assert_allclose(attention["resolution_mm"]["max"], edges.max(0), atol=0.01)


def test_an_oblique_scan_gets_its_results_on_its_own_grid(phantom, models, tmp_path):
    angle = np.radians(8)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    array, affine = file_array(phantom.ct, (2, 1, 0), (True, False, False))
    affine[:3, :] = turn @ affine[:3, :]
    nib.save(nib.Nifti1Image(array, np.diag([-1, -1, 1, 1]) @ affine), tmp_path / "ct.nii.gz")
    options = quick(overrides=dict.fromkeys(("large-pixels", "rolled", "body-cut"), "turned"))
    events = Events()
    out = analyze_files(CaseInputs(ct=tmp_path / "ct.nii.gz"), tmp_path / "out", options, models, events)
    found = passport_of(out)
    assert found["case"]["outcome"] == "assessed", found["case"]["reasons"]
    assert "resampled-oblique" in [w["code"] for w in found["warnings"]]
    assert found["patches"][0]["box_input_voxels"] is None
    image = nib.load(out / "patch_probability.nii.gz")
    assert image.shape == array.shape
    # Cells are not smoothed: only the 32 values and 0 occur.
    levels = np.array([p["probability"] for p in found["patches"]] + [0.0])
    values = np.unique(image.get_fdata())
    assert len(values) > 5 and np.abs(values[:, None] - levels).min(axis=1).max() < 6e-5
    image = sitk.ReadImage(str(out / "adipose.seg.nrrd"))
    assert image.GetSize() == array.shape
    np.testing.assert_allclose(np.array(image.GetDirection()).reshape(3, 3)[:2, :2], turn[:2, :2], atol=1e-3)


# --- where it goes


def test_an_existing_folder_is_replaced_only_when_asked_and_only_an_analysis(result, tmp_path):
    out = tmp_path / "out"
    save_analysis(result, out)
    with pytest.raises(UsageError) as refusal:
        save_analysis(result, out)
    assert refusal.value.code == "output-exists"
    (out / "left-over.txt").write_text("old")
    save_analysis(result, out, replace=True)
    assert not (out / "left-over.txt").exists() and (out / "analysis.json").exists()
    holiday = tmp_path / "holiday"
    holiday.mkdir()
    (holiday / "photo.jpg").write_text("precious")
    with pytest.raises(UsageError) as refusal:
        save_analysis(result, holiday, replace=True)
    assert refusal.value.code == "not-an-analysis"
    assert (holiday / "photo.jpg").read_text() == "precious"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert (save_analysis(result, empty, replace=True) / "analysis.json").exists()


def test_nothing_is_written_into_a_case_folder(phantom, models, options, tmp_path):
    from BATNetLib.volume import write_volume

    case = tmp_path / "case-1"
    case.mkdir()
    write_volume(phantom.ct, case / "image.nii.gz")
    write_volume(phantom.lungs, case / "lobe.nii.gz")
    before = sorted((p.name, p.stat().st_mtime_ns) for p in case.iterdir())
    inputs = case_inputs(case)
    assert (inputs.ct.name, inputs.lungs.name, inputs.adipose) == ("image.nii.gz", "lobe.nii.gz", None)
    with pytest.raises(UsageError) as refusal:
        analyze_files(inputs, case / "result", options, models)
    assert refusal.value.code == "output-in-input"
    found = passport_of(analyze_files(inputs, tmp_path / "result", options, models))
    assert found["lungs"]["origin"] == "given"
    assert sorted((p.name, p.stat().st_mtime_ns) for p in case.iterdir()) == before


@pytest.mark.parametrize("file", FILES)
def test_a_full_disk_at_any_file_leaves_nothing(file, result, tmp_path, monkeypatch):
    """The disk fills up when the file is opened for writing, whichever library writes it."""
    result.options.__dict__["report"] = True
    folder = tmp_path / "results"

    def guard(event, arguments):
        if event == "open" and armed and isinstance(arguments[0], str) and str(folder) in arguments[0]:
            writing = arguments[2] is not None and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writing and _opened(arguments[0]) == file:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _opened(path):
        name = Path(path).name
        return name.split("-", 2)[2] if name.startswith(".partial-") else name

    armed = True
    sys.addaudithook(guard)
    try:
        with pytest.raises(OutputRefused) as refusal:
            save_analysis(result, folder / "out")
    finally:
        armed = False
    assert refusal.value.code == "disk-full"
    assert list(folder.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_before_the_scan_is_read(scan, models, options, tmp_path):
    (tmp_path / "file").write_text("no folder")
    events = Events()
    with pytest.raises(OutputRefused):
        analyze_files(inputs_of(scan), tmp_path / "file" / "out", options, models, events)
    assert events.seconds == {}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


# --- with packages missing


def hide(monkeypatch, *modules):
    for module in modules:
        for name in [n for n in sys.modules if n == module or n.startswith(f"{module}.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.parametrize(
    ("modules", "missing", "codes"),
    [
        (["jinja2"], ["report.html"], ["jinja2-missing"]),
        (["PIL"], ["preview.png"], ["pillow-missing"]),
        (["jinja2", "PIL"], ["preview.png", "report.html"], ["jinja2-missing", "pillow-missing"]),
    ],
)
def test_without_jinja2_or_pillow_everything_else_is_written(
    modules, missing, codes, scan, models, tmp_path, monkeypatch
):
    hide(monkeypatch, *modules)
    options = quick(attention_stage="stage3", report=True)
    out = analyze_files(inputs_of(scan), tmp_path / "out", options, models)
    assert sorted(p.name for p in out.iterdir()) == [name for name in FILES if name not in missing]
    said = {w["code"]: w["text"] for w in passport_of(out)["warnings"]}
    assert sorted(said) == codes and all("pip install" in text for text in said.values())
