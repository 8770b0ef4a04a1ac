"""``batnet models`` as a person and as a program use it."""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from modelfiles import WIDTH, narrow_registry, write_checkpoint
from recordserver import RecordServer

from BATNetLib.cli import main
from BATNetLib.cli import models as command
from BATNetLib.errors import InputRefused, UsageError
from BATNetLib.events import Events, JsonLines
from BATNetLib.models import download
from BATNetLib.models.store import stored_models

ROOT = Path(__file__).resolve().parents[3]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="batnet")
    common = argparse.ArgumentParser(add_help=False)
    command.add_parser(made.add_subparsers(), common)
    return made


def batnet(*words: object, events: Events | None = None) -> int:
    args = parser().parse_args(["models", *map(str, words)])
    return args.run(args, events or Events())


@pytest.fixture
def server(tmp_path: Path, archive: bytes, monkeypatch):
    narrow_registry(tmp_path, monkeypatch)
    made = RecordServer(archive)
    yield made
    made.close()


def test_the_list_names_licence_source_training_and_patent(capsys) -> None:
    assert batnet("list") == 0
    said = capsys.readouterr().out
    for words in (
        "batnet-brown  (brown; not installed)",
        "CN116993666B",
        "Zenodo record 17540420",
        "Demonstration model, trained on phantoms",
        "Licence: MIT",
        "Trained on: ",
        "demo: demo-adipose and demo-brown",
        "Research use only, not a medical device.",
    ):
        assert words in said


def test_the_list_for_programs_holds_the_same_without_passwords_and_folders(
    tmp_path: Path, capsys, own_home
) -> None:
    batnet(
        "import",
        write_checkpoint(tmp_path / "w.pth", "CEBATCls"),
        "--name",
        "clinic",
        "--trained-on",
        "310 CT",
    )
    capsys.readouterr()
    assert batnet("list", "--json") == 0
    text = capsys.readouterr().out
    models = {m["name"]: m for m in json.loads(text)["models"]}
    assert models["clinic"]["installed"]
    assert models["clinic"]["trained_on"] == "310 CT"
    assert models["clinic"]["bytes"] > 1000
    assert not models["batnet-brown"]["installed"]
    assert "password" not in text
    assert str(own_home) not in text


def test_a_file_is_imported_listed_and_removed(tmp_path: Path, capsys) -> None:
    assert batnet("import", write_checkpoint(tmp_path / "w.pth", "MAMUNet"), "--name", "mine", "--json") == 0
    (stored,) = json.loads(capsys.readouterr().out)["stored"]
    assert (stored["stage"], stored["width"], stored["file"][:5]) == ("adipose", WIDTH, "mine-")
    assert batnet("remove", "mine") == 0
    assert f"Removed {stored['file']}" in capsys.readouterr().out
    assert stored_models() == []


def test_where_names_the_folder(capsys, own_home: Path) -> None:
    assert batnet("where") == 0
    assert capsys.readouterr().out.strip() == str(own_home / "models")
    assert batnet("where", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"folder": str(own_home / "models")}


def test_a_refused_file_raises_its_words(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_text("<html>404</html>")
    with pytest.raises(InputRefused):
        batnet("import", path)


def test_nothing_is_downloaded_without_a_word(server, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(UsageError) as refused:
        batnet("fetch", "batnet", "--url", server.base)
    assert refused.value.exit_code == 2
    assert "batnet models fetch batnet --yes" in refused.value.remedy
    assert server.file_requests() == []
    said = capsys.readouterr().err
    for words in (
        "model_weights.zip",
        "cc-by-4.0",
        "127.0.0.1",
        "CN116993666B",
        "MB",
        "zenodo.org/records/17540420",
    ):
        assert words in said


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "taken"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_on_a_terminal_the_user_is_asked(server, monkeypatch, capsys, answer: str, taken: bool) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    if taken:
        assert batnet("fetch", "batnet", "--url", server.base) == 0
        assert "Use it with: batnet analyze" in capsys.readouterr().out
    else:
        with pytest.raises(UsageError):
            batnet("fetch", "batnet", "--url", server.base)
    assert len(stored_models()) == (2 if taken else 0)
    assert len(server.file_requests()) == (1 if taken else 0)


def test_fetching_with_yes_tells_programs_what_was_stored(server, capsys) -> None:
    assert batnet("fetch", "batnet", "--yes", "--url", server.base, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert [m["name"] for m in facts["stored"]] == ["batnet-adipose", "batnet-brown"]
    assert facts["plan"]["licence"] == "cc-by-4.0"
    assert batnet("fetch", "batnet", "--json") == 0
    assert json.loads(capsys.readouterr().out)["already_installed"]


def test_with_events_every_line_of_the_output_is_json(server, capsys) -> None:
    assert batnet("fetch", "batnet", "--yes", "--url", server.base, events=JsonLines()) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["event"] == "result"
    assert lines[-1]["action"] == "fetch"
    loading = [line for line in lines if line.get("name") == "download model_weights.zip"]
    assert loading[-1]["done"] == loading[-1]["total"] == server.size


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["list"], 0),
        (["fetch", "demo"], 2),
        (["remove", "nothing"], 2),
        (["import", "nothing.pth"], 3),
        (["fetch", "batnet", "--yes", "--url", "http://127.0.0.1:9/api"], 5),
    ],
)
def test_the_exit_code_says_how_it_ended(words: list[str], code: int, monkeypatch, capsys) -> None:
    monkeypatch.setattr(download, "FIRST_WAIT", 0.01)
    assert main(["models", *words]) == code
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("action", ["list", "fetch", "import", "export", "remove", "where"])
def test_every_action_has_a_help_with_an_example(action: str, capsys) -> None:
    with pytest.raises(SystemExit) as left:
        parser().parse_args(["models", action, "--help"])
    assert left.value.code == 0
    assert f"Example: batnet models {action}" in " ".join(capsys.readouterr().out.split())


def test_the_command_needs_only_the_standard_library_until_it_runs() -> None:
    code = (
        "import sys, argparse; from BATNetLib.cli import models\n"
        "common = argparse.ArgumentParser(add_help=False)\n"
        "models.add_parser(argparse.ArgumentParser().add_subparsers(), common)\n"
        "assert not {'numpy', 'torch', 'safetensors', 'urllib.request'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
