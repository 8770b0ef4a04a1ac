"""The torch-free tables of tensors against the networks and against the published keys."""

from __future__ import annotations

import json

import pytest
from realdata import parity_file

from BATNetLib.models.architectures import differences, is_counter, recognise, state_shapes


@pytest.mark.parametrize(("name", "group"), [("MAMUNet", "mg_atseg"), ("CEBATCls", "ce_batcls")])
def test_the_table_of_tensors_is_the_published_one_in_its_order(name: str, group: str) -> None:
    published = json.loads(parity_file("keys.json").read_text())[group]
    assert [(key, list(shape)) for key, shape in state_shapes(name).items()] == list(published.items())


@pytest.mark.parametrize("width", [2, 12, 64])
@pytest.mark.parametrize("name", ["MAMUNet", "CEBATCls"])
def test_the_table_of_tensors_is_that_of_the_network_at_every_width(name: str, width: int) -> None:
    pytest.importorskip("torch")
    from BATNetLib.models.loading import build_network

    state = build_network(name, width).state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == state_shapes(name, width)
    assert list(state) == list(state_shapes(name, width))


@pytest.mark.parametrize("name", ["MAMUNet", "CEBATCls"])
def test_a_state_dict_is_recognised_with_its_width(name: str) -> None:
    found = recognise(state_shapes(name, 16))
    assert found is not None
    assert (found[0].name, found[1]) == (name, 16)


@pytest.mark.parametrize("shapes", [{}, {"conv1.weight": (64, 3, 7, 7)}, {"conv1.conv.0.weight": ()}])
def test_a_strange_state_dict_is_not_recognised(shapes: dict) -> None:
    assert recognise(shapes) is None


def test_differences_name_the_first_few_tensors_and_count_the_rest() -> None:
    shapes = state_shapes("MAMUNet", 8)
    for key in [key for key in shapes if key.startswith("conv9.")]:
        del shapes[key]
    shapes["stranger\n"] = (1,)
    shapes["conv10.bias"] = (3,)
    words = differences(shapes, "MAMUNet", 8).in_words()
    assert (
        "14 tensors are missing (conv9.conv.0.weight, conv9.conv.0.bias, conv9.conv.1.weight, ...)" in words
    )
    assert "1 tensors do not belong to it (stranger?)" in words
    assert "conv10.bias is [3] instead of [2]" in words


def test_an_exact_state_dict_has_no_differences() -> None:
    assert not differences(state_shapes("CEBATCls", 16), "CEBATCls", 16)
    assert is_counter("conv1.conv.1.num_batches_tracked")
    assert not is_counter("conv1.conv.1.running_mean")
