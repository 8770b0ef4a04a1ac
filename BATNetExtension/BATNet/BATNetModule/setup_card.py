"""The set-up card: torch, packages, model; green or amber, one button that fixes it, nothing unasked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from BATNetSlicer import packages
from BATNetSlicer.colours import AMBER, GREEN
from BATNetSlicer.job_contract import JobListener, JobRunner, Result, RunningJob, State
from BATNetSlicer.job_words import Failure
from BATNetSlicer.modelsettings import HOME_SETTING
from BATNetSlicer.texts import _


class SetupCard:
    """Looks when asked; ``changed()`` is called when something was found out.

    ``models``: what the engine knows, None before it was asked. ``ask(question) -> bool`` asks the user.
    """

    def __init__(
        self,
        ui: Any,
        runner: Callable[[], JobRunner],
        changed: Callable[[], None],
        ask: Callable[[str], bool],
    ) -> None:
        self.ui, self._runner, self._changed, self.ask = ui, runner, changed, ask
        self.models: list[dict[str, Any]] | None = None
        self.devices: list[dict[str, str]] = []
        self.looked = False
        self._job: RunningJob | None = None
        self._note = ""
        ui.torchButton.connect("clicked()", lambda: self._install(packages.install_torch))
        ui.packagesButton.connect("clicked()", lambda: self._install(packages.install_packages))
        ui.fetchButton.connect("clicked()", self.fetch)
        ui.importButton.connect("clicked()", self._import_model)
        ui.modelsFolderButton.connect("clicked()", self._choose_folder)
        ui.setupAgainButton.connect("clicked()", self.look)
        self.show()

    # --- looking
    def look(self) -> None:
        """Look at the packages now, and ask the engine for devices and models."""
        self.looked = True
        self.show()
        self._start(["doctor"], self._told)

    def _told(self, facts: dict[str, Any]) -> None:
        found = facts.get("doctor") or {}
        self.models, self.devices = found.get("models") or [], found.get("devices") or []
        self._note = ""
        self.show()
        self._changed()

    def installed(self, stage: str, name: str) -> bool:
        return any(m["stage"] == stage and m["name"] == name and m["installed"] for m in self.models or [])

    def own_models(self, stage: str = "brown") -> list[dict[str, Any]]:
        """Models of a stage that the user brought or trained."""
        known = (f"batnet-{stage}", f"demo-{stage}")
        return [
            m for m in self.models or [] if m["stage"] == stage and m["installed"] and m["name"] not in known
        ]

    def has_published(self) -> bool:
        return self.installed("adipose", "batnet-adipose") and self.installed("brown", "batnet-brown")

    def ready(self) -> bool:
        """Whether torch and packages are there; which model is needed depends on the choice."""
        return packages.torch_need().met and all(need.met for need in packages.package_needs())

    # --- showing
    def show(self) -> None:
        torch = packages.torch_need()
        if torch.met:
            devices = ", ".join(d["title"] for d in self.devices if d.get("name") != "cpu")
            text = _("PyTorch {version}").format(version=torch.version)
            self._row("torch", True, f"{text}, {devices}" if devices else text)
        else:
            text = _("PyTorch is missing: no network can run.")
            if torch.version is not None:
                text = _("PyTorch {version} is too old; {wanted} is needed.").format(
                    version=torch.version, wanted=torch.wanted
                )
            self._row("torch", False, text)
        missing = [need.name for need in packages.package_needs() if not need.met]
        text = _("Missing: {packages}").format(packages=", ".join(missing)) if missing else _("Packages")
        self._row("packages", not missing, text)
        self._show_models()
        problems = sum((not torch.met, bool(missing), self.models is not None and not self.has_any_model()))
        title = _("Set-up: {number} to do").format(number=problems) if problems else _("Set-up: ready")
        self.ui.setupButton.text = title
        self.ui.setupNote.text = self._note
        self.ui.setupNote.visible = bool(self._note)

    def has_any_model(self) -> bool:
        """A model for patients: the published pair or one of the user's own."""
        return self.has_published() or bool(self.own_models())

    def _show_models(self) -> None:
        ui, busy = self.ui, self._job is not None
        if self.models is None:
            text, good = _("Models: not looked yet"), False
        elif self.has_published():
            text, good = _("Published BATNet models"), True
        elif self.own_models():
            text, good = _("Own model: {name}").format(name=self.own_models()[0]["name"]), True
        else:
            text, good = _("Only the demonstration models, which say nothing about patients."), False
        self._row("models", good, text)
        ui.fetchButton.visible = not self.has_published()
        ui.importButton.visible = True
        for button in (ui.fetchButton, ui.importButton, ui.setupAgainButton, ui.modelsFolderButton):
            button.enabled = not busy

    def _row(self, key: str, good: bool, text: str) -> None:
        dot, label = getattr(self.ui, f"{key}Dot"), getattr(self.ui, f"{key}Text")
        # The shape tells as well as the colour.
        sign = "\N{CHECK MARK}" if good else "!"
        dot.text = f'<b style="color: {GREEN if good else AMBER}">{sign}</b>'
        dot.toolTip = _("ready") if good else _("to do")
        label.text = text
        button = getattr(self.ui, f"{key}Button", None)
        if button is not None:
            button.visible = not good

    def note(self, text: str) -> None:
        self._note = text
        self.show()

    # --- fixing
    def _install(self, install: Callable[[], None]) -> None:
        try:
            install()
            self._note = ""
        except packages.InstallRefused as refusal:
            self._note = str(refusal)
        self.show()
        self._changed()

    def fetch(self) -> None:
        """Tell what would be downloaded, from where and under which licence; then ask."""
        self._start(["models", "fetch", "batnet"], self._stored, self._confirm)

    def _confirm(self, failure: Failure, log: str) -> None:
        if failure.code != "download-not-confirmed":
            self.note(failure.text)
        elif self.ask(_("{plan}\n\nDownload the models?").format(plan=log)):
            self._start(["models", "fetch", "batnet", "--yes"], self._stored)
        else:
            self.note(_("Nothing was downloaded."))

    def _import_model(self) -> None:
        kinds = _("Model weights") + " (*.safetensors *.pth *.pt *.zip)"
        path = qt.QFileDialog.getOpenFileName(None, _("Import a model from a file"), "", kinds)
        if path:
            self._start(["models", "import", path], self._stored)

    def _stored(self, facts: dict[str, Any]) -> None:
        self.look()

    def _choose_folder(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(None, _("Folder of models"))
        if folder:
            slicer.app.settings().setValue(HOME_SETTING, folder)
            self.look()

    # --- the engine
    def _start(
        self,
        words: list[str],
        done: Callable[[dict[str, Any]], None],
        failed: Callable[[Failure, str], None] | None = None,
    ) -> None:
        if self._job is not None:
            return
        self._note = _("Asking the engine ...") if words == ["doctor"] else _("Working on it ...")
        listener = _Listener(self, done, failed or (lambda failure, log: self.note(failure.text)))
        self._job = self._runner().start(words, listener)
        self.show()

    def close(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            job.close()


class _Listener(JobListener):
    def __init__(self, card: SetupCard, done: Any, failed: Any) -> None:
        self._card, self._done, self._failed = card, done, failed
        self._facts: dict[str, Any] = {}
        self._failure: Failure | None = None

    def result(self, result: Result) -> None:
        self._facts = result.facts

    def error(self, failure: Failure) -> None:
        self._failure = failure

    def state(self, state: State) -> None:
        card = self._card
        if not state.is_over or card._job is None:
            return
        job, card._job = card._job, None
        if self._failure is not None:
            card._note = ""
            self._failed(self._failure, job.log_text())
        elif state is State.DONE:
            card._note = ""
            self._done(self._facts)
        card.show()
