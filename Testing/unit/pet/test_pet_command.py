"""The command ``batnet pet``: whole results, exit codes, no names, no torch."""

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from petfiles import torso, write_series

from BATNetLib.cli import main
from BATNetLib.volume import Volume, read_volume, write_volume

ROOT = Path(__file__).resolve().parents[3]
SUV = ["--suv-volume", "--weight", "75", "--height", "1.78", "--sex", "M"]


@pytest.fixture
def study(tmp_path):
    """A CT and an SUV volume with a hot block on the patient's right, in a folder with a telling name."""
    folder = tmp_path / "Doe^Jane"
    folder.mkdir()
    ct = torso()
    suv = np.where(ct.array > -500, 0.9, 0.0).astype(np.float32)
    block = slice(8, 14), slice(28, 34), slice(4, 10)
    ct.array[block], suv[block] = -100, 5.0
    fat = (ct.array == -100).astype(np.uint8)
    depots = np.zeros_like(fat)
    depots[block] = 2
    for name, array in (("ct", ct.array), ("suv", suv), ("fat", fat), ("depots", depots)):
        write_volume(Volume(array, ct.grid), folder / f"{name}.nii.gz")
    return folder


def call(study, *options, out="out"):
    return main(
        [
            "pet",
            str(study / "ct.nii.gz"),
            str(study / "suv.nii.gz"),
            "--out",
            str(study.parent / out),
            *options,
        ]
    )


def hashes(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_a_result_folder_with_masks_table_passport_and_picture(study, capsys):
    before = hashes(study)
    options = ["--adipose", str(study / "fat.nii.gz"), "--depots", str(study / "depots.nii.gz")]
    assert call(study, *SUV, *options, "--depot-names", "2=axillary", "--keep-suv") == 0
    out = study.parent / "out"
    assert {p.name for p in out.iterdir()} == {
        "barcist.nii.gz", "hu-180-10-suv-1.5.nii.gz", "hu-250-50-suv-2.0.nii.gz", "no-hu-suv-2.0.nii.gz",
        "batnet.nii.gz", "pet.csv", "pet.json", "preview.png", "suv_on_ct.nii.gz",
    }  # fmt: skip
    assert hashes(study) == before

    ct, mask = nib.load(study / "ct.nii.gz"), nib.load(out / "barcist.nii.gz")
    assert mask.shape == ct.shape
    np.testing.assert_array_equal(mask.affine, ct.affine)
    assert int(np.asarray(mask.dataobj).sum()) == 216

    rows = list(csv.DictReader((out / "pet.csv").open(encoding="utf-8")))
    axillary = next(
        r for r in rows if (r["criterion"], r["region"], r["side"]) == ("batnet", "axillary", "right")
    )
    assert float(axillary["volume_ml"]) == pytest.approx(216 * 0.064, abs=1e-4)
    left = next(r for r in rows if (r["criterion"], r["region"], r["side"]) == ("batnet", "total", "left"))
    assert (left["result"], left["suv_mean"]) == ("none found", "")
    assert "nan" not in (out / "pet.csv").read_text().lower()

    passport = json.loads((out / "pet.json").read_text())
    assert passport["statement"] == "Research use only, not a medical device."
    assert set(passport["inputs"]) == {"ct", "pet_suv", "adipose", "depots"}
    assert len(passport["inputs"]["ct"]["sha256_voxels"]) == 64
    assert passport["suv"]["used"]["given_by_hand"] == ["weight_kg", "height_m", "sex"]
    assert passport["criteria"][0]["cutoff_suv_bw"] == pytest.approx(1.53, abs=0.005)
    assert "linear" in passport["interpolation"]
    text = (out / "pet.json").read_text() + (out / "pet.csv").read_text() + capsys.readouterr().out
    for secret in ("Doe", "ct.nii.gz", "suv.nii.gz"):
        assert secret not in text.replace(str(out), "").replace("suv_on_ct.nii.gz", "")
    assert read_volume(out / "suv_on_ct.nii.gz", kind="map").array.max() == 5.0


def test_the_picture_shows_the_mask(study):
    from PIL import Image

    assert call(study, *SUV, "--criterion", "barcist") == 0
    pixels = np.array(Image.open(study.parent / "out" / "preview.png"))
    assert (pixels == (0, 255, 160)).all(axis=-1).sum() > 50
    assert call(study, *SUV, "--criterion", "barcist", "--min-volume", "1e6", out="none") == 0
    pixels = np.array(Image.open(study.parent / "none" / "preview.png"))
    assert not (pixels == (0, 255, 160)).all(axis=-1).any()


def test_without_an_adipose_mask_that_criterion_is_left_out_with_its_reason(study):
    assert call(study, *SUV) == 0
    out = study.parent / "out"
    assert not (out / "batnet.nii.gz").exists()
    assert "batnet,total,both,not assessable (pet-adipose-missing)" in (out / "pet.csv").read_text()
    problem = json.loads((out / "pet.json").read_text())["criteria"][-1]["problem"]
    assert problem["code"] == "pet-adipose-missing"


def test_own_criteria_and_options(study):
    own = {
        "schema_version": 1,
        "criteria": [
            {
                "name": "hot",
                "title": "Hot",
                "hu": None,
                "suv": {"scale": "SUVbw", "above": 4.5},
                "within": "ct",
                "source": "",
            }
        ],
    }
    (study / "own.json").write_text(json.dumps(own))
    options = ["--criteria", str(study / "own.json"), "--criterion", "hot", "--largest", "--midline", "200"]
    assert call(study, "--suv-volume", *options) == 0
    rows = list(csv.DictReader((study.parent / "out" / "pet.csv").open(encoding="utf-8")))
    assert [r["criterion"] for r in rows] == ["hot"] * 3
    assert {r["side"]: r["result"] for r in rows} == {
        "both": "measured",
        "right": "measured",
        "left": "none found",
    }


@pytest.mark.parametrize(
    ("options", "code", "name"),
    [
        ([], 3, "pet-unit-unknown"),
        (["--suv-volume", "--criterion", "barcist"], 3, "pet-patient-weight-missing"),
        (["--suv-volume", "--criterion", "batnet"], 3, "pet-adipose-missing"),
        (["--suv-volume", "--criterion", "bat"], 2, "criterion-unknown"),
        (["--dose", "370", "--weight", "70", "--injection-time", "9:00"], 2, "pet-time-invalid"),
        (["--dose", "370", "--weight", "70", "--injection-time", "09:00"], 2, "pet-values-missing"),
        (["--suv-volume", "--min-volume", "-1"], 2, "pet-min-volume"),
        (["--suv-volume", "--depot-names", "0=x"], 2, "pet-depot-names"),
        (["--suv-volume", "--weight", "0"], 2, "pet-value-invalid"),
    ],
)
def test_refusals_have_their_exit_code_and_leave_nothing_behind(study, capsys, options, code, name):
    assert call(study, *options) == code
    assert f"[{name}]" in capsys.readouterr().err
    assert {p.name for p in study.parent.iterdir()} == {"Doe^Jane"}


def test_an_existing_result_is_kept_unless_it_is_to_be_replaced(study):
    assert call(study, *SUV, "--criterion", "barcist") == 0
    first = hashes(study.parent / "out")
    assert call(study, *SUV, "--criterion", "no-hu-suv-2.0") == 2
    assert hashes(study.parent / "out") == first
    assert call(study, *SUV, "--criterion", "no-hu-suv-2.0", "--replace") == 0
    assert (study.parent / "out" / "no-hu-suv-2.0.nii.gz").exists()
    assert not (study.parent / "out" / "barcist.nii.gz").exists()


def test_becquerel_stated_by_hand_give_the_same_as_the_suv(study):
    suv = nib.load(study / "suv.nii.gz")
    left = 370e6 * 0.5 ** (3600 / 6586.2)
    scaled = np.asarray(suv.dataobj) * np.float32(left / 75000)
    nib.save(nib.Nifti1Image(scaled, suv.affine), study / "bqml.nii.gz")
    given = ["--weight", "75", "--dose", "370", "--injection-time", "23:30", "--scan-time", "00:30"]
    out = study.parent / "bq"
    ct = str(study / "ct.nii.gz")
    assert (
        main(
            ["pet", ct, str(study / "bqml.nii.gz"), "--out", str(out), *given, "--criterion", "no-hu-suv-2.0"]
        )
        == 0
    )
    row = next(csv.DictReader((out / "pet.csv").open(encoding="utf-8")))
    assert float(row["suv_max"]) == pytest.approx(5.0, abs=1e-3)
    assert float(row["volume_ml"]) == pytest.approx(216 * 0.064, abs=1e-4)


def test_explaining_a_series_says_what_is_missing_and_ends_with_3(tmp_path, capsys):
    pixels = np.ones((4, 8, 8), int)
    whole = write_series(tmp_path / "whole", [0, 3, 6, 9], pixels)
    assert main(["pet", "--explain", str(whole)]) == 0
    said = capsys.readouterr().out
    assert "Uptake time: 60 min" in said
    assert "Secret" not in said
    broken = write_series(
        tmp_path / "broken", [0, 3, 6, 9], pixels, lambda ds, i: delattr(ds, "PatientWeight")
    )
    assert main(["pet", "--explain", str(broken)]) == 3
    assert "pet-patient-weight-missing" in capsys.readouterr().out
    assert main(["pet", "--explain", str(broken), "--weight", "70", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["factors"]["used"]["PatientWeight"]["from"] == "by hand"


def test_the_criteria_are_listed(capsys):
    assert main(["pet", "--list"]) == 0
    assert "-190 to -10 HU and SUL (janmahasatian) of at least 1.2" in capsys.readouterr().out
    assert main(["pet", "--list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "barcist"


def test_a_call_without_a_pet_says_how(capsys):
    assert main(["pet"]) == 2
    assert "batnet pet CT PET" in capsys.readouterr().err


def test_the_command_works_without_torch(study):
    code = (
        "import sys\n"
        "class NoTorch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'torch': raise ImportError('torch is not here')\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        "from BATNetLib.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    arguments = [
        "pet",
        str(study / "ct.nii.gz"),
        str(study / "suv.nii.gz"),
        "--out",
        str(study.parent / "out"),
        *SUV,
    ]
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
