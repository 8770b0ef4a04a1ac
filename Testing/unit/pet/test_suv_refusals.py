"""What a PET header lacks is refused by its name; nothing is guessed."""

import pytest
from petfiles import headers, holder, set_philips, tracer

from BATNetLib.errors import InputRefused
from BATNetLib.pet import Given, factors_from_headers

NEEDED = {
    "Units": "pet-units",
    "CorrectedImage": "pet-corrected-image",
    "DecayCorrection": "pet-decay-correction",
    "PatientWeight": "pet-patient-weight",
    "SeriesDate": "pet-series-date",
    "SeriesTime": "pet-series-time",
    "AcquisitionDate": "pet-acquisition-date",
    "AcquisitionTime": "pet-acquisition-time",
    "RadiopharmaceuticalStartTime": "pet-injection-time",
    "RadionuclideTotalDose": "pet-total-dose",
    "RadionuclideHalfLife": "pet-half-life",
    "RescaleSlope": "pet-rescale-slope",
    "Modality": "pet-modality",
}
NUMBERS = ["PatientWeight", "RadionuclideTotalDose", "RadionuclideHalfLife", "RescaleSlope"]


def refused(change, given=None):
    with pytest.raises(InputRefused) as caught:
        factors_from_headers(headers(change), given)
    return caught.value


@pytest.mark.parametrize("keyword", NEEDED)
def test_a_missing_attribute_is_refused_by_name(keyword):
    problem = refused(lambda ds, i: delattr(holder(ds, keyword), keyword))
    assert problem.code == f"{NEEDED[keyword]}-missing"
    assert keyword in problem.found


@pytest.mark.parametrize("keyword", NEEDED)
def test_an_empty_attribute_is_refused_by_name(keyword):
    problem = refused(lambda ds, i: setattr(holder(ds, keyword), keyword, None))
    assert problem.code == f"{NEEDED[keyword]}-missing"


@pytest.mark.parametrize("keyword", NUMBERS)
@pytest.mark.parametrize("zero", ["0", "0.0"])
def test_a_zero_attribute_is_refused_by_name(keyword, zero):
    problem = refused(lambda ds, i: setattr(holder(ds, keyword), keyword, zero))
    assert problem.code == f"{NEEDED[keyword]}-zero"
    assert keyword in problem.found


@pytest.mark.parametrize("keyword", NUMBERS)
def test_a_negative_number_is_refused_by_name(keyword):
    problem = refused(lambda ds, i: setattr(holder(ds, keyword), keyword, "-5"))
    assert problem.code == f"{NEEDED[keyword]}-invalid"


@pytest.mark.parametrize("keyword", ["RescaleSlope", "PatientWeight", "AcquisitionTime"])
def test_an_attribute_missing_in_one_slice_is_refused_and_counted(keyword):
    problem = refused(lambda ds, i: delattr(ds, keyword) if i == 1 else None)
    assert problem.code == f"{NEEDED[keyword]}-missing"
    assert "1 of 3 slices" in problem.found


@pytest.mark.parametrize("keyword", ["SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime"])
def test_a_date_or_time_that_cannot_be_read_is_refused_by_name(keyword):
    problem = refused(lambda ds, i: ds[keyword].__dict__.__setitem__("_value", "99"))
    assert problem.code == f"{NEEDED[keyword]}-invalid"


def test_a_missing_radiopharmaceutical_sequence_is_refused():
    problem = refused(lambda ds, i: delattr(ds, "RadiopharmaceuticalInformationSequence"))
    assert problem.code == "pet-total-dose-missing"


@pytest.mark.parametrize(
    ("corrections", "code"),
    [(["DECY"], "pet-corrected-image-attn"), (["ATTN", "SCAT"], "pet-corrected-image-decy")],
)
def test_a_pet_without_attenuation_or_decay_correction_is_refused(corrections, code):
    assert refused(lambda ds, i: setattr(ds, "CorrectedImage", corrections)).code == code


def test_a_pet_without_decay_correction_to_a_known_time_is_refused():
    assert refused(lambda ds, i: setattr(ds, "DecayCorrection", "NONE")).code == "pet-decay-correction"


@pytest.mark.parametrize("units", ["PROPCPS", "CM2ML", "PCNT"])
def test_other_units_are_refused(units):
    assert refused(lambda ds, i: setattr(ds, "Units", units)).code == "pet-units-unsupported"


@pytest.mark.parametrize(("suv", "activity"), [(None, None), (0, 0), (0, None), (None, 0)])
def test_counts_without_the_factors_of_the_scanner_are_refused(suv, activity):
    def change(ds, i):
        ds.Units = "CNTS"
        if suv is not None or activity is not None:
            set_philips(ds, suv, activity)

    assert refused(change).code == "pet-philips-factors-missing"


def test_counts_with_the_activity_factor_still_need_the_dose():
    def change(ds, i):
        ds.Units = "CNTS"
        set_philips(ds, activity=1.5)
        del tracer(ds).RadionuclideTotalDose

    assert refused(change).code == "pet-total-dose-missing"


def test_a_ct_is_refused():
    assert refused(lambda ds, i: setattr(ds, "Modality", "CT")).code == "pet-modality"


@pytest.mark.parametrize("kind", ["DYNAMIC", "GATED"])
def test_dynamic_and_gated_series_are_refused(kind):
    assert refused(lambda ds, i: setattr(ds, "SeriesType", [kind, "IMAGE"])).code == "pet-series-type"


def test_two_radiopharmaceuticals_are_refused():
    def change(ds, i):
        ds.RadiopharmaceuticalInformationSequence.append(tracer(ds))

    assert refused(change).code == "pet-several-radiopharmaceuticals"


def test_slices_that_disagree_on_the_weight_are_refused():
    problem = refused(lambda ds, i: setattr(ds, "PatientWeight", str(70 + i)))
    assert problem.code == "pet-headers-disagree"
    assert "PatientWeight" in problem.found


def test_megabecquerel_in_the_field_of_becquerel_are_refused_with_the_way_out():
    problem = refused(lambda ds, i: setattr(tracer(ds), "RadionuclideTotalDose", "370"))
    assert problem.code == "pet-total-dose-invalid"
    assert "--dose 370" in problem.remedy


def test_an_injection_after_the_scan_by_its_date_is_refused():
    def change(ds, i):
        tracer(ds).RadiopharmaceuticalStartDateTime = "20240131103000"

    assert refused(change).code == "pet-injection-after-scan"


def test_an_injection_minutes_after_the_scan_by_the_clock_is_not_taken_for_yesterday():
    problem = refused(lambda ds, i: setattr(tracer(ds), "RadiopharmaceuticalStartTime", "100500"))
    assert problem.code == "pet-uptake-time-impossible"


def test_dates_shifted_against_each_other_are_refused():
    def change(ds, i):
        tracer(ds).RadiopharmaceuticalStartDateTime = "20230131090000"

    assert refused(change).code == "pet-uptake-time-impossible"


def test_a_half_life_in_minutes_is_refused():
    problem = refused(lambda ds, i: setattr(tracer(ds), "RadionuclideHalfLife", "109.77"))
    assert problem.code == "pet-uptake-time-impossible"
    assert "half-li" in problem.found


def test_a_series_made_later_is_refused_where_nothing_tells_the_time_of_the_scan():
    assert refused(lambda ds, i: setattr(ds, "SeriesTime", "140000")).code == "pet-scan-time-unknown"


def test_an_offset_from_utc_without_that_of_the_other_times_is_refused():
    def change(ds, i):
        tracer(ds).RadiopharmaceuticalStartDateTime = "20240131080000+0000"

    assert refused(change).code == "pet-timezone-missing"


def test_an_offset_from_utc_is_accepted_where_the_clock_time_proves_it_local():
    def change(ds, i):
        tracer(ds).RadiopharmaceuticalStartDateTime = "20240131090000+0100"

    assert factors_from_headers(headers(change)).decay.seconds == 3600


@pytest.mark.parametrize(
    ("keyword", "value", "code"),
    [
        ("PatientSize", None, "pet-patient-size-missing"),
        ("PatientSize", "0", "pet-patient-size-zero"),
        ("PatientSize", "170", "pet-patient-size-invalid"),
        ("PatientSex", None, "pet-patient-sex-missing"),
        ("PatientSex", "O", "pet-patient-sex-invalid"),
    ],
)
def test_lean_mass_refuses_by_name_while_body_weight_still_works(keyword, value, code):
    factors = factors_from_headers(headers(lambda ds, i: setattr(ds, keyword, value)))
    assert factors.suv_bw > 0
    assert factors.sul_janmahasatian is None
    assert factors.sul_james is None
    with pytest.raises(InputRefused) as caught:
        factors.patient.lean_ratio()
    assert caught.value.code == code
    assert keyword in caught.value.found


@pytest.mark.parametrize(
    ("keyword", "given"),
    [
        ("PatientWeight", Given(weight_kg=70)),
        ("RadionuclideTotalDose", Given(dose_bq=370e6)),
        ("RadionuclideHalfLife", Given(half_life_s=6586.2)),
    ],
)
def test_a_value_given_by_hand_stands_in_for_a_missing_one_and_is_named(keyword, given):
    whole = factors_from_headers(headers())
    mended = factors_from_headers(headers(lambda ds, i: delattr(holder(ds, keyword), keyword)), given)
    assert mended.suv_bw == whole.suv_bw
    assert mended.used[keyword]["from"] == "by hand"
    assert mended.used["given_by_hand"] == given.names()


def test_no_refusal_and_no_passport_holds_a_name_or_a_date():
    factors = factors_from_headers(headers())
    assert "Secret" not in str(factors.as_dict())
    assert "SECRET" not in str(factors.as_dict())
    assert "2024" not in str(factors.as_dict())
