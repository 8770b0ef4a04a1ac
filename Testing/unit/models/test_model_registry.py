"""The registry and the descriptions say in words what is wrong with them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from modelfiles import write_model

from BATNetLib.errors import NoModel, OutputRefused, UsageError
from BATNetLib.models import catalogue, describe_model, import_file, load_registry, operating_point, resolve
from BATNetLib.models.registry import make_entry
from BATNetLib.models.store import description_path, home_folder, models_folder, remove, stored_models

RESOURCES = Path(__file__).resolve().parents[3] / "Resources" / "models"
POINT = {"threshold": 0.5, "cohort": "A 2024", "sensitivity": 0.8, "specificity": 0.9, "n": 12}
FIELDS = {
    "name": "mine",
    "title": "Mine",
    "stage": "brown",
    "architecture": "CEBATCls",
    "width": 8,
    "licence": "MIT",
    "source": {"text": "here"},
    "trained_on": "phantoms",
}


def test_the_shipped_registry_is_read_and_names_both_sets() -> None:
    registry = load_registry(RESOURCES / "registry.json")
    assert set(registry.sets) == {"batnet", "demo"}
    for group in registry.sets.values():
        assert registry.models[group.adipose].stage == "adipose"
        assert registry.models[group.brown].stage == "brown"
    published = registry.models["batnet-brown"]
    assert (published.source.record, published.source.file) == ("17540420", "model_weights.zip")
    assert any("CN116993666B" in patent for patent in published.patents)
    assert not published.demonstration
    assert registry.models["demo-brown"].demonstration


def test_no_operating_point_is_claimed_for_the_shipped_models() -> None:
    for entry in load_registry(RESOURCES / "registry.json").models.values():
        assert operating_point(entry) is None
        assert not entry.calibrated


def test_an_operating_point_carries_its_cohort() -> None:
    entry = make_entry({**FIELDS, "operating_points": [POINT, {**POINT, "cohort": "B", "threshold": 0.1}]})
    first = operating_point(entry)
    assert first is not None
    assert (first.threshold, first.cohort, first.n) == (0.5, "A 2024", 12)
    other = operating_point(entry, cohort="B")
    assert other is not None
    assert other.threshold == 0.1
    assert operating_point(entry, cohort="C") is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"title": None}, "title should be a text"),
        ({"stage": "lungs"}, "stage should be adipose or brown, found 'lungs'"),
        ({"architecture": "MAMUNet"}, "architecture should be one of stage brown"),
        ({"width": "64"}, "width should be a whole number, found '64'"),
        ({"width": True}, "width should be a whole number"),
        ({"width": 0}, "width should be from 1 to 256"),
        ({"name": "../x"}, "name should be of lower-case letters"),
        ({"sha256": "abc"}, "sha256 should be 64 hexadecimal digits"),
        ({"shipped": "../../etc/x.safetensors"}, "shipped should be the name"),
        ({"demonstration": 1}, "demonstration should be true or false"),
        ({"source": {"text": "x", "url": "file:///etc/passwd"}}, "url should be an https address"),
        ({"source": "x"}, "source should be an object"),
        ({"operating_points": [{**POINT, "threshold": 2}]}, "threshold should be a number from 0 to 1"),
        ({"operating_points": [{**POINT, "cohort": ""}]}, "cohort should be a text that is not empty"),
        ({"operating_points": [{**POINT, "n": 0}]}, "n should be the number of patients"),
        ({"operating_points": ["x"]}, "operating point: an object is wanted, found a text"),
        ({"colour": "blue"}, "'colour' is not a field of it"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_wanted(change: dict, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        make_entry({**FIELDS, **change})
    assert words in refused.value.found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(schema_version=2), "schema_version"),
        (lambda c: c["models"].append(c["models"][0]), "same name"),
        (
            lambda c: c["sets"]["demo"].update(brown="demo-adipose"),
            "set demo: brown should name a model of that stage",
        ),
        (lambda c: c["sets"].update({"demo-brown": c["sets"]["demo"]}), "a model has the same name"),
        (lambda c: c.pop("models"), "models is missing"),
    ],
)
def test_a_registry_that_contradicts_itself_is_refused(tmp_path: Path, change, words: str) -> None:
    content = json.loads((RESOURCES / "registry.json").read_text(encoding="utf-8"))
    change(content)
    (tmp_path / "registry.json").write_text(json.dumps(content))
    with pytest.raises(NoModel) as refused:
        load_registry(tmp_path / "registry.json")
    assert words in refused.value.found


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000, "\udcff", "[]"])
def test_a_registry_that_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "registry.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(NoModel):
        load_registry(tmp_path / "registry.json")


def test_the_schema_has_the_fields_that_the_parser_takes() -> None:
    schema = json.loads((RESOURCES / "registry.schema.json").read_text(encoding="utf-8"))
    model = schema["$defs"]["model"]
    full = make_entry({**FIELDS, "shipped": "mine.safetensors", "operating_points": [POINT]}).as_dict()
    assert set(model["properties"]) - {"schema_version"} == set(full)
    for field in model["required"]:
        with pytest.raises(UsageError, match=f"{field} is missing"):
            make_entry({key: value for key, value in FIELDS.items() if key != field})
    for field in set(FIELDS) - set(model["required"]):
        make_entry({key: value for key, value in FIELDS.items() if key != field})
    source = schema["$defs"]["source"]["properties"]
    assert set(source) == {"text", "url", "record", "file", "member", "password"}
    assert set(schema["$defs"]["operating_point"]["properties"]) == set(POINT)


# --- the folder of models


@pytest.mark.parametrize(
    ("platform", "variables", "wanted"),
    [
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/batnet"),
        ("linux", {"HOME": "/home/a"}, "/home/a/.local/share/batnet"),
        ("darwin", {"HOME": "/Users/a"}, "/Users/a/Library/Application Support/BATNet"),
        ("win32", {"LOCALAPPDATA": "/C/Local"}, "/C/Local/BATNet"),
        ("linux", {"BATNET_HOME": "/elsewhere", "XDG_DATA_HOME": "/data"}, "/elsewhere"),
    ],
)
def test_each_platform_has_its_place(monkeypatch, platform: str, variables: dict, wanted: str) -> None:
    for name in ("BATNET_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert home_folder() == Path(wanted)
    assert models_folder() == Path(wanted) / "models"


def test_unknown_names_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    import_file(write_model(tmp_path, "CEBATCls"), name="clinic-brown")
    with pytest.raises(NoModel) as refused:
        resolve("batnett", "brown")
    assert refused.value.exit_code == 5
    assert "'batnett'" in refused.value.found
    assert refused.value.wanted.endswith("batnet, demo, batnet-brown, demo-brown, clinic-brown.")


@pytest.mark.parametrize("name", ["batnet", "batnet-brown"])
def test_a_published_model_that_is_not_here_says_how_to_get_it(name: str) -> None:
    with pytest.raises(NoModel) as refused:
        resolve(name, "brown")
    assert refused.value.code == "model-not-installed"
    assert "batnet models fetch batnet" in refused.value.remedy
    assert "batnet models import model_weights.zip" in refused.value.remedy
    assert "https://zenodo.org/records/17540420" in refused.value.remedy


def test_a_model_is_found_by_its_name_and_by_its_name_with_hash(tmp_path: Path) -> None:
    (model,) = import_file(write_model(tmp_path, "CEBATCls"), name="clinic")
    assert resolve("clinic", "brown") == resolve(model.path.stem, "brown") == model


def test_a_model_without_a_whole_description_is_not_listed(tmp_path: Path) -> None:
    (model,) = import_file(write_model(tmp_path, "CEBATCls"), name="clinic")
    description_path(model.path).write_text("{")
    assert stored_models() == []
    description_path(model.path).unlink()
    assert stored_models() == []


def test_removing_deletes_file_and_description(tmp_path: Path, own_home: Path) -> None:
    import_file(write_model(tmp_path, "CEBATCls"), name="clinic")
    assert [m.entry.name for m in remove("clinic")] == ["clinic"]
    assert list((own_home / "models").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "code"), [("demo", "model-shipped"), ("demo-brown", "model-shipped"), ("x", "model-unknown")]
)
def test_what_is_not_the_users_cannot_be_removed(name: str, code: str) -> None:
    with pytest.raises(UsageError) as refused:
        remove(name)
    assert refused.value.code == code


def test_a_folder_that_may_not_be_written_is_refused_in_words(tmp_path: Path, monkeypatch) -> None:
    (model,) = import_file(write_model(tmp_path, "CEBATCls"), name="clinic")

    def denied(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "denied")

    monkeypatch.setattr(Path, "unlink", denied)
    with pytest.raises(OutputRefused) as refused:
        remove("clinic")
    monkeypatch.undo()
    assert model.path.name in refused.value.found
    assert str(tmp_path) not in str(refused.value)


def test_a_shipped_model_is_listed_once_its_file_and_description_are_there(
    tmp_path: Path, monkeypatch
) -> None:
    folder = tmp_path / "Resources" / "models"
    folder.mkdir(parents=True)
    (folder / "registry.json").write_bytes((RESOURCES / "registry.json").read_bytes())
    monkeypatch.setenv("BATNET_RESOURCES", str(tmp_path / "Resources"))
    with pytest.raises(NoModel) as refused:
        resolve("demo", "brown")
    assert refused.value.code == "model-not-installed"
    path = write_model(folder, "CEBATCls", name="demo-brown")
    fields = {key: FIELDS[key] for key in ("title", "licence", "source", "trained_on")}
    describe_model(path, {**fields, "name": "demo-brown", "demonstration": True})
    found = resolve("demo", "brown")
    assert (found.path, found.entry.width, found.entry.demonstration) == (path, 2, True)
    lines = {line.entry.name: line for line in catalogue()}
    assert lines["demo-brown"].path == path
    assert lines["demo-brown"].shipped
    assert lines["demo-adipose"].path is None
