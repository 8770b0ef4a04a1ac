"""SUV from every kind of header that is understood, against the formula written out."""

from datetime import datetime, time

import pytest
from petfiles import headers, set_ge, set_philips, tracer

from BATNetLib.errors import InputRefused, UsageError
from BATNetLib.pet import Given, factors_from_headers, factors_from_values

HALF_LIFE = 6586.2


def suv_bw(minutes, weight=70.0, dose=370e6):
    return weight * 1000 / (dose * 0.5 ** (minutes * 60 / HALF_LIFE))


def codes(factors):
    return {code for code, _ in factors.warnings}


def test_becquerel_corrected_to_the_start_of_the_series():
    factors = factors_from_headers(headers())
    assert factors.suv_bw == pytest.approx(suv_bw(60), rel=1e-12)
    assert factors.decay.uptake_minutes == 60
    assert factors.decay.reference == "series"
    assert not factors.warnings


def test_lean_mass_and_body_surface_scale_the_same_factor():
    factors = factors_from_headers(headers())
    # 70 kg, 1.70 m, a woman: BMI 24.2215.
    lean = 9270 * 70 / (8780 + 244 * 24.22145328719723)
    james = 1.07 * 70 - 148 * (70 / 170) ** 2
    surface_cm2 = 0.007184 * 70**0.425 * 170**0.725 * 1e4
    assert factors.sul_janmahasatian == pytest.approx(factors.suv_bw * lean / 70, rel=1e-9)
    assert factors.sul_james == pytest.approx(factors.suv_bw * james / 70, rel=1e-9)
    assert factors.suv_bsa == pytest.approx(factors.suv_bw * surface_cm2 / 70e3, rel=1e-9)
    mosteller = (170 * 70 / 3600) ** 0.5 * 1e4
    assert factors.surface_factor("mosteller") == pytest.approx(factors.suv_bw * mosteller / 70e3, rel=1e-9)


def test_a_dose_corrected_to_the_injection_needs_no_decay_step():
    factors = factors_from_headers(headers(lambda ds, i: setattr(ds, "DecayCorrection", "ADMIN")))
    assert factors.suv_bw == pytest.approx(suv_bw(0), rel=1e-12)
    assert factors.decay.uptake_minutes == 60
    assert "no decay step" in factors.formula


def test_without_times_a_dose_corrected_to_the_injection_warns_of_the_unknown_uptake():
    def change(ds, i):
        ds.DecayCorrection = "ADMIN"
        del tracer(ds).RadiopharmaceuticalStartTime

    factors = factors_from_headers(headers(change))
    assert factors.suv_bw == pytest.approx(suv_bw(0), rel=1e-12)
    assert codes(factors) == {"pet-uptake-unknown"}


def test_an_injection_before_midnight_belongs_to_the_day_before():
    def change(ds, i):
        ds.SeriesTime = ds.AcquisitionTime = "002000"
        tracer(ds).RadiopharmaceuticalStartTime = "233000"

    assert factors_from_headers(headers(change)).suv_bw == pytest.approx(suv_bw(50), rel=1e-12)


def test_the_injection_with_a_date_goes_before_the_one_without():
    def change(ds, i):
        tracer(ds).RadiopharmaceuticalStartDateTime = "20240131085000.00"

    factors = factors_from_headers(headers(change))
    assert factors.suv_bw == pytest.approx(suv_bw(70), rel=1e-12)
    assert codes(factors) == {"pet-injection-times-differ"}


def test_time_zones_are_brought_together():
    def change(ds, i):
        ds.TimezoneOffsetFromUTC = "+0200"
        tracer(ds).RadiopharmaceuticalStartDateTime = "20240131070000+0000"

    assert factors_from_headers(headers(change)).suv_bw == pytest.approx(suv_bw(60), rel=1e-12)


def test_slices_acquired_after_the_series_began_change_nothing():
    def change(ds, i):
        ds.AcquisitionTime = f"10{3 * i:02d}00"

    assert factors_from_headers(headers(change)).suv_bw == pytest.approx(suv_bw(60), rel=1e-12)


def test_a_series_made_later_uses_the_private_scan_time_of_ge():
    def change(ds, i):
        ds.SeriesTime = "143000"
        set_ge(ds, "20240131100500.00")

    factors = factors_from_headers(headers(change))
    assert factors.suv_bw == pytest.approx(suv_bw(65), rel=1e-12)
    assert factors.decay.reference == "ge-private"


def test_the_private_scan_time_is_not_used_where_the_series_time_is_good():
    factors = factors_from_headers(headers(lambda ds, i: set_ge(ds, "20240131100500.00")))
    assert factors.suv_bw == pytest.approx(suv_bw(60), rel=1e-12)


def decay_factor(start_s, frame_s):
    """What a scanner multiplies a frame by: decay since the reference, and during the frame."""
    k = 0.6931471805599453 / HALF_LIFE
    grown, left = 2.718281828459045 ** (k * start_s), 1 - 2.718281828459045 ** (-k * frame_s)
    return grown * k * frame_s / left


def with_decay_factors(ds, index, reference_shift_s=0.0):
    """Beds of 3 minutes from 10:00 on, each corrected to ``reference_shift_s`` before 10:00."""
    ds.AcquisitionTime = f"10{3 * index:02d}00"
    ds.ActualFrameDuration = "180000"
    ds.DecayFactor = f"{decay_factor(180 * index + reference_shift_s, 180):.6f}"


def test_a_series_made_later_uses_the_first_acquisition_where_the_decay_factors_prove_it():
    def change(ds, i):
        with_decay_factors(ds, i)
        ds.SeriesTime = "143000"

    factors = factors_from_headers(headers(change))
    assert factors.suv_bw == pytest.approx(suv_bw(60), rel=1e-12)
    assert factors.decay.reference == "decay-factor"


def test_decay_factors_that_lead_elsewhere_prove_nothing():
    def change(ds, i):
        with_decay_factors(ds, i, reference_shift_s=1800)
        ds.SeriesTime = "143000"

    with pytest.raises(InputRefused) as caught:
        factors_from_headers(headers(change))
    assert caught.value.code == "pet-scan-time-unknown"


def test_decay_factors_that_contradict_the_series_time_are_warned_of_with_the_size_of_the_error():
    def change(ds, i):
        with_decay_factors(ds, i, reference_shift_s=1800)

    factors = factors_from_headers(headers(change))
    text = dict(factors.warnings)["pet-reference-time-doubtful"]
    # Reference half an hour earlier: less decay of the dose, so an SUV of 2^(-1800/6586.2) = 0.83.
    assert "30 min before" in text
    assert "-17%" in text


def test_decay_factors_that_fit_are_silent():
    assert not factors_from_headers(headers(with_decay_factors)).warnings


def test_a_series_time_long_before_the_first_slice_is_remarked_on():
    factors = factors_from_headers(headers(lambda ds, i: setattr(ds, "AcquisitionTime", "103000")))
    assert codes(factors) == {"pet-series-time-early"}


def test_the_suv_factor_of_a_philips_scanner_is_used_as_it_is():
    def change(ds, i):
        ds.Units = "CNTS"
        set_philips(ds, suv=0.000731)

    factors = factors_from_headers(headers(change))
    assert (factors.suv_bw, factors.source) == (0.000731, "philips-suv")


def test_the_activity_factor_of_a_philips_scanner_leads_over_becquerel():
    def change(ds, i):
        ds.Units = "CNTS"
        set_philips(ds, suv=0, activity=1.75)

    factors = factors_from_headers(headers(change))
    assert factors.suv_bw == pytest.approx(1.75 * suv_bw(60), rel=1e-12)
    assert factors.source == "philips-activity"


def test_philips_factors_that_disagree_are_warned_of():
    def change(ds, i):
        ds.Units = "CNTS"
        set_philips(ds, suv=f"{1.75 * suv_bw(60) * 1.2:.9f}", activity=1.75)

    factors = factors_from_headers(headers(change))
    assert factors.suv_bw == pytest.approx(1.75 * suv_bw(60) * 1.2, rel=1e-5)
    assert "pet-philips-factors-disagree" in codes(factors)


def test_a_weight_given_by_hand_leads_over_the_activity_factor_of_a_philips_scanner():
    def both(ds, i):
        ds.Units = "CNTS"
        set_philips(ds, suv=0.0005, activity=1.75)

    factors = factors_from_headers(headers(both), Given(weight_kg=80))
    assert factors.suv_bw == pytest.approx(1.75 * suv_bw(60, weight=80), rel=1e-12)

    def one(ds, i):
        ds.Units = "CNTS"
        set_philips(ds, suv=0.0005)

    fixed = factors_from_headers(headers(one), Given(weight_kg=80))
    assert fixed.suv_bw == 0.0005
    assert codes(fixed) == {"pet-philips-factor-fixed"}


def test_a_private_element_of_another_creator_is_not_believed():
    def change(ds, i):
        ds.Units = "CNTS"
        ds.private_block(0x7053, "SOMEBODY ELSE", create=True).add_new(0x00, "DS", "0.5")

    with pytest.raises(InputRefused) as caught:
        factors_from_headers(headers(change))
    assert caught.value.code == "pet-philips-factors-missing"


@pytest.mark.parametrize("kind", [None, "BW"])
def test_gram_per_millilitre_is_suv_by_body_weight(kind):
    def change(ds, i):
        ds.Units = "GML"
        if kind:
            ds.SUVType = kind

    assert factors_from_headers(headers(change)).suv_bw == 1.0


@pytest.mark.parametrize(("kind", "formula"), [("LBMJANMA", "janmahasatian"), ("LBMJAMES128", "james")])
def test_voxels_by_lean_mass_are_brought_to_body_weight(kind, formula):
    def change(ds, i):
        ds.Units, ds.SUVType = "GML", kind

    factors = factors_from_headers(headers(change))
    assert factors.suv_bw == pytest.approx(1 / factors.patient.lean_ratio(formula))
    back = factors.sul_janmahasatian if formula == "janmahasatian" else factors.sul_james
    assert back == pytest.approx(1.0)


def test_voxels_by_another_measure_are_refused():
    def change(ds, i):
        ds.Units, ds.SUVType = "GML", "BSA"

    with pytest.raises(InputRefused) as caught:
        factors_from_headers(headers(change))
    assert caught.value.code == "pet-suv-type-unsupported"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda ds, i: setattr(ds, "PatientWeight", "701"), "pet-weight-unusual"),
        (lambda ds, i: setattr(ds, "PatientWeight", "1.5"), "pet-weight-unusual"),
        (lambda ds, i: setattr(tracer(ds), "RadionuclideTotalDose", "3700000000"), "pet-dose-unusual"),
        (lambda ds, i: setattr(tracer(ds), "RadionuclideTotalDose", "37000000"), "pet-dose-unusual"),
        (lambda ds, i: setattr(tracer(ds), "RadiopharmaceuticalStartTime", "093000"), "pet-uptake-unusual"),
        (lambda ds, i: setattr(tracer(ds), "RadiopharmaceuticalStartTime", "073000"), "pet-uptake-unusual"),
        (lambda ds, i: setattr(tracer(ds), "RadionuclideHalfLife", "4080"), "pet-not-f18"),
        (lambda ds, i: setattr(ds, "RescaleIntercept", "-4"), "pet-intercept"),
    ],
)
def test_what_is_possible_but_unusual_is_warned_of(change, code):
    assert codes(factors_from_headers(headers(change))) == {code}


# --- volumes with values stated by hand


def test_a_volume_in_becquerel_with_stated_values():
    given = Given(weight_kg=70, dose_bq=370e6, injection=time(23, 30), scan=time(0, 30))
    assert factors_from_values(given).suv_bw == pytest.approx(suv_bw(60), rel=1e-12)


def test_stated_moments_with_dates():
    given = Given(
        weight_kg=70,
        dose_bq=370e6,
        injection=datetime(2024, 1, 31, 23, 30),
        scan=datetime(2024, 2, 1, 0, 45),
        half_life_s=HALF_LIFE,
    )
    assert factors_from_values(given).suv_bw == pytest.approx(suv_bw(75), rel=1e-12)


def test_a_volume_corrected_to_the_injection_needs_no_times():
    given = Given(weight_kg=70, dose_bq=370e6, decay_corrected_to="injection")
    assert factors_from_values(given).suv_bw == pytest.approx(suv_bw(0), rel=1e-12)


@pytest.mark.parametrize(
    ("left_out", "option"),
    [
        ("weight_kg", "--weight"),
        ("dose_bq", "--dose"),
        ("injection", "--injection-time"),
        ("scan", "--scan-time"),
    ],
)
def test_a_volume_without_one_of_the_values_is_refused_by_name(left_out, option):
    values = {"weight_kg": 70, "dose_bq": 370e6, "injection": time(9), "scan": time(10)}
    del values[left_out]
    with pytest.raises(UsageError) as caught:
        factors_from_values(Given(**values))
    assert caught.value.code == "pet-values-missing"
    assert option in caught.value.found


def test_one_time_with_a_date_and_one_without_is_refused():
    given = Given(weight_kg=70, dose_bq=370e6, injection=datetime(2024, 1, 31, 9), scan=time(10))
    with pytest.raises(UsageError) as caught:
        factors_from_values(given)
    assert caught.value.code == "pet-times-mixed"


def test_stated_times_go_before_those_of_the_header():
    given = Given(injection=time(9, 30), scan=time(11, 0))
    factors = factors_from_headers(headers(lambda ds, i: delattr(ds, "SeriesTime")), given)
    assert factors.suv_bw == pytest.approx(suv_bw(90), rel=1e-12)
    one = factors_from_headers(
        headers(lambda ds, i: setattr(ds, "SeriesTime", "140000")), Given(scan=time(10, 10))
    )
    assert one.suv_bw == pytest.approx(suv_bw(70), rel=1e-12)


@pytest.mark.parametrize(
    "values", [{"weight_kg": 0}, {"dose_bq": -1}, {"sex": "X"}, {"height_m": float("nan")}]
)
def test_stated_values_that_cannot_be_are_refused(values):
    with pytest.raises(UsageError):
        Given(**values)
