"""What a check says of single cases: each trap has a name and a suggestion."""

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from trainingsets import patient, volume, write_png, write_scan

from BATNetLib.dataset.checking import check
from BATNetLib.dataset.layouts import open_dataset
from BATNetLib.errors import Cancelled, UsageError
from BATNetLib.events import Events
from BATNetLib.volume import write_volume


def findings(folder, **options):
    return {f.code: f for f in check(open_dataset(folder), **options).findings}


def test_a_good_case_blocks_nothing_and_is_measured(tmp_path):
    write_scan(tmp_path / "a")
    report = check(open_dataset(tmp_path))
    (fact,) = report.facts
    _, fat, brown = patient()
    assert [(f.level, f.code) for f in report.findings] == [("note", "lungs-missing")]
    assert fact.fat == pytest.approx(fat.sum() * 12 / 1000) and fact.brown == pytest.approx(
        brown.sum() * 0.012
    )
    assert fact.shape == (12, 32, 48) and fact.spacing == pytest.approx((3, 2, 2)) and fact.unit == "mL"


@pytest.mark.parametrize(
    ("changed", "level", "code"),
    [
        ({"adipose": np.zeros((12, 32, 48), np.uint8)}, "block", "mask-empty"),
        ({"brown": np.zeros((12, 32, 48), np.uint8)}, "note", "brown-empty"),
        ({"adipose": patient()[1] * 255}, "warn", "mask-255"),
        ({"adipose": patient()[1] * 3}, "block", "mask-values"),
        ({"adipose": patient()[1] + patient()[2]}, "block", "mask-values"),
        ({"adipose": (patient()[0] > 0).astype(np.uint8)}, "warn", "mask-not-fat"),
        ({"brown": (patient()[0] > 0).astype(np.uint8)}, "block", "brown-outside-adipose"),
        ({"brown": patient()[2][:6]}, "block", "other-grid"),
        ({"ct": np.full((12, 32, 48), 40, np.int16)}, "block", "constant"),
    ],
)
def test_a_trap_in_a_scan_is_named_with_a_suggestion(tmp_path, changed, level, code):
    write_scan(tmp_path / "a", **changed)
    found = findings(tmp_path)
    assert found[code].level == level and found[code].cases == ("a",)
    assert found[code].text.endswith(".") and len(found[code].suggestion) > 15


def test_a_little_brown_outside_the_fat_is_a_warning_with_its_millilitres(tmp_path):
    brown = patient()[2]
    brown[:, 16, 20:22] = 1
    write_scan(tmp_path / "a", brown=brown)
    found = findings(tmp_path)["brown-outside-adipose"]
    assert found.level == "warn" and "0.288 mL" in found.text


def test_a_mask_at_another_place_is_refused(tmp_path):
    write_scan(tmp_path / "a")
    moved = volume(patient()[1])
    grid = moved.grid.affine.copy()
    grid[:3, 3] += 5
    write_volume(
        type(moved)(moved.array, type(moved.grid)(moved.grid.shape, grid)), tmp_path / "a" / "adipose.nii.gz"
    )
    assert findings(tmp_path)["other-grid"].level == "block"


def test_what_a_stage_needs_is_asked_for(tmp_path):
    write_scan(tmp_path / "a", names=("ct", "adipose", None))
    assert not findings(tmp_path)
    assert not findings(tmp_path, stage="adipose")
    assert findings(tmp_path, stage="brown")["brown-missing"].level == "block"
    write_scan(tmp_path / "b", names=("ct", None, None), seed=1)
    assert findings(tmp_path)["masks-missing"].cases == ("b",)
    with pytest.raises(UsageError, match="stage"):
        findings(tmp_path, stage="third")


def test_arrays_without_geometry_are_counted_in_voxels_and_told(tmp_path):
    ct, fat, brown = patient()
    folder = tmp_path / "a"
    folder.mkdir()
    named = {"image": ct, "lobe": (ct < -500).astype(np.uint8), "fat_mask": fat, "brown_fat_mask": brown}
    for name, array in named.items():
        nib.save(nib.Nifti1Image(array, np.eye(4)), folder / f"{name}.nii.gz")
    report = check(open_dataset(tmp_path))
    assert [f.code for f in report.findings] == ["spacing-unknown"]
    assert (report.facts[0].unit, report.facts[0].fat) == ("voxels", float(fat.sum()))


def test_good_slices_are_measured(tmp_path):
    write_png(tmp_path / "train" / "a")
    report = check(open_dataset(tmp_path))
    assert report.findings == () and report.facts[0].fat == patient()[1].sum()


def lose_a_mask(folder):
    (folder / "data_mask" / "3.png").unlink()


def lose_a_pair(folder):
    for name in ("data_png", "data_mask"):
        (folder / name / "3.png").unlink()


def blacken(folder):
    for path in (folder / "data_mask").iterdir():
        Image.new("L", (48, 32)).save(path)


def blacken_one(folder):
    Image.new("L", (48, 32)).save(folder / "data_mask" / "0.png")


def smooth(folder):
    Image.fromarray(np.arange(32 * 48, dtype=np.uint8).reshape(32, 48)).save(folder / "data_mask" / "2.png")


def colour(folder):
    Image.new("RGB", (48, 32)).save(folder / "data_png" / "2.png")


def shrink(folder):
    Image.new("L", (16, 16), 255).save(folder / "data_mask" / "2.png")


def cut(folder):
    path = folder / "data_png" / "2.png"
    path.write_bytes(path.read_bytes()[:60])


def ones(folder):
    for path in (folder / "data_mask").iterdir():
        Image.fromarray(np.asarray(Image.open(path)) // 255).save(path)


def no_masks(folder):
    for path in (folder / "data_mask").iterdir():
        path.unlink()
    (folder / "data_mask").rmdir()


@pytest.mark.parametrize(
    ("spoil", "level", "code"),
    [
        (lose_a_mask, "block", "pairs-missing"),
        (no_masks, "block", "pairs-missing"),
        (lose_a_pair, "block", "slice-gap"),
        (blacken, "block", "mask-empty"),
        (blacken_one, "note", "slices-empty"),
        (smooth, "block", "mask-values"),
        (colour, "block", "slice-not-grey"),
        (shrink, "block", "other-shape"),
        (cut, "block", "unreadable"),
        (ones, "warn", "mask-01"),
    ],
)
def test_a_trap_in_slices_is_named_with_a_suggestion(tmp_path, spoil, level, code):
    spoil(write_png(tmp_path / "a"))
    found = findings(tmp_path)
    assert found[code].level == level and found[code].cases == ("a",)


def test_nothing_is_changed_by_a_check(tmp_path):
    write_scan(tmp_path / "a", adipose=patient()[1] * 255)
    write_png(tmp_path / "b", seed=2)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    check(open_dataset(tmp_path), pictures=True)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_check_stops_when_asked(tmp_path):
    write_scan(tmp_path / "a")
    dataset, events = open_dataset(tmp_path), Events()
    events.cancel()
    with pytest.raises(Cancelled):
        check(dataset, events=events)


def test_a_scan_of_other_thickness_is_named(tmp_path):
    for seed in range(3):
        write_scan(tmp_path / f"p{seed}", seed=seed)
    ct, fat, brown = patient(9)
    for name, array in (("ct", ct), ("adipose", fat), ("brown", brown)):
        write_volume(volume(array, (10.0, 2.0, 2.0)), tmp_path / "thick" / f"{name}.nii.gz")
    assert findings(tmp_path)["slice-distance-differs"].cases == ("thick",)


def test_several_scans_at_a_time_give_the_same_report(tmp_path):
    for seed in range(4):
        write_scan(tmp_path / f"p{seed}", seed=seed)
    write_scan(tmp_path / "copy", seed=2, ct=patient(2)[0][:6])
    dataset = open_dataset(tmp_path)
    one, many = (check(dataset, workers=n) for n in (1, 3))
    assert one.as_dict() == many.as_dict() and one.blocking


class StopsAfterTheFirst(Events):
    def on_stage(self, stage, finished):
        if stage.name == "check cases" and stage.done:
            self.cancel()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_running_check_stops_when_asked(tmp_path, workers):
    for seed in range(3):
        write_scan(tmp_path / f"p{seed}", seed=seed)
    with pytest.raises(Cancelled):
        check(open_dataset(tmp_path), workers=workers, events=StopsAfterTheFirst())


def test_the_same_number_written_twice_is_refused(tmp_path):
    folder = write_png(tmp_path / "a") / "data_png"
    (folder / "03.png").write_bytes((folder / "3.png").read_bytes())
    assert findings(tmp_path)["slice-numbers"].level == "block"


def test_what_the_reader_warns_of_is_a_finding_of_its_case(tmp_path):
    turn = np.deg2rad(6)
    affine = np.diag([-2.0, -2.0, -3.0, 1.0])
    affine[:2, :2] = 2 * np.array([[-np.cos(turn), np.sin(turn)], [-np.sin(turn), -np.cos(turn)]])
    (tmp_path / "a").mkdir()
    for name, array in zip(("ct", "adipose", "brown"), patient(), strict=True):
        nib.save(nib.Nifti1Image(array.T, affine), tmp_path / "a" / f"{name}.nii.gz")
    events = Events()
    report = check(open_dataset(tmp_path), events=events)
    found = [f for f in report.findings if f.code.startswith("resampled")]
    assert {f.text.split()[0] for f in found} == {"ct.nii.gz", "adipose.nii.gz", "brown.nii.gz"}
    assert all(f.level == "warn" and f.cases == ("a",) for f in found) and events.warnings == []


def test_a_lung_mask_that_lies_on_no_lungs_blocks_where_it_would_cut_patches(tmp_path):
    ct, fat, _ = patient()
    write_scan(tmp_path / "a")
    write_volume(volume(((ct > 0) & (fat == 0)).astype(np.uint8)), tmp_path / "a" / "lungs.nii.gz")
    assert {f.code for f in check(open_dataset(tmp_path)).findings if f.level == "block"} <= {
        "lungs-hu",
        "lungs-volume",
    }
    (tmp_path / "a" / "brown.nii.gz").unlink()
    report = check(open_dataset(tmp_path))
    assert not report.blocking and report.counts()["warn"] == 1
