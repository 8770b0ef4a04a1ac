"""The panel: loads the layout, gives each part to its card, and starts runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk
from BATNetSlicer import add_library_to_path, tabs
from BATNetSlicer.colours import AMBER
from BATNetSlicer.job_contract import JobRunner
from BATNetSlicer.job_words import Failure
from BATNetSlicer.modelsettings import users_engine
from BATNetSlicer.samples import PhantomJob, chest_ct
from BATNetSlicer.scene import Analysis, find_analyses
from BATNetSlicer.slicejump import show_all_in_3d
from BATNetSlicer.texts import _

from .batch_tab import BatchTab
from .checks_card import ChecksCard
from .modelchoice import ModelChoice
from .parameters import Parameters
from .patches_card import PatchesCard
from .report_card import ReportCard
from .request import SETS, Request
from .result_card import ResultCard
from .review import Review
from .run import Run, RunListener
from .run_card import RunCard
from .setup_card import SetupCard


class Panel(RunListener):
    """One for each time the module is loaded. ``runner``: who starts the engine; tests put their own.

    ``ask(question) -> bool`` asks the user; ``run``: what is running, or None.
    """

    def __init__(self, layout_file: str, layout: Any, logic: Any) -> None:
        add_library_to_path()
        self.logic = logic
        self.runner: JobRunner | None = None
        self.run: Run | None = None
        self.parameters: Any = None
        self._sample: PhantomJob | None = None
        self._review: Review | None = None
        self._gui: int | None = None
        self._observed: tuple[Any, int] | None = None
        self._seen: dict[str, Any] = {}
        self._entered = False
        self._todo: list[Callable[[], None]] = []
        self.root = slicer.util.loadUI(layout_file)
        layout.addWidget(self.root)
        self.ui = ui = slicer.util.childWidgetVariables(self.root)
        tabs.lay_out(ui.tabs)
        ui.analysisSelector.addAttribute("vtkMRMLScriptedModuleNode", "BATNet.Analysis", "1")
        self.root.setMRMLScene(slicer.mrmlScene)
        for section in (ui.moreButton, ui.setupButton, ui.checksButton):
            section.collapsed = True
        self.setup = SetupCard(ui, self.engine, self._models_known, self.ask)
        self.checks = ChecksCard(ui, self.update)
        self.run_card = RunCard(ui)
        self.result = ResultCard(ui, self.update, lambda: self.patches.show_mask_alone())
        self.patches = PatchesCard(ui, self.notice)
        self.report = ReportCard(ui, self.engine)
        self.batch = BatchTab(ui, self.engine, lambda: self.request().options(), self.review)
        ui.applyButton.connect("clicked()", self.apply)
        ui.cancelButton.connect("clicked()", self.cancel)
        ui.checkButton.connect("clicked()", self.check)
        ui.againButton.connect("clicked()", self.run_again)
        ui.phantomButton.connect("clicked()", self.load_phantom)
        ui.chestButton.connect("clicked()", self.load_chest)
        self.models = ModelChoice(ui, self.setup, self.update)
        font = ui.researchLabel.font
        font.setItalic(True)
        ui.researchLabel.setFont(font)
        self.connect_parameters()

    def engine(self) -> JobRunner:
        """Who starts the engine; it knows the folder of models that the user chose."""
        if self.runner is not None:
            return self.runner
        return users_engine()

    def ask(self, question: str) -> bool:
        return bool(slicer.util.confirmYesNoDisplay(question, windowTitle="BATNet"))

    # --- life
    def enter(self) -> None:
        self._entered = True
        if self.parameters is None:
            self.connect_parameters()
        self.patches.enter()
        self.result.look_for_edits()
        if not self.setup.looked:
            self.setup.look()

    def exit(self) -> None:
        self._entered = False
        self.patches.exit()

    def close(self) -> None:
        """The module is unloaded or Slicer ends: nothing is left running."""
        self._end_runs()
        self.batch.close()
        self.setup.close()
        self.report.close()
        self.result.close()
        self.patches.close()
        self._release()
        self._todo.clear()

    def scene_closes(self) -> None:
        """The scene is about to be emptied: a run would have nowhere to go."""
        running = self.run is not None
        self._end_runs()
        self.run_card.idle(_("The scene was closed; the run was ended.") if running else "")
        self.result.close()
        self.patches.scene_closes()
        self._release()
        self._todo.clear()

    def scene_changed(self) -> None:
        """A scene was emptied or loaded: show what is in it."""
        self.connect_parameters()

    def _end_runs(self) -> None:
        for running in (self.run, self._sample, self._review):
            if running is not None:
                running.close()
        self.run = self._sample = self._review = None

    # --- parameters
    def connect_parameters(self) -> None:
        """Follow the parameter node of the scene that is open now."""
        self._release()
        parameters = Parameters(self.logic.getParameterNode())
        if parameters.analysis is None:
            found = find_analyses()
            parameters.analysis = found[-1].node if found else None
        self.parameters = parameters
        self._gui = parameters.connectGui(self.ui)
        node = parameters.parameterNode
        self._observed = (node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self.update()))
        self._seen = {"ct": parameters.ct}
        self.checks.clear()
        self._show_analysis(parameters.analysis)
        self.models.follow(parameters)
        self.update()

    def _release(self) -> None:
        if self.parameters is not None:
            self.parameters.disconnectGui(self._gui)
            node, tag = self._observed
            node.RemoveObserver(tag)
        self.parameters = self._observed = self._gui = None

    def update(self) -> None:
        """Make the panel agree with what the user chose."""
        parameters = self.parameters
        if parameters is None:
            return
        ui = self.ui
        if self._seen.get("ct") is not parameters.ct:
            self._seen["ct"] = parameters.ct
            self.checks.clear()
        if self._seen.get("analysis") is not parameters.analysis:
            self._show_analysis(parameters.analysis)
        self.patches.set_opacity(parameters.opacity)
        self.patches.set_boxes_in_3d(parameters.boxesIn3D)
        busy = self.run is not None
        why_not = self.why_not()
        ui.applyButton.enabled = not busy and why_not is None
        ui.applyButton.toolTip = why_not or _("Find the fat and judge its patches")
        ui.checkButton.enabled = not busy and parameters.ct is not None
        ui.againButton.enabled = not busy and self.result.is_edited
        for button in (ui.phantomButton, ui.chestButton):
            button.enabled = not busy and self._sample is None
        hu_range = parameters.method.value == "hu-threshold"
        ui.huLowBox.enabled = ui.huHighBox.enabled = hu_range
        shown = self.result.analysis
        demonstration = shown.demonstration if shown is not None and shown.in_scene else None
        if demonstration is None and parameters.model == "demo":
            demonstration = _("Demonstration models: trained on phantoms, they say nothing about patients.")
        ui.demonstrationLabel.text = f'<b style="color: {AMBER}">{demonstration or ""}</b>'
        ui.demonstrationLabel.visible = bool(demonstration)
        ui.batchMethodLabel.text = _(
            "Fat mask: {method}. Model: {model}. Both are chosen under One scan."
        ).format(method=parameters.method.label(), model=ui.modelCombo.currentText)

    def _method_words(self) -> str:
        parameters = self.parameters
        if parameters.fatModel and parameters.method.value == "network":
            return f"{parameters.method.label()} {parameters.fatModel}"
        return parameters.method.label()

    def _show_analysis(self, node: Any) -> None:
        self._seen["analysis"] = node
        analysis = Analysis.from_node(node) if node is not None else None
        if analysis is None:
            for section in self._sections():
                section.collapsed = True
        else:
            self.ui.resultButton.collapsed = False
            if self.parameters.ct in (None, analysis.ct) and analysis.passport.get("preflight"):
                self.checks.show(analysis.passport["preflight"], open_card=False)
        cards = (self.result, self.patches, self.report)
        self._later(*(lambda card=card: card.show(analysis) for card in cards), self.update)

    def _sections(self) -> tuple[Any, ...]:
        return self.ui.resultButton, self.ui.patchesButton, self.ui.reportButton

    def _later(self, *steps: Callable[[], None]) -> None:
        """Do these one at a time, so that the window answers in between."""
        if not self._todo:
            qt.QTimer.singleShot(0, self._next)
        self._todo += steps

    def _next(self) -> None:
        if self._todo:
            step = self._todo.pop(0)
            try:
                step()
            finally:
                if self._todo:
                    qt.QTimer.singleShot(0, self._next)

    # --- models
    def _models_known(self) -> None:
        if self.parameters is not None:
            self.models.fill()
            self.update()

    def choose_model(self, name: str) -> None:
        """Choose a model set, or a model of the brown stage."""
        self.models.choose(name)

    def model_put_first(self, stage: str, name: str) -> None:
        """Another module made a model that the user wants here (``modelsettings.put_first``)."""
        self.models.choose(name, stage)
        self.setup.look()

    # --- asking for a run
    def request(self, **changes: Any) -> Request:
        """What the user asks for."""
        p = self.parameters
        wanted: dict[str, Any] = {
            "ct": p.ct,
            "lungs": p.lungs,
            "adipose": p.adipose,
            "pet": p.pet,
            "method": p.method.value,
            "hu_range": (float(p.huLow), float(p.huHigh)),
            "model": p.model,
            "device": p.device,
            "prevalence": p.prevalence / 100 or None,
            "overrides": self.checks.overrides(),
        }
        wanted.update(changes)
        if p.fatModel:
            wanted["adipose_model"] = p.fatModel
        elif wanted["model"] not in SETS and not self.setup.has_published():
            wanted["adipose_model"] = next(
                (m["name"] for m in self.setup.models or [] if m["stage"] == "adipose" and m["installed"]),
                None,
            )
        return Request(**wanted)

    def why_not(self) -> str | None:
        """Why Apply cannot be pressed, in words; None where it can."""
        return self.request().why_not()

    def apply(self) -> None:
        self._start(self.request())

    def check(self) -> None:
        """The checks alone: no model is needed."""
        self._start(self.request(checks_only=True))

    def run_again(self) -> None:
        """Patches and probability of the mask as the user has edited it."""
        shown = self.result.analysis
        models = shown.passport["models"]
        model = (models.get("brown") or {}).get("name") or self.parameters.model
        sets = {"batnet-brown": "batnet", "demo-brown": "demo"}
        overrides = {o["code"]: o["reason"] for o in shown.passport.get("overrides") or []}
        self._start(
            self.request(
                ct=shown.ct,
                adipose=(shown.segmentation, shown.segment_id),
                model=sets.get(model, model),
                overrides={**overrides, **self.checks.overrides()},
                update=shown,
            )
        )

    def _start(self, request: Request) -> None:
        why_not = request.why_not()
        if self.run is not None:
            return
        if why_not is not None:
            self.run_card.idle(why_not)
            return
        self.run_card.started()
        run = Run(self.engine(), request, self)
        self.run = None if run.over else run
        self.update()

    def cancel(self) -> None:
        if self.run is not None:
            self.run_card.cancelling()
            self.run.cancel()

    # --- what a run says
    def progress(self, share: float, words: str) -> None:
        self.run_card.progress(share, words)

    def notice(self, text: str) -> None:
        self.run_card.log([text])
        if self.run is None:
            self.run_card.idle(text)

    def log(self, lines: list[str]) -> None:
        self.run_card.log(lines)

    def analysed(self, analysis: Any) -> None:
        self._over(_("Done.") if analysis.assessed else _("The scan is not assessable; see the result."))
        self.checks.show(analysis.passport.get("preflight") or {}, open_card=not analysis.assessed)
        self._show_new(analysis)

    def _show_new(self, analysis: Any) -> None:
        """Show an analysis that has just come into the scene, or has new numbers."""
        first = self.parameters.analysis is None
        self._seen.pop("analysis", None)
        self.parameters.analysis = analysis.node
        self.update()
        self._later(
            lambda: self._open_sections(analysis),
            lambda: self.patches.switch_on("patch_map"),
        )
        if first:  # later on the 3D views are the user's
            self._later(show_all_in_3d)

    def _open_sections(self, analysis: Any) -> None:
        for section in self._sections():
            section.collapsed = section is self.ui.patchesButton and not analysis.assessed

    def checked(self, report: dict[str, Any]) -> None:
        blocked = bool(report.get("blocked"))
        self._over(_("Checked: something is in the way.") if blocked else _("Checked: the scan can be used."))
        self.checks.show(report)
        self.ui.checksButton.collapsed = False

    def failed(self, failure: Failure) -> None:
        if failure.exit_code == 5 or failure.code in ("torch-missing", "model-not-installed"):
            self.ui.setupButton.collapsed = False
            self._over(_("{text} See the card Set-up.").format(text=failure.found))
        else:
            self._over(failure.text)

    def cancelled(self) -> None:
        self._over(_("Cancelled. Nothing was changed."))

    def _over(self, words: str) -> None:
        self.run = None
        self.run_card.idle(words)
        self.update()

    # --- samples
    def load_phantom(self) -> None:
        """Make an invented patient and choose it, with the demonstration models."""
        self.run_card.idle(_("Making the phantom ..."))
        self._sample = PhantomJob(self.engine(), self._phantom_made)
        self.update()

    def _phantom_made(self, node: Any, failure: Failure | None) -> None:
        self._sample = None
        self.run_card.idle(failure.text if failure is not None else "")
        if node is not None:
            self.parameters.ct = node
            self.choose_model("demo")
            slicer.util.setSliceViewerLayers(background=node, fit=True)
        self.update()

    def load_chest(self) -> None:
        """Slicer's own sample, through its module Sample Data, which shows the download."""
        with slicer.util.tryWithErrorDisplay(_("The sample could not be loaded."), waitCursor=True):
            node = chest_ct()
            if node is not None:
                self.parameters.ct = node
            else:  # Sample Data only writes it into the log
                self.notice(_("The sample could not be downloaded. The phantom needs no network."))

    # --- a case of a batch
    def review(self, case: Any) -> None:
        """Load a case with its result and show both."""
        self.batch.say(_("Loading {name} ...").format(name=case.name))
        self._review = Review(case, self._reviewed)

    def _reviewed(self, analysis: Any, failure: Failure | None) -> None:
        self._review = None
        if failure is not None:
            self.batch.say(failure.text)
            return
        self.batch.say("")
        self.parameters.ct = analysis.ct
        self.ui.tabs.currentIndex = 0
        self._show_new(analysis)
