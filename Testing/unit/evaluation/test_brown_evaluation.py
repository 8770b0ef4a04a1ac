"""Tables of probabilities: refusals, the join with labels, the second model, the baseline, the report."""

import csv
import json

import numpy as np
import pytest

from BATNetLib.errors import BATNetError
from BATNetLib.evaluation import ScoreOptions, evaluate_brown, save_scores
from BATNetLib.events import Events

QUICK = ScoreOptions(resamples=200)


def rows_of(count=60, seed=1):
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        label = number % 3 == 0
        score = 1 / (1 + np.exp(-rng.normal(2.0 * label - 1, 1)))
        rows.append({"case_id": f"c{number}", "prediction": f"{score:.4f}", "label": int(label)})
    return rows


def table(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def refusal(*arguments, **options):
    with pytest.raises(BATNetError) as caught:
        evaluate_brown(*arguments, **options)
    return caught.value


def test_sensitivity_and_specificity_are_counted_at_the_given_threshold_only(tmp_path):
    rows = rows_of()
    source = table(tmp_path / "p.csv", rows)
    found = evaluate_brown(source, ScoreOptions(threshold=0.4, resamples=200))
    called = {row["case_id"]: float(row["prediction"]) >= 0.4 for row in rows}
    hits = sum(called[row["case_id"]] for row in rows if row["label"])
    assert found.metrics["sensitivity"].value == pytest.approx(hits / 20)
    assert found.metrics["sensitivity"].method == "Wilson" and found.metrics["specificity"].n == 40
    assert sum(found.confusion.values()) == 60
    without = evaluate_brown(source, QUICK)
    assert "sensitivity" not in without.metrics and without.confusion is None


def test_a_probability_equal_to_the_threshold_counts_as_positive(tmp_path):
    rows = [
        {"case_id": f"c{n}", "prediction": p, "label": y} for n, (p, y) in enumerate([(0.5, 1), (0.4, 0)])
    ]
    found = evaluate_brown(table(tmp_path / "p.csv", rows), ScoreOptions(threshold=0.5, resamples=100))
    assert found.confusion["true_positive"] == 1 and found.confusion["true_negative"] == 1


def test_patients_with_several_scans_get_intervals_over_patients(tmp_path):
    rows = [row | {"patient": f"P{n // 3}"} for n, row in enumerate(rows_of())]
    events = Events()
    options = ScoreOptions(threshold=0.5, resamples=200)
    found = evaluate_brown(table(tmp_path / "p.csv", rows), options, events=events)
    assert found.patient_count == 20 and found.repeated
    assert found.metrics["sensitivity"].method == "bootstrap of 20 patients"
    assert found.metrics["sensitivity"].low <= found.metrics["sensitivity"].value
    assert [w["code"] for w in events.warnings] == ["repeated-patients"]


def test_a_batch_is_joined_with_labels_and_not_assessable_cases_are_counted_apart(tmp_path):
    rows = rows_of(30)
    (tmp_path / "study").mkdir()
    results = [
        {
            "case_id": row["case_id"],
            "prediction": "" if n == 4 else row["prediction"],
            "outcome": "not-assessable" if n == 4 else "assessed",
            "brown_model": "demo-brown",
            "brown_sha256": "abababababab",
            "demonstration": "yes",
        }
        for n, row in enumerate(rows)
    ]
    table(tmp_path / "study" / "results.csv", results)
    labels = table(tmp_path / "labels.csv", [{"case_id": r["case_id"], "label": r["label"]} for r in rows])
    events = Events()
    found = evaluate_brown(tmp_path / "study", QUICK, labels=labels, events=events)
    assert len(found.scores.ids) == 29 and found.not_assessable == ["c4"] and found.demonstration
    save_scores(found, tmp_path / "out", warnings=events.warnings)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "trained on phantoms" in page and "demo-brown, SHA-256 abababababab (29 cases)" in page
    assert "not assessable): c4" in page


def test_a_failed_case_of_a_batch_is_refused_unless_missing_ones_are_allowed(tmp_path):
    rows = rows_of(12)
    rows[3]["prediction"] = ""
    source = table(tmp_path / "p.csv", rows)
    error = refusal(source, QUICK)
    assert error.code == "predictions-missing" and "c3" in error.found
    found = evaluate_brown(source, ScoreOptions(allow_missing=True, resamples=100))
    assert found.not_assessable == ["c3"] and len(found.scores.ids) == 11


def test_the_second_model_may_be_a_column_or_a_file_and_gives_the_same_test(tmp_path):
    rows = rows_of()
    other = rows_of(seed=9)
    both = [row | {"other": o["prediction"]} for row, o in zip(rows, other, strict=True)]
    by_column = evaluate_brown(table(tmp_path / "p.csv", both), QUICK, second="other")
    by_file = evaluate_brown(
        tmp_path / "p.csv", QUICK, second=str(table(tmp_path / "second.csv", list(reversed(other))))
    )
    assert by_column.comparison == by_file.comparison and by_file.second_name == "second"
    difference = by_column.metrics["auc"].value - by_column.second_auc.value
    assert by_column.comparison.difference.value == pytest.approx(difference)
    error = refusal(tmp_path / "p.csv", QUICK, second="othr")
    assert error.code == "comparison-unknown" and "other" in error.wanted
    table(tmp_path / "second.csv", other[:-2])
    error = refusal(tmp_path / "p.csv", QUICK, second=str(tmp_path / "second.csv"))
    assert error.code == "comparison-missing" and "c58, c59" in error.found


def clinic(tmp_path, rows, informative):
    rng = np.random.default_rng(5)
    table_rows = [
        {
            "case_id": row["case_id"],
            "age": f"{rng.normal(60 - 25 * row['label'] * informative, 8):.0f}",
            "sex": "f" if n % 2 else "M",
            "bmi": f"{rng.normal(26, 3):.1f}",
        }
        for n, row in enumerate(rows)
    ]
    return table(tmp_path / "clinic.csv", table_rows)


def test_the_baseline_finds_age_where_age_tells_and_nothing_where_it_does_not(tmp_path):
    pytest.importorskip("sklearn")
    rows = rows_of(120)
    source = table(tmp_path / "p.csv", rows)
    tells = evaluate_brown(source, QUICK, baseline=clinic(tmp_path, rows, True))
    assert tells.baseline.columns == ("age", "sex", "bmi") and tells.baseline.folds == 5
    assert tells.baseline_auc.value > 0.9
    guesses = evaluate_brown(source, QUICK, baseline=clinic(tmp_path, rows, False))
    # In the sample itself four coefficients would fit noise; out of it they must not.
    assert guesses.baseline_auc.value < 0.65
    assert guesses.baseline_comparison.difference.low > 0


def test_the_baseline_never_sees_the_patient_it_predicts(tmp_path):
    """A covariate that names the patient and the label would give it away to a fit that saw the patient."""
    pytest.importorskip("sklearn")
    from BATNetLib.evaluation.baseline import cross_validated

    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(40), 3)
    labels = np.repeat(rng.permutation(np.repeat([0, 1], 20)), 3)
    one_hot = np.eye(40)[patient]
    found = cross_validated(one_hot, labels, patient, ("age",), seed=1)
    assert all(np.ptp(found.probabilities[patient == p]) == 0 for p in range(40))
    positive, negative = found.probabilities[labels == 1], found.probabilities[labels == 0]
    assert positive.mean() <= negative.mean() + 0.05


def test_a_baseline_without_a_case_or_with_a_strange_sex_is_refused(tmp_path):
    rows = rows_of(12)
    source = table(tmp_path / "p.csv", rows)
    path = clinic(tmp_path, rows[:-1], True)
    assert "c11" in refusal(source, QUICK, baseline=path).found
    path = clinic(tmp_path, rows, True)
    path.write_text(
        path.read_text(encoding="utf-8").replace("c5,", "c5,4", 1).replace(",f,", ",x,", 1), "utf-8"
    )
    error = refusal(source, QUICK, baseline=path)
    assert error.code == "baseline-sex" and "c1" in error.found


def changed(tmp_path, number, **cells):
    rows = rows_of(12)
    rows[number] |= cells
    return table(tmp_path / "p.csv", rows)


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ({"label": 2}, "labels-invalid"),
        ({"label": -1}, "labels-invalid"),
        ({"label": "yes"}, "non-finite"),
        ({"prediction": "1.2"}, "predictions-outside"),
        ({"prediction": "-0.01"}, "predictions-outside"),
        ({"prediction": "nan"}, "non-finite"),
        ({"prediction": "inf"}, "non-finite"),
        ({"prediction": "0,5"}, "non-finite"),
    ],
    ids=str,
)
def test_values_that_cannot_be_meant_are_refused_with_the_case(tmp_path, cells, code):
    error = refusal(changed(tmp_path, 5, **cells), QUICK)
    assert error.code == code and "c5" in error.found and error.exit_code == 3


def test_a_case_twice_is_refused_with_its_id(tmp_path):
    error = refusal(changed(tmp_path, 5, case_id="c4"), QUICK)
    assert error.code == "duplicate-case-id" and "1 case more than once: c4" in error.found


def test_one_class_only_is_refused(tmp_path):
    rows = [row | {"label": 1} for row in rows_of(6)]
    error = refusal(table(tmp_path / "p.csv", rows), QUICK)
    assert error.code == "one-class" and "label 1 only" in error.found


def test_a_table_without_the_column_names_those_it_has(tmp_path):
    rows = [{"case_id": "a", "score": 0.5, "label": 1}]
    error = refusal(table(tmp_path / "p.csv", rows), QUICK)
    assert error.exit_code == 2 and "'score'" in error.found and "prediction" in error.found
    rows = [{"case_id": "a", "prediction": 0.5}]
    assert refusal(table(tmp_path / "p.csv", rows), QUICK).code == "labels-missing"


def test_a_spreadsheet_file_is_refused_as_no_text(tmp_path):
    (tmp_path / "p.csv").write_bytes(b"PK\x03\x04\0\0\0")
    assert refusal(tmp_path / "p.csv", QUICK).code == "table-unreadable"


def test_the_report_names_what_was_done_and_holds_everything_in_itself(tmp_path):
    rows = rows_of()
    found = evaluate_brown(table(tmp_path / "p.csv", rows), ScoreOptions(threshold=0.5, resamples=200))
    summary = save_scores(found, tmp_path / "out", warnings=[])
    names = {path.name for path in (tmp_path / "out").iterdir()}
    figures = {"roc.png", "reliability.png", "decision-curve.png", "raincloud.png"}
    assert names == figures | {"metrics.csv", "summary.json", "report.html"}
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 4 and "http" not in page
    assert "Research use only" in page and "Sun and Xu 2014" in page and str(tmp_path) not in page
    read = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert read["metrics"]["auc"]["value"] == pytest.approx(summary["metrics"]["auc"]["value"])
    assert len(read["bins"]) == 10 and read["confusion"] == found.confusion


def test_separated_classes_and_the_smallest_cohort_are_reported_in_words(tmp_path):
    rows = [
        {"case_id": f"c{n}", "prediction": p, "label": y} for n, (p, y) in enumerate([(0.9, 1), (0.1, 0)])
    ]
    found = evaluate_brown(table(tmp_path / "p.csv", rows), QUICK)
    save_scores(found, tmp_path / "out", warnings=[])
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "the slope has no end" in page and "nan" not in page.split("</style>")[1].split("<img")[0]


def test_the_same_seed_gives_the_same_intervals(tmp_path):
    source = table(tmp_path / "p.csv", rows_of())
    first, second = evaluate_brown(source, QUICK), evaluate_brown(source, QUICK)
    other = evaluate_brown(source, ScoreOptions(resamples=200, seed=1))
    assert first.metrics == second.metrics
    assert first.metrics["auc_bootstrap"].low != other.metrics["auc_bootstrap"].low
