"""The set-up card: what is missing, one button that fixes it, nothing unasked; the rest works without it."""

from __future__ import annotations

import importlib
import sys

import pytest
import slicer
from batnet_cases import MODULE, ByCommand, answers_doctor, ct_node, hands_out, open_batnet, result_folder
from BATNetSlicer import packages
from stage import scripted_engine as script


@pytest.fixture
def without(monkeypatch):
    """``without("torch", ...)``: these packages are not installed, as far as anybody can look."""

    def hide(*names):
        real_version, real_find = packages.importlib.metadata.version, packages.importlib.util.find_spec

        def version(name):
            if name in names:
                raise packages.importlib.metadata.PackageNotFoundError(name)
            return real_version(name)

        monkeypatch.setattr(packages.importlib.metadata, "version", version)

        def find_spec(name, *more):
            return None if name in names else real_find(name, *more)

        monkeypatch.setattr(packages.importlib.util, "find_spec", find_spec)
        slicer.packaging.absent.update(name.lower() for name in names)

    return hide


EXTENSION = """
asked, answer = [], object()


class PyTorchUtilsLogic:
    def installTorch(self, askConfirmation=False, torchVersionRequirement=None, **_):
        asked.append((askConfirmation, torchVersionRequirement))
        return answer
"""


@pytest.fixture
def pytorch_extension(monkeypatch, tmp_path):
    """The PyTorch extension; ``.asked`` holds what was asked of it, ``.answer`` what it gives."""
    (tmp_path / "PyTorchUtils.py").write_text(EXTENSION)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("PyTorchUtils")
    del sys.modules["PyTorchUtils"]


def test_with_everything_there_but_a_model_the_card_says_so(open_panel):
    ui = open_batnet(open_panel).ui
    assert ui.setupButton.text == "Set-up: 1 to do"
    assert ui.torchText.text.startswith("PyTorch 2.") and ui.torchButton.isHidden()
    assert "demonstration models" in ui.modelsText.text and not ui.fetchButton.isHidden()
    assert slicer.packaging.installed == [], "nothing was installed unasked"


def test_with_the_published_models_the_set_up_is_ready(open_panel):
    panel = open_batnet(open_panel, answers_doctor(models=("batnet-adipose", "batnet-brown")))
    assert panel.ui.setupButton.text == "Set-up: ready"
    assert panel.ui.fetchButton.isHidden()


def test_without_torch_the_panel_opens_and_reviews_old_results(open_panel, without, process_events):
    folder = result_folder()
    without("torch")
    panel = open_batnet(open_panel)
    assert "PyTorch is missing" in panel.ui.torchText.text and not panel.ui.torchButton.isHidden()
    from BATNetSlicer.scene import load_result

    analysis = load_result(folder, ct_node())
    panel.parameters.analysis = analysis.node
    assert process_events(lambda: not panel._todo, 5)
    assert "brown-fat probability" in panel.ui.resultLabel.text
    panel.ui.patchMapBox.click()
    assert panel.patches.overlays.patch_map


def test_a_run_without_torch_says_where_to_get_it(open_panel, process_events):
    refusal = script.error(
        "torch-missing", "PyTorch is not installed.", "It runs the networks.", "Install it.", 5
    )
    panel = open_batnet(open_panel, answers_doctor(then=[refusal]))
    panel.parameters.ct = ct_node()
    panel.ui.applyButton.click()
    assert process_events(lambda: panel.run is None, 5)
    assert panel.ui.statusLabel.text == "PyTorch is not installed. See the card Set-up."
    assert not panel.ui.setupButton.collapsed


def test_without_a_model_the_real_engine_refuses_before_it_reads_the_scan(open_panel, process_events):
    panel = open_batnet(open_panel)
    panel.runner = None
    panel.parameters.ct = ct_node()
    assert panel.parameters.model == "batnet"
    panel.ui.applyButton.click()
    assert process_events(lambda: panel.run is None, 30)
    assert "batnet-adipose" in panel.ui.statusLabel.text or "batnet-brown" in panel.ui.statusLabel.text
    assert not panel.ui.setupButton.collapsed and panel.ui.applyButton.enabled


def test_torch_comes_through_the_pytorch_extension_which_asks(open_panel, without, pytorch_extension):
    without("torch")
    ui = open_batnet(open_panel).ui
    ui.torchButton.click()
    assert pytorch_extension.asked == [(True, packages.TORCH)]
    assert slicer.packaging.installed == [], "never by pip"
    pytorch_extension.answer = None
    ui.torchButton.click()
    assert ui.setupNote.text == "PyTorch was not installed."


def test_without_the_pytorch_extension_the_card_says_how_to_get_it(open_panel, without):
    without("torch", "PyTorchUtils")
    ui = open_batnet(open_panel).ui
    ui.torchButton.click()
    assert "Extensions Manager" in ui.setupNote.text


def test_packages_come_through_slicer_packaging(open_panel, without):
    without("nibabel", "safetensors")
    ui = open_batnet(open_panel).ui
    assert ui.packagesText.text == "Missing: nibabel, safetensors"
    assert ui.setupButton.text == "Set-up: 2 to do"
    ui.packagesButton.click()
    assert sorted(slicer.packaging.installed) == ["nibabel<6,>=5.2", "safetensors<1,>=0.4.3"]


def test_declining_leaves_everything_as_it_is(open_panel, without, monkeypatch):
    without("nibabel")
    monkeypatch.setattr(slicer.packaging, "declined", True)
    ui = open_batnet(open_panel).ui
    ui.packagesButton.click()
    assert slicer.packaging.installed == []
    assert ui.setupNote.text == "Nothing was installed.", "no word of a proxy to one who said no"


def test_before_slicer_5_11_packages_come_through_pip_install_after_asking(open_panel, without, monkeypatch):
    without("nibabel")
    monkeypatch.setattr(packages, "_packaging", lambda slicer: None)
    asked, installed = [], []
    monkeypatch.setattr(slicer.util, "pip_install", installed.append, raising=False)
    for answer in (False, True):

        def confirm(text, answer=answer, **_):
            asked.append(text)
            return answer

        monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", confirm)
        open_batnet(open_panel).ui.packagesButton.click()
    assert len(asked) == 2 and "nibabel" in asked[0]
    assert installed == [["nibabel>=5.2,<6"]]


def test_fetching_tells_first_what_and_asks(open_panel, process_events):
    plan = (
        "BATNet as published\n  Download: model_weights.zip, 512.0 MB, from zenodo.org\n  Licence: cc-by-4.0"
    )
    not_yet = script.error("download-not-confirmed", "Nothing was downloaded: nobody said yes.", exit_code=2)

    class Server(ByCommand):
        def start(self, arguments, listener=None):
            yes = "--yes" in arguments
            self.scripts["models"] = (
                [script.result("", action="fetch")] if yes else [script.log(plan), not_yet]
            )
            return super().start(arguments, listener)

    runner = Server(**answers_doctor().scripts)
    panel = open_batnet(open_panel, runner)
    questions = []
    panel.setup.ask = lambda question: bool(questions.append(question)) or len(questions) > 1
    panel.ui.fetchButton.click()
    assert process_events(lambda: panel.ui.setupNote.text == "Nothing was downloaded.", 5)
    assert "512.0 MB" in questions[0] and "cc-by-4.0" in questions[0]
    assert runner.calls == [["models", "fetch", "batnet"]]
    panel.ui.fetchButton.click()
    assert process_events(lambda: runner.calls[-1] == ["doctor"], 5)
    assert ["models", "fetch", "batnet", "--yes"] in runner.calls


def test_a_proxy_in_the_way_is_told_and_a_file_is_the_way_out(open_panel, process_events, dialogs, tmp_path):
    refusal = script.error(
        "download-failed", "zenodo.org could not be reached.", "A way there.", "Set a proxy.", 5
    )
    runner = answers_doctor(then=[refusal])
    panel = open_batnet(open_panel, runner)
    panel.ui.fetchButton.click()
    assert process_events(lambda: "could not be reached" in panel.ui.setupNote.text, 5)
    runner.default = [script.result("", action="import", stored=[])]
    dialogs.append(str(tmp_path / "weights.zip"))
    panel.ui.importButton.click()
    assert process_events(lambda: runner.calls[-1] == ["doctor"], 5)
    assert ["models", "import", str(tmp_path / "weights.zip")] in runner.calls


def test_an_imported_model_can_be_chosen(open_panel):
    panel = open_batnet(open_panel, answers_doctor(models=("clinic-brown", "demo-adipose", "demo-brown")))
    titles = [panel.ui.modelCombo.itemText(i) for i in range(panel.ui.modelCombo.count)]
    assert titles == ["BATNet as published", "Demonstration (phantoms)", "Title of clinic-brown"]
    panel.ui.modelCombo.setCurrentIndex(2)
    panel.ui.modelCombo.activated(2)
    assert panel.parameters.model == "clinic-brown"
    panel.parameters.ct = ct_node()
    words = panel.request().options()
    assert words[words.index("--brown-model") + 1] == "clinic-brown"
    assert words[words.index("--adipose-model") + 1] == "demo-adipose"


def test_models_can_lie_in_a_folder_of_the_users(open_panel, dialogs, tmp_path):
    panel = open_batnet(open_panel)
    dialogs.append(str(tmp_path))
    panel.ui.modelsFolderButton.click()
    panel.runner = None
    assert panel.engine().environment == {"BATNET_HOME": str(tmp_path)}


def test_a_failing_engine_at_the_start_leaves_the_panel_usable(open_panel, process_events):
    panel = open_panel(MODULE).python.panel
    panel.setup.close()
    panel.runner = ByCommand(default=[script.error("defect", "It broke.", "It should not.", "Report it.", 1)])
    panel.setup.look()
    assert process_events(lambda: "It broke" in panel.ui.setupNote.text, 5)
    panel.runner = answers_doctor(then=[script.result(hands_out(result_folder()))])
    panel.parameters.ct = ct_node()
    panel.ui.applyButton.click()
    assert process_events(lambda: panel.run is None and not panel._todo, 10)
    assert panel.result.analysis is not None


@pytest.mark.parametrize(
    ("version", "wanted", "inside"),
    [
        ("2.13.0+cpu", ">=2.10,<3", True),
        ("2.9.1", ">=2.10,<3", False),
        ("3.0.0", ">=2.10,<3", False),
        ("2.10", ">=2.10.0,<3", True),
        ("0.4.3", ">=0.4.3,<1", True),
        ("?", "", True),
    ],
)
def test_versions_are_compared_as_numbers(version, wanted, inside):
    assert packages.Need("x", wanted, version).met is inside


def test_the_ranges_are_those_of_the_engine():
    """requirements.txt and pyproject.toml must not drift apart."""
    text = (MODULE.parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    for need in packages.package_needs():
        assert f'"{need.name}{need.wanted}"' in text
    assert f'"torch{packages.TORCH}"' in text
