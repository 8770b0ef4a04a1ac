"""Criteria are data: those of the program, those of the user, and what is wrong with a file in words."""

import copy
import json

import numpy as np
import pytest

from BATNetLib.errors import InputRefused, UsageError
from BATNetLib.pet import Patient, choose, load_criteria
from BATNetLib.pet import criteria as module
from BATNetLib.resources import resource

PATIENT = Patient(75, 1.78, "M")
MINE = {
    "name": "mine",
    "title": "My rule",
    "hu": [-150, -20],
    "suv": {"scale": "SUVbw", "at_least": 1.8},
    "within": "ct",
    "source": "a local protocol",
}


def write(folder, *criteria, version=1):
    path = folder / "own.json"
    path.write_text(json.dumps({"schema_version": version, "criteria": list(criteria)}))
    return path


def changed(**values):
    entry = copy.deepcopy(MINE)
    entry.update(values)
    return entry


def test_the_five_criteria_of_the_program():
    found = {c.name: (c.hu, c.cutoff, c.scale, c.within) for c in load_criteria().values()}
    assert found == {
        "barcist": ((-190, -10), 1.2, "SUL", "ct"),
        "hu-180-10-suv-1.5": ((-180, -10), 1.5, "SUVbw", "ct"),
        "hu-250-50-suv-2.0": ((-250, -50), 2.0, "SUVbw", "ct"),
        "no-hu-suv-2.0": (None, 2.0, "SUVbw", "ct"),
        "batnet": (None, 1.5, "SUVbw", "adipose"),
    }


def matches(name, hu, suv):
    return bool(load_criteria()[name].matches(np.array([hu]), np.array([suv], np.float32), PATIENT)[0])


@pytest.mark.parametrize(("hu", "inside"), [(-191, False), (-190, True), (-10, True), (-9, False)])
def test_both_hu_limits_are_included(hu, inside):
    assert matches("barcist", hu, 5.0) is inside


@pytest.mark.parametrize(
    ("name", "suv", "inside"),
    [
        ("hu-180-10-suv-1.5", 1.5, True),
        ("hu-180-10-suv-1.5", 1.4999, False),
        ("batnet", 1.5, False),
        ("batnet", 1.5001, True),
        ("no-hu-suv-2.0", float("nan"), False),
        ("barcist", 1.52, False),
        ("barcist", 1.53, True),
    ],
)
def test_a_cutoff_is_included_or_not_as_the_criterion_says(name, suv, inside):
    assert matches(name, -100, suv) is inside


def test_users_add_criteria_of_their_own(tmp_path):
    sul = changed(
        name="lean", hu=None, suv={"scale": "SUL", "lean_mass": "james", "above": 1.0}, within="adipose"
    )
    criteria = load_criteria(write(tmp_path, MINE, sul))
    assert list(criteria)[:5] == list(load_criteria())
    mine, lean = choose(criteria, ["mine", "lean"])
    assert mine.as_dict() == MINE | {"hu": [-150.0, -20.0]}
    assert lean.cutoff_bw(PATIENT) == pytest.approx(75 / 59.776, abs=1e-4)
    assert lean.words() == "any HU and SUL (james) above 1 inside the adipose mask"


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ("a text", "not an object"),
        ({k: v for k, v in MINE.items() if k != "hu"}, "lacks hu"),
        (changed(colour="red"), "unknown field 'colour'"),
        (changed(name="My Rule"), "name"),
        (changed(name="../evil"), "name"),
        (changed(title=" "), "title"),
        (changed(hu=[-10, -190]), "hu"),
        (changed(hu=[-10]), "hu"),
        (changed(hu=[True, 5]), "hu"),
        (changed(within="bone"), "within"),
        (changed(suv=1.5), "suv"),
        (changed(suv={"at_least": 1.5}), "lacks scale"),
        (changed(suv={"scale": "SUVbw"}), "0 cut-offs"),
        (changed(suv={"scale": "SUVbw", "at_least": 1, "above": 1}), "2 cut-offs"),
        (changed(suv={"scale": "SUVbw", "at_least": 0}), "cut-off"),
        (changed(suv={"scale": "SUVbw", "at_least": "1.5"}), "cut-off"),
        (changed(suv={"scale": "SUVmax", "at_least": 1.5}), "scale"),
        (changed(suv={"scale": "SUL", "at_least": 1.5}), "lean_mass"),
        (changed(suv={"scale": "SUL", "lean_mass": "hume", "at_least": 1.5}), "lean_mass"),
        (changed(suv={"scale": "SUVbw", "lean_mass": "james", "at_least": 1.5}), "lean_mass"),
        (changed(suv={"scale": "SUVbw", "at_leats": 1.5}), "at_leats"),
        (changed(name="barcist"), "already"),
    ],
)
def test_a_wrong_criterion_is_refused_with_its_place_and_the_way_out(tmp_path, entry, word):
    with pytest.raises(InputRefused) as caught:
        load_criteria(write(tmp_path, MINE, entry))
    assert caught.value.code == "criteria-invalid"
    assert "own.json" in caught.value.found
    assert "Criterion 2" in caught.value.found
    assert word in caught.value.found
    assert str(tmp_path) not in str(caught.value)


NO_CRITERIA = [
    b"",
    b"{",
    b"[]",
    b'{"criteria": []}',
    b'{"schema_version": 2, "criteria": []}',
    b'{"schema_version": 1, "criteria": []}',
    b"\xff\xfe\x3d",
    b"[" * 100_000,
]


@pytest.mark.parametrize("content", NO_CRITERIA, ids=range(len(NO_CRITERIA)))
def test_a_file_that_is_no_criteria_file_is_refused(tmp_path, content):
    path = tmp_path / "own.json"
    path.write_bytes(content)
    with pytest.raises(InputRefused) as caught:
        load_criteria(path)
    assert caught.value.code == "criteria-invalid"


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputRefused) as caught:
        load_criteria(tmp_path / "none.json")
    assert caught.value.code == "criteria-unreadable"


def test_an_unknown_name_is_refused_with_those_that_are_known():
    with pytest.raises(UsageError) as caught:
        choose(load_criteria(), ["barcist", "bacrist"])
    assert "'bacrist'" in caught.value.found
    assert "barcist" in caught.value.wanted


def test_the_schema_and_the_reader_know_the_same_fields():
    schema = json.loads(resource("pet/criteria.schema.json").read_text())
    entry = schema["properties"]["criteria"]["items"]
    assert set(entry["properties"]) == set(entry["required"]) == module._FIELDS
    assert set(entry["properties"]["suv"]["properties"]) == module._SUV_FIELDS
    assert entry["properties"]["suv"]["properties"]["scale"]["enum"] == list(module.SCALES)
    assert entry["properties"]["suv"]["properties"]["lean_mass"]["enum"] == list(module.LEAN_MASS)
    assert entry["properties"]["within"]["enum"] == list(module.PLACES)
    assert entry["properties"]["name"]["pattern"] == module._NAME.pattern
    assert schema["properties"]["schema_version"]["const"] == module.SCHEMA_VERSION
