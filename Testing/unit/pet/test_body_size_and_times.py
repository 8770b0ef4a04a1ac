"""Formulas of body size against tables worked out by hand, and the reading of dates and times."""

from datetime import datetime, time, timedelta, timezone

import pytest

from BATNetLib.errors import InputRefused, UsageError
from BATNetLib.pet import Patient, load_criteria
from BATNetLib.pet import bodysize as size
from BATNetLib.pet.times import (
    before,
    parse_date,
    parse_datetime,
    parse_moment,
    parse_offset,
    parse_time,
    seconds_between,
)

#: sex, kg, m, lean mass by Janmahasatian and by James in kg.
TABLE = [
    ("M", 75, 1.78, 58.954, 59.776),
    ("M", 100, 1.80, 69.456, 70.494),
    ("M", 71, 1.63, 52.856, 53.814),
    ("F", 60, 1.65, 39.287, 44.630),
    ("F", 130, 1.62, 57.753, 43.794),
]


@pytest.mark.parametrize(("sex", "weight", "height", "janmahasatian", "james"), TABLE)
def test_lean_mass_agrees_with_the_table(sex, weight, height, janmahasatian, james):
    assert size.lean_mass_janmahasatian(weight, height, sex) == pytest.approx(janmahasatian, abs=6e-4)
    assert size.lean_mass_james(weight, height, sex) == pytest.approx(james, abs=6e-4)


@pytest.mark.parametrize(
    ("sex", "weight", "height", "cutoff"),
    [("M", 75, 1.78, 1.53), ("F", 60, 1.65, 1.83), ("F", 130, 1.62, 2.70)],
)
def test_the_cutoff_of_barcist_agrees_to_two_decimals(sex, weight, height, cutoff):
    barcist = load_criteria()["barcist"]
    assert round(barcist.cutoff_bw(Patient(weight, height, sex)), 2) == cutoff


def test_lean_mass_by_james_falls_again_in_obesity_and_is_refused_when_it_ends():
    heavy = [size.lean_mass_james(w, 1.60, "F") for w in (90, 110, 130)]
    assert heavy[2] < heavy[1] < heavy[0] + 5
    with pytest.raises(InputRefused) as caught:
        Patient(200, 1.50, "F").lean_mass("james")
    assert caught.value.code == "pet-lean-mass-implausible"
    assert Patient(200, 1.50, "F").lean_mass("janmahasatian") > 0


def test_body_surface_by_both_formulas():
    # 70 kg and 170 cm: 1.81 m2 by Du Bois, 1.82 m2 by Mosteller.
    assert size.surface_du_bois(70, 1.70) == pytest.approx(1.8097, abs=1e-3)
    assert size.surface_mosteller(70, 1.70) == pytest.approx(1.8181, abs=1e-3)


@pytest.mark.parametrize(
    ("patient", "code"),
    [
        (Patient(None, 1.7, "F"), "pet-patient-weight-missing"),
        (Patient(70, None, "F"), "pet-patient-size-missing"),
        (Patient(70, 1.7, None), "pet-patient-sex-missing"),
        (Patient(70, 170, "F"), "pet-patient-size-invalid"),
        (Patient(70, 0, "F"), "pet-patient-size-zero"),
    ],
)
def test_lean_mass_says_which_value_it_lacks(patient, code):
    with pytest.raises(InputRefused) as caught:
        patient.lean_mass()
    assert caught.value.code == code


def test_an_unknown_formula_is_refused():
    with pytest.raises(UsageError):
        Patient(70, 1.7, "F").lean_mass("hume")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("103500.00", time(10, 35)),
        ("103500.25", time(10, 35, 0, 250000)),
        ("1035", time(10, 35)),
        ("10:35:07", time(10, 35, 7)),
        ("235960", time(23, 59, 59)),
        ("10", None),
        ("2500", None),
        ("", None),
    ],
)
def test_times_of_day(text, wanted):
    assert parse_time(text) == wanted


@pytest.mark.parametrize("text", ["20240230", "2024", "", "abc"])
def test_dates_that_are_none(text):
    assert parse_date(text) is None


def test_moments_with_and_without_offset():
    assert parse_datetime("20240131103500") == datetime(2024, 1, 31, 10, 35)
    zone = timezone(-timedelta(hours=5, minutes=30))
    assert parse_datetime("20240131103500.5-0530") == datetime(2024, 1, 31, 10, 35, 0, 500000, zone)
    assert parse_datetime("20240131") is None
    assert parse_offset("+2500") is None
    assert (
        parse_moment("2024-01-31T10:35") == parse_moment("2024-01-31 10:35") == datetime(2024, 1, 31, 10, 35)
    )
    assert parse_moment("10:35") == time(10, 35)
    assert parse_moment("noon") is None


def test_a_clock_time_lies_at_most_a_day_back():
    assert before(time(23, 50), datetime(2024, 3, 1, 0, 20)) == datetime(2024, 2, 29, 23, 50)
    assert before(time(0, 10), datetime(2024, 3, 1, 0, 20)) == datetime(2024, 3, 1, 0, 10)
    assert seconds_between(time(23, 50), time(0, 20)) == 1800
