"""Hounsfield units, contrast, metal, sampling: each finding fires and stays silent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from unit.anatomy import as_volume, ct

from BATNetLib.preflight import preflight
from BATNetLib.volume.geometry import Volume

#: The synthetic patient has 3 mm pixels and a small matrix, and nothing else to be found.
USUAL = {"large-pixels", "small-matrix"}


def findings(volume: Volume, **limits) -> dict:
    return {f.code: f for f in preflight(volume, config=limits or None).findings}


def shifted_tissue(volume: Volume, hu: float) -> Volume:
    return volume.with_array(np.where(volume.array > -500, volume.array + hu, volume.array))


def test_a_plain_patient_gives_no_finding_beyond_the_sampling() -> None:
    found = findings(ct())
    assert set(found) == USUAL
    assert all(f.level == "warn" for f in found.values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: np.clip((a + 300) / 500 * 255, 0, 255).astype(np.uint8), "8 bits"),
        (lambda a: (a + 1024).clip(0).astype(np.int16), "rescale intercept"),
        (lambda a: (a - a.mean()) / a.std(), "normalised"),
        (lambda a: np.clip(a, -300, 200), "clipped"),
        (lambda a: (a + 1000).clip(0) / 4 + np.random.default_rng(0).random(a.shape) * 300, "MR"),
    ],
    ids=["8 bit", "stored values", "normalised", "windowed", "MR-like"],
)
def test_values_that_are_no_hu_block_and_nothing_else_is_guessed(change, words: str) -> None:
    found = findings(ct().with_array(change(ct().array)))
    assert set(found) - USUAL == {"not-hu"}
    assert found["not-hu"].level == "block"
    assert words in found["not-hu"].sentence


def test_air_that_resampling_filled_in_is_no_proof_of_hu() -> None:
    rng = np.random.default_rng(0)
    array = rng.normal(600, 100, (40, 60, 60)).astype(np.float32)
    array[:, :20] = -1024.0
    volume = as_volume(array, resampled={"degrees": 12.0})
    assert findings(volume)["not-hu"].level == "block"
    assert "MR" in findings(volume)["not-hu"].sentence
    turned = as_volume(np.where(ct().array < -1010, -1024, ct().array), resampled={"degrees": 12.0})
    assert "not-hu" not in findings(turned)


def test_air_alone_has_no_body() -> None:
    found = findings(as_volume(np.full((40, 60, 60), -1000.0, np.float32)))
    assert found["no-body"].level == "block"


@pytest.mark.parametrize(
    ("hu", "level"), [(0, None), (20, None), (60, "warn"), (-50, "warn"), (150, "block")]
)
def test_soft_tissue_must_lie_where_it_belongs(hu: float, level: str | None) -> None:
    found = findings(shifted_tissue(ct(), hu)).get("hu-shifted")
    assert (found.level if found else None) == level
    if found:
        assert f"{found.values['soft_tissue_hu']:.0f} HU" in found.sentence
        assert found.values["soft_tissue_hu"] == pytest.approx(50 + hu, abs=12)


def test_fat_must_lie_where_it_belongs() -> None:
    volume = ct(noise=5.0)
    array = np.where((volume.array < -60) & (volume.array > -140), volume.array + 60, volume.array)
    found = findings(volume.with_array(array))
    assert found["hu-shifted"].level == "warn"
    assert found["hu-shifted"].values["fat_hu"] == pytest.approx(-40, abs=12)


def test_a_body_without_fat_is_named() -> None:
    assert findings(ct(extra=("fatless",)))["no-fat-peak"].level == "warn"


def test_air_that_is_not_near_minus_1000_is_noted() -> None:
    volume = ct(noise=5.0)
    found = findings(volume.with_array(np.where(volume.array < -900, volume.array + 75, volume.array)))
    assert found["air-level"].level == "note"
    assert found["air-level"].values["air_hu"] == pytest.approx(-925, abs=5)


@pytest.mark.parametrize(("blood", "fires"), [(40.0, False), (70.0, False), (130.0, True), (300.0, True)])
def test_contrast_shows_in_heart_and_vessels(blood: float, fires: bool) -> None:
    found = findings(ct(blood=blood))
    assert set(found) - USUAL == ({"contrast"} if fires else set())
    if fires:
        assert found["contrast"].values["vessels_hu"] == pytest.approx(blood, abs=10)


def test_contrast_that_the_file_names_is_said_even_where_it_is_not_seen() -> None:
    volume = ct()
    assert findings(replace(volume, facts={"contrast_agent": True}))["contrast"].level == "warn"
    assert "contrast" not in findings(replace(volume, facts={"contrast_agent": False}))


def test_metal_is_measured_in_the_body_only() -> None:
    assert findings(ct(extra=("metal",)))["metal"].values["volume_ml"] == pytest.approx(1.4, abs=0.3)
    assert findings(ct(extra=("metal",)))["metal"].level == "warn"
    assert findings(ct(extra=("metal",)), metal_warn_ml=2.0)["metal"].level == "note"
    volume = ct()
    array = volume.array.copy()
    array[:, 85, 20:100] = 3071.0  # a rail of the table
    assert "metal" not in findings(volume.with_array(array))


def test_metal_below_the_cut_plane_does_not_count() -> None:
    volume = ct()
    array = volume.array.copy()
    array[90:93, 45:50, 60:65] = 3071.0
    assert "metal" not in findings(volume.with_array(array))


@pytest.mark.parametrize(
    ("spacing", "code", "level"),
    [
        ((6.0, 3.0, 3.0), "thick-slices", "warn"),
        ((11.0, 3.0, 3.0), "thick-slices", "block"),
        ((5.0, 3.0, 3.0), "thick-slices", None),
        ((3.0, 6.0, 6.0), "large-pixels", "block"),
        ((3.0, 3.0, 3.0), "large-pixels", "warn"),
        ((3.0, 1.9, 1.9), "large-pixels", None),
        ((3.0, 3.0, 3.3), "unequal-pixels", "warn"),
        ((3.0, 3.0, 3.1), "unequal-pixels", None),
    ],
)
def test_sampling(spacing: tuple[float, float, float], code: str, level: str | None) -> None:
    found = findings(as_volume(ct().array, spacing)).get(code)
    assert (found.level if found else None) == level
    if found and code == "thick-slices":
        assert f"{spacing[0]:g} mm" in found.sentence


def test_a_full_matrix_is_not_called_small() -> None:
    shape = (30, 256, 256)
    assert "small-matrix" not in findings(as_volume(np.full(shape, -1000.0, np.float32)))


def test_what_reading_had_to_assume_is_passed_on() -> None:
    found = findings(as_volume(ct().array, spacing_unknown=True, resampled={"degrees": 7.5}))
    assert found["spacing-unknown"].level == "warn"
    assert "7.5 degrees" in found["resampled"].sentence
