"""Regions in dispute, and the mask that comes of deciding them."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from BATNetLib.agreement.adjudication import ADJUDICATED, adjudicate, save_adjudicated
from BATNetLib.agreement.regions import find_regions
from BATNetLib.annotation.store import Store
from BATNetLib.errors import InputRefused, UsageError
from BATNetLib.symmetry import MirrorPlane
from BATNetLib.volume import Grid, Volume

GRID = Grid.canonical((6, 12, 20), (3.0, 2.0, 2.0), (-19.0, 0.0, 0.0))
ML = 0.012
MIDDLE = MirrorPlane.from_angles((0.0, 0.0, 0.0))


def mask(*boxes):
    array = np.zeros(GRID.shape, np.uint8)
    for box in boxes:
        array[tuple(slice(*side) for side in box)] = 1
    return Volume(array, GRID)


BOTH = ((1, 3), (2, 4), (3, 6))  # 12 voxels on the right that both have
ONLY_ANNA = ((1, 3), (2, 4), (6, 9))  # 12 beside it
ONLY_BEN = ((4, 5), (8, 10), (14, 18))  # 8 on the left


def two():
    return {"anna": mask(BOTH, ONLY_ANNA), "ben": mask(BOTH, ONLY_BEN)}


def test_regions_tell_who_has_them_on_which_side_how_much_and_where():
    found = find_regions(two(), plane=MIDDLE)
    first, second = found.regions
    assert (first.number, first.has, first.lacks, first.side) == (1, ("anna",), ("ben",), "right")
    assert (second.number, second.has, second.lacks, second.side) == (2, ("ben",), ("anna",), "left")
    assert (first.ml, second.ml) == pytest.approx((12 * ML, 8 * ML)) and first.voxels == 12
    assert found.agreed_ml == pytest.approx(12 * ML)
    # Columns 6 to 8 at -19 + 2 mm each, rows 2 and 3 at 2 mm, slices 1 and 2 downwards at 3 mm.
    assert first.centroid == pytest.approx((-5.0, 5.0, -4.5))
    assert found.at(first.inside) is first and found.at(first.centroid) is first
    assert np.array_equal(found.mask(2), (two()["ben"].array > 0) & (two()["anna"].array == 0))
    assert first.words() == "0.14 mL on the right: anna has it, ben does not"


def test_a_click_beside_a_region_or_outside_the_image_finds_nothing():
    found = find_regions(two())
    assert found.at((0.0, 0.0, 0.0)) is None and found.at((500.0, 0.0, 0.0)) is None


def test_a_region_across_the_middle_becomes_two_questions():
    masks = {"anna": mask(((1, 2), (2, 4), (7, 14))), "ben": mask()}
    whole, split = find_regions(masks), find_regions(masks, plane=MIDDLE)
    assert [r.voxels for r in whole.regions] == [14] and whole.regions[0].side is None
    assert [(r.voxels, r.side) for r in split.regions] == [(8, "left"), (6, "right")]


def test_touching_regions_of_different_readers_stay_apart():
    masks = {"anna": mask(((0, 2), (0, 2), (0, 4))), "ben": mask(((0, 2), (0, 2), (4, 6)))}
    found = find_regions(masks)
    assert [(r.has, r.voxels) for r in found.regions] == [(("anna",), 16), (("ben",), 8)]


def test_three_readers_are_told_apart_and_listed_in_words():
    masks = two() | {"cleo": mask(BOTH, ONLY_ANNA, ONLY_BEN)}
    first, second = find_regions(masks).regions
    assert first.has == ("anna", "cleo") and first.lacks == ("ben",)
    assert second.has == ("ben", "cleo") and second.words().endswith("ben and cleo have it, anna does not")


def test_small_regions_are_counted_and_not_listed():
    masks = two()
    masks["ben"].array[5, 11, 0] = 1
    found = find_regions(masks, smallest_ml=2 * ML)
    assert len(found.regions) == 2 and found.small_regions == 1
    assert found.small_ml == pytest.approx(ML) and found.small.sum() == 1 and found.labels[5, 11, 0] == 0
    assert len(find_regions(masks).regions) == 3


def test_equal_and_empty_masks_have_no_regions():
    same = mask(BOTH)
    assert find_regions({"a": same, "b": same}).regions == []
    nothing = find_regions({"a": mask(), "b": mask()})
    assert nothing.regions == [] and nothing.agreed_ml == 0 and not nothing.labels.any()


def test_one_reader_or_another_grid_is_refused():
    with pytest.raises(UsageError, match="Two to"):
        find_regions({"a": mask()})
    other = Volume(mask().array, Grid.canonical(GRID.shape, (3.0, 2.0, 2.1)))
    with pytest.raises(InputRefused, match="mask of ben"):
        find_regions({"anna": mask(), "ben": other})


def test_deciding_gives_what_all_have_and_the_regions_that_were_marked():
    masks = two()
    found = find_regions(masks, plane=MIDDLE)
    result = adjudicate(masks, found, {1: True, 2: False}, by="Dr C")
    assert np.array_equal(result.mask.array, mask(BOTH, ONLY_ANNA).array)
    assert result.ml == pytest.approx(24 * ML)
    result = adjudicate(masks, found, {1: "ben", 2: "ben"}, by={1: "Dr C", 2: "Dr D"})
    assert np.array_equal(result.mask.array, masks["ben"].array)
    assert [(d.marked, d.as_reader, d.by) for d in result.decisions] == [
        (False, "ben", "Dr C"), (True, "ben", "Dr D"),
    ]  # fmt: skip
    assert "decided by Dr C, Dr D" in result.words() and all(
        d.time.endswith("+00:00") for d in result.decisions
    )


@pytest.mark.parametrize(("rest", "expected"), [("mark", 1), ("leave", 0), ("majority", 0)])
def test_small_regions_follow_the_rule_that_was_chosen(rest, expected):
    masks = two()
    masks["ben"].array[5, 11, 0] = 1
    found = find_regions(masks, smallest_ml=2 * ML)
    choices = {1: False, 2: False}
    with pytest.raises(InputRefused, match="A rule for them"):
        adjudicate(masks, found, choices, by="Dr C")
    result = adjudicate(masks, found, choices, by="Dr C", rest=rest)
    assert result.mask.array[5, 11, 0] == expected
    assert result.rest_ml == pytest.approx(expected * ML) and "Smaller regions were" in result.words()


def test_two_of_three_are_a_majority():
    masks = two() | {"cleo": mask(BOTH, ONLY_ANNA)}
    found = find_regions(masks, smallest_ml=99.0)
    result = adjudicate(masks, found, {}, by="nobody", rest="majority")
    assert np.array_equal(result.mask.array, mask(BOTH, ONLY_ANNA).array)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000), readers=st.integers(2, 4), sided=st.booleans(), share=st.floats(0.02, 0.6)
)
def test_deciding_everything_as_one_reader_has_it_gives_that_readers_mask(seed, readers, sided, share):
    rng = np.random.default_rng(seed)
    masks = {f"r{i}": Volume((rng.random(GRID.shape) < share).astype(np.uint8), GRID) for i in range(readers)}
    found = find_regions(masks, plane=MIDDLE if sided else None)
    sizes = [region.voxels for region in found.regions]
    arrays = [m.array > 0 for m in masks.values()]
    disputed = np.logical_or.reduce(arrays) & ~np.logical_and.reduce(arrays)
    assert sizes == sorted(sizes, reverse=True) and sum(sizes) == disputed.sum() == (found.labels > 0).sum()
    chosen = f"r{seed % readers}"
    result = adjudicate(masks, found, {r.number: chosen for r in found.regions}, by="Dr C")
    assert np.array_equal(result.mask.array, masks[chosen].array)
    for region in found.regions[:5]:
        assert found.at(region.inside) is region
        for name, own in masks.items():
            has = own.array[found.mask(region.number)]
            assert has.all() if name in region.has else not has.any()


def test_open_regions_unknown_ones_and_nameless_decisions_are_refused():
    masks = two()
    found = find_regions(masks)
    with pytest.raises(InputRefused, match=r"1 region with .* is not decided yet"):
        adjudicate(masks, found, {1: True}, by="Dr C")
    for choices, word in (({1: True, 2: True, 3: True}, "regions 3"), ({1: "zoe", 2: True}, "'zoe'")):
        with pytest.raises(UsageError, match=word):
            adjudicate(masks, found, choices, by="Dr C")
    with pytest.raises(UsageError, match="Nobody's name"):
        adjudicate(masks, found, {1: True, 2: True}, by=" ")
    with pytest.raises(UsageError, match="other readers"):
        adjudicate({"zoe": mask(), "ben": mask()}, found, {1: True, 2: True}, by="Dr C")


def test_an_adjudicated_mask_is_a_version_with_its_decisions_beside_it(tmp_path):
    masks = two()
    found = find_regions(masks, plane=MIDDLE)
    store = Store(tmp_path)
    result = adjudicate(masks, found, {1: True, 2: False}, by="Dr C")
    version = save_adjudicated(
        store, "P01", result, versions={"anna": 3, "ben": 1}, midplane=MIDDLE.as_dict()
    )
    brown, _, record = store.read(store.newest("P01", ADJUDICATED))
    assert np.array_equal(brown.array, result.mask.array)
    assert record.finished and record.edited_from == "adjudication of anna v0003, ben v0001"
    assert "decided by Dr C" in record.comment
    again = save_adjudicated(store, "P01", result, versions={"anna": 3, "ben": 1})
    assert (version.number, again.number, again.record.parent) == (1, 2, 1)
    facts = json.loads((version.folder.parent / "adjudication-v0001.json").read_text())
    assert [(d["region"], d["marked"], d["decided_by"]) for d in facts["decisions"]] == [
        (1, True, "Dr C"), (2, False, "Dr C"),
    ]  # fmt: skip
    assert facts["versions"] == {"anna": 3, "ben": 1} and "Research use only" in facts["statement"]
