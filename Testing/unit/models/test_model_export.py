"""A model goes out as a file that the published code and this program take back, number for number."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from modelfiles import WIDTH, arrays_of, write_checkpoint
from realdata import parity_file

from BATNetLib.cli import models as command
from BATNetLib.errors import BATNetError, NoModel, OutputRefused, UsageError
from BATNetLib.events import Events
from BATNetLib.models import export_model, import_file, read_weights
from BATNetLib.models.architectures import is_counter, state_shapes
from BATNetLib.models.exporting import find_model
from BATNetLib.models.store import stored_models
from BATNetLib.models.weights import file_sha256, write_safetensors

ROOT = Path(__file__).resolve().parents[3]
STAGES = {"MAMUNet": "adipose", "CEBATCls": "brown"}
GROUPS = {"MAMUNet": "mg_atseg", "CEBATCls": "ce_batcls"}


def stored(folder: Path, architecture: str = "CEBATCls", name: str = "clinic", width: int = WIDTH):
    path = write_checkpoint(folder / f"{name}.pth", architecture, width)
    fields = {"title": "Of our clinic", "licence": "own data", "trained_on": "310 CT"}
    (model,) = import_file(path, name=name, fields=fields)
    path.unlink()
    return model


def batnet(*words: object, events: Events | None = None) -> int:
    made = argparse.ArgumentParser(prog="batnet")
    command.add_parser(made.add_subparsers(), argparse.ArgumentParser(add_help=False))
    args = made.parse_args(["models", *map(str, words)])
    return args.run(args, events or Events())


def refusal(*arguments, kind: type[BATNetError] = UsageError, **options) -> BATNetError:
    with pytest.raises(kind) as found:
        export_model(*arguments, **options)
    return found.value


@pytest.mark.parametrize("architecture", list(GROUPS))
def test_a_model_of_the_published_width_has_exactly_the_published_keys(
    tmp_path: Path, architecture: str
) -> None:
    torch = pytest.importorskip("torch")
    published = json.loads(parity_file("keys.json").read_text())[GROUPS[architecture]]
    arrays = {key: np.full(shape, 0.5, np.float32) for key, shape in state_shapes(architecture).items()}
    arrays |= {key: np.array(3) for key in arrays if is_counter(key)}
    write_safetensors(tmp_path / "in.safetensors", arrays)
    out = tmp_path / "out.pth"
    done = export_model(tmp_path / "in.safetensors", out, "authors")
    state = torch.load(out, weights_only=True)
    assert [(key, list(value.shape)) for key, value in state.items()] == list(published.items())
    assert done.fits_authors


@pytest.mark.parametrize("architecture", list(GROUPS))
def test_torch_loads_the_file_strictly_and_the_network_answers_alike(
    tmp_path: Path, architecture: str
) -> None:
    torch = pytest.importorskip("torch")
    from BATNetLib.models.loading import build_network, load_model

    stored(tmp_path, architecture)
    export_model("clinic", tmp_path / "out.pth")
    network = build_network(architecture, WIDTH)
    for mapped in (False, True):
        state = torch.load(tmp_path / "out.pth", weights_only=True, map_location="cpu", mmap=mapped)
        network.load_state_dict(state, strict=True)
        for key, value in arrays_of(architecture).items():
            assert state[key].dtype == (torch.int64 if value.dtype.kind == "i" else torch.float32)
            assert np.array_equal(state[key].numpy(), value)
            assert state[key].data_ptr() % 4 == 0
    network.eval()
    ours = load_model("clinic", STAGES[architecture]).network
    torch.manual_seed(0)
    if architecture == "MAMUNet":
        inputs = [torch.rand(1, 5, 32, 32)]
    else:
        inputs = [torch.rand(1, 16, 2, 32, 32, 32), torch.rand(1, 16, 2, 32, 32, 32)]
    with torch.inference_mode():
        first, second = network(*inputs), ours(*inputs)
    for a, b in zip(
        first if isinstance(first, tuple) else [first],
        second if isinstance(second, tuple) else [second],
        strict=True,
    ):
        # Random weights overflow; what must not differ is what they overflow to.
        assert torch.equal(torch.nan_to_num(a, -1.0), torch.nan_to_num(b, -1.0))


@pytest.mark.parametrize("ending", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize("architecture", list(GROUPS))
def test_an_exported_file_imports_again_as_the_same_model(
    tmp_path: Path, architecture: str, ending: str, monkeypatch
) -> None:
    first = stored(tmp_path, architecture)
    export_model("clinic", tmp_path / f"out{ending}")
    monkeypatch.setenv("BATNET_HOME", str(tmp_path / "another computer"))
    (again,) = import_file(tmp_path / f"out{ending}")
    assert (again.entry.name, again.entry.licence) == ("clinic", "own data")
    assert again.entry.sha256 == first.entry.sha256
    assert again.path.read_bytes() == first.path.read_bytes()
    assert again.path != first.path


def test_the_same_model_gives_the_same_file_to_the_byte(tmp_path: Path) -> None:
    stored(tmp_path)
    digests = {export_model("clinic", tmp_path / name).sha256 for name in ("a.pth", "b.pth")}
    assert digests == {file_sha256(tmp_path / "a.pth")}


def test_another_width_than_the_published_one_is_written_and_said(tmp_path: Path, capsys) -> None:
    stored(tmp_path)
    events = Events()
    assert batnet("export", "clinic", "--out", tmp_path / "x.pth", "--json", events=events) == 0
    (warning,) = events.warnings
    assert warning["code"] == "width-not-published"
    assert "has width 64; this model has width 2" in warning["text"]
    facts = json.loads(capsys.readouterr().out)["exported"]
    assert not facts["fits_authors_code"]
    assert facts["file_sha256"] == file_sha256(tmp_path / "x.pth")
    assert facts["sha256"] == stored_models()[0].entry.sha256
    assert str(tmp_path) not in json.dumps(facts)
    events = Events()
    batnet("export", "clinic", "--out", tmp_path / "x.safetensors", events=events)
    assert not events.warnings


def test_a_model_that_comes_with_the_program_can_be_exported_and_stays_called_a_demonstration(
    tmp_path: Path,
) -> None:
    done = export_model("demo-brown", tmp_path / "demo.pth")
    assert done.entry.demonstration
    (again,) = import_file(tmp_path / "demo.pth", name="copy-of-demo")
    assert again.entry.demonstration
    shipped, copied = find_model("demo-brown"), find_model("copy-of-demo")
    first, second = (read_weights(model.path).arrays for model in (shipped, copied))
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[key], second[key]) for key in first)


def test_a_file_of_weights_can_be_named_instead_of_a_model(tmp_path: Path) -> None:
    model = stored(tmp_path)
    bare = tmp_path / "bare.safetensors"
    bare.write_bytes(model.path.read_bytes())
    export_model(bare, tmp_path / "out.pth")
    assert read_weights(tmp_path / "out.pth").stage == "brown"


def test_what_cannot_be_exported_is_refused_in_words(tmp_path: Path) -> None:
    model = stored(tmp_path)
    out = tmp_path / "out.pth"
    assert "demo-adipose and demo-brown" in refusal("demo", out).found
    unknown = refusal("nobody", out, kind=NoModel)
    assert "clinic" in unknown.wanted
    assert refusal("batnet-brown", out, kind=NoModel).code == "model-not-installed"
    assert refusal("clinic", tmp_path / "out.txt").code == "export-format"
    assert refusal("clinic", tmp_path / "out.safetensors", "authors").code == "export-format"
    assert refusal("clinic", model.path, replace_existing=True).code == "output-is-input"
    foreign = write_checkpoint(tmp_path / "foreign.pth", "CEBATCls")
    assert refusal(foreign, out, kind=NoModel).code == "model-not-imported"
    assert not out.exists()


def test_a_file_is_written_over_only_when_asked(tmp_path: Path) -> None:
    stored(tmp_path)
    out = tmp_path / "out.pth"
    out.write_text("somebody's own file")
    assert refusal("clinic", out).code == "output-exists"
    assert out.read_text() == "somebody's own file"
    export_model("clinic", out, replace_existing=True)
    assert read_weights(out).width == WIDTH


def test_a_model_changed_since_it_was_stored_is_not_exported(tmp_path: Path) -> None:
    model = stored(tmp_path)
    data = bytearray(model.path.read_bytes())
    data[-1] ^= 1
    model.path.write_bytes(data)
    assert refusal("clinic", tmp_path / "out.pth", kind=NoModel).code == "model-hash"
    assert not list(tmp_path.glob("out*"))


def test_a_place_that_cannot_be_written_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    stored(tmp_path)
    (tmp_path / "file").write_text("")
    refused = refusal("clinic", tmp_path / "file" / "out.pth", kind=OutputRefused)
    assert refused.code == "output-unwritable"


def test_exporting_stops_when_asked_and_leaves_nothing(tmp_path: Path) -> None:
    stored(tmp_path)
    events = Events()
    events.cancel()
    with pytest.raises(BATNetError) as stopped:
        export_model("clinic", tmp_path / "out.pth", events=events)
    assert stopped.value.code == "cancelled"
    assert not list(tmp_path.glob("*out*"))


def test_exporting_needs_no_torch(tmp_path: Path) -> None:
    stored(tmp_path)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from BATNetLib.cli import main\n"
        "sys.exit(main(['models', 'export', 'clinic', '--format', 'authors', '--out', sys.argv[1]]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "o.pth")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Wrote o.pth: clinic (CEBATCls, width 2)" in done.stdout
