"""Configurations: presets, files, overrides; whatever does not fit is refused by the name of its field."""

import math

import pytest

from BATNetLib.errors import UsageError
from BATNetLib.training.config import (
    METRICS,
    PRESETS,
    STAGES,
    Schedule,
    fields_of,
    make_config,
    preset_values,
    read_config,
    resolve,
    write_config,
)
from BATNetLib.training.optimise import rate_factor


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_whole_and_is_stored_and_read_as_it_was(stage, preset, tmp_path):
    config = resolve(stage, preset)
    assert (config.stage, config.preset) == (stage, preset)
    write_config(config, tmp_path / "config.yaml")
    assert read_config(tmp_path / "config.yaml") == config
    assert make_config(config.as_dict()).digest() == config.digest()
    assert config.metric().name in METRICS[stage]


def test_the_file_goes_before_the_preset_and_an_override_before_the_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("epochs: 7\nseed: 3\noptimiser:\n  rate: 1e-3\namp: off\n")
    config = resolve("adipose", "modern", file, ["seed=4", "schedule.warmup_epochs=1"], width=8, epochs=None)
    assert (config.epochs, config.seed, config.width, config.amp) == (7, 4, 8, "off")
    assert config.optimiser.rate == 0.001 and config.optimiser.name == "adamw"
    assert config.schedule.warmup_epochs == 1 and config.schedule.name == "cosine"


def test_a_file_may_name_its_preset(tmp_path):
    (tmp_path / "mine.yaml").write_text("preset: modern\n")
    assert resolve("brown", None, tmp_path / "mine.yaml").preset == "modern"


@pytest.mark.parametrize(
    ("override", "code", "words"),
    [
        ("optimiser.rat=1", "config-unknown", "optimiser.rat"),
        ("speed=1", "config-unknown", "speed"),
        ("optimiser.rate=fast", "config-field", "a number from 0 to 10"),
        ("optimiser.rate=-1", "config-field", "optimiser.rate"),
        ("optimiser.rate=0", "config-field", "above 0"),
        ("optimiser=adam", "config-field", "a group of fields"),
        ("optimiser.betas=[0.9]", "config-field", "a list of 2 numbers"),
        ("epochs=0", "config-field", "a whole number from 1"),
        ("epochs=2.5", "config-field", "a whole number"),
        ("epochs=true", "config-field", "a whole number"),
        ("epochs=.nan", "config-field", "epochs"),
        ("amp=half", "config-field", "off, bf16, fp16"),
        ("deep_supervision=1", "config-field", "true or false"),
        ("early_stopping.metric=auc", "config-field", "dice, validation_loss"),
        ("loss={bce: 0, dice: 0}", "config-field", "above 0"),
        ("devices=3", "config-field", "a multiple of the 3 devices"),
        ("epochs", "override-unreadable", "epochs"),
        ("epochs=[1", "config-field", "a plain value"),
        ("start=fat", "config-field", "stage brown"),
    ],
)
def test_a_field_that_does_not_fit_is_refused_by_its_name(override, code, words):
    with pytest.raises(UsageError) as caught:
        resolve("adipose", "published", None, [override])
    assert caught.value.code == code and words in str(caught.value)


def test_a_file_that_is_no_configuration_is_refused_in_words(tmp_path):
    for text, code in (("- 1\n- 2\n", "config-unreadable"), ("a: [1\n", "config-unreadable")):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(UsageError) as caught:
            resolve("adipose", None, tmp_path / "bad.yaml")
        assert caught.value.code == code and str(tmp_path) not in str(caught.value)
    with pytest.raises(UsageError, match=r"'none.yaml' does not exist"):
        resolve("adipose", None, tmp_path / "none.yaml")
    (tmp_path / "brown.yaml").write_text("stage: brown\n")
    with pytest.raises(UsageError, match="the stage that is trained"):
        resolve("adipose", None, tmp_path / "brown.yaml")


def test_a_list_in_a_file_replaces_that_of_the_preset(tmp_path):
    (tmp_path / "a.yaml").write_text("schedule: {milestones: [5]}\n")
    assert resolve("adipose", None, tmp_path / "a.yaml").schedule.milestones == (5,)


def test_every_field_has_a_dotted_name():
    fields = fields_of("adipose")
    assert fields["optimiser.rate"] == 0.01 and fields["loss.bce"] == 0.3 and fields["clip"] is None


def test_the_learning_rate_goes_the_published_way():
    steps = Schedule("multistep", (10, 20, 50), 0.1)
    factors = [rate_factor(steps, 100, 7, epoch * 7 + 6) for epoch in (0, 9, 10, 19, 20, 49, 50, 99)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_the_cosine_warms_up_and_ends_at_its_factor():
    cosine = Schedule("cosine", factor=0.01, warmup_epochs=2)
    factors = [rate_factor(cosine, 10, 5, step) for step in range(50)]
    assert factors[:10] == sorted(factors[:10]) and factors[0] < 0.2
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert max(factors) == pytest.approx(1.0) and factors[-1] < 0.02
    assert factors[30] == pytest.approx(0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi / 2)))


def test_presets_of_the_demonstration_do_not_stand_among_those_for_data():
    assert set(PRESETS) == {"published", "modern"}
    assert preset_values("published", "brown")["loss"] == {"case": 0.7, "patch": 0.3}


def test_the_model_whose_masks_are_trained_on_is_named_and_not_a_place_on_this_computer():
    with pytest.raises(UsageError, match="models import") as caught:
        resolve("brown", None, None, ["segmenter=/home/anna/models/fat.safetensors"])
    assert "anna" not in str(caught.value)
    assert resolve("brown", None, None, ["segmenter=my-clinic-fat"]).segmenter == "my-clinic-fat"
