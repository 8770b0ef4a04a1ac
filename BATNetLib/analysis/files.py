"""From files to an analysis folder: reading the inputs of a case, writing its result whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import InputRefused, UsageError
from ..events import Events
from ..preflight import PreflightReport
from ..volume import ADIPOSE_TISSUE, Segment, Volume, read_mask, read_volume, write_segmentation
from ..workfiles import output_errors, whole_folder
from .cache import ModelCache, models_needed
from .casefolder import CASE_IMAGE, scan_of_folder
from .colours import MASK
from .maps import ATTENTION_STEP, PROBABILITY_STEP, map_note, whole_map, write_map
from .options import AnalysisOptions, CaseInputs
from .passport import passport
from .pipeline import analyze, check_options, check_scan
from .recorder import CaseEvents
from .result import Analysis
from .table import write_table

PASSPORT = "analysis.json"


def case_inputs(path: Path, **given: object) -> CaseInputs:
    """The inputs of a case from a scan file, a DICOM folder, or a folder with one scan in a file.

    ``given``: further fields of ``CaseInputs``. The lung mask of such a folder (``lobe`` or ``lungs``) is
    taken when no other was given; its masks of fat are not, because they are what an analysis is to find.
    """
    ct = Path(path)
    found = scan_of_folder(ct) if ct.is_dir() else None
    if found is None:
        return CaseInputs(ct=ct, **given)  # type: ignore[arg-type]
    given["lungs"] = given.get("lungs") or found[1]
    return CaseInputs(ct=found[0], folder=ct, **given)  # type: ignore[arg-type]


def analyze_files(
    inputs: CaseInputs,
    out: Path,
    options: AnalysisOptions | None = None,
    models: ModelCache | None = None,
    events: Events | None = None,
    *,
    replace: bool = False,
) -> Path:
    """Read the files of a case, analyse it, and write the analysis folder ``out``; returns it.

    A scan that is not assessable makes a folder as well: its ``analysis.json`` has the outcome, the
    reasons and no probability. Raises what ``read_volume``, ``read_mask`` and ``analyze`` raise, and
    ``UsageError`` or ``OutputRefused`` for ``out``; no folder is left then.
    """
    out = Path(out)
    options = options or AnalysisOptions()
    run = CaseEvents(events)
    check_output(out, inputs, replace=replace)
    _require_writable(out)
    analysis = analyze_inputs(inputs, options, models, run)
    with whole_folder(out, replace=replace) as folder:
        _write_all(analysis, folder, run)
    return out


def analyze_inputs(
    inputs: CaseInputs,
    options: AnalysisOptions | None = None,
    models: ModelCache | None = None,
    events: Events | None = None,
) -> Analysis:
    """Read the files of a case and analyse it; nothing is written. Raises as ``analyze_files``."""
    options = options or AnalysisOptions()
    run = events if isinstance(events, CaseEvents) else CaseEvents(events)
    if inputs.pet is not None:
        raise InputRefused(
            "pet-not-yet",
            "A PET was given.",
            "PET files are not read yet: the SUV of a PET must be computed from its DICOM files first.",
            "Leave the PET out; from Python, analyze() takes a volume in SUV.",
        )
    check_options(options)
    models = models or ModelCache()
    with run.phase("read"):
        # First, so that a missing model is told before a long scan is read.
        for stage, name in models_needed(options, mask_given=inputs.adipose is not None).items():
            models.get(name, stage, run)
        ct, lungs, adipose = _read(inputs, run)
        pet = None if inputs.pet_suv is None else read_volume(inputs.pet_suv, kind="map", events=run)
    analysis = analyze(ct, lungs, pet, adipose, options=options, models=models, events=run)
    if options.keep_names:
        files = {"ct": inputs.ct, "lungs": inputs.lungs, "adipose": inputs.adipose, "pet": inputs.pet_suv}
        analysis.names = {what: path.name for what, path in files.items() if path is not None}
    return analysis


def check_files(
    inputs: CaseInputs, options: AnalysisOptions | None = None, events: Events | None = None
) -> PreflightReport:
    """The preflight of a case alone: no model is needed and nothing is written.

    Raises what ``read_volume`` and ``read_mask`` raise, and ``UsageError`` for unknown overrides or limits.
    """
    options = options or AnalysisOptions()
    run = CaseEvents(events)
    with run.phase("read"):
        ct, lungs, adipose = _read(inputs, run)
    return check_scan(ct, lungs, adipose, options=options, events=run)


def _read(inputs: CaseInputs, events: CaseEvents) -> tuple[Volume, Volume | None, Volume | None]:
    """CT, lungs and adipose mask of a case."""
    ct = read_volume(
        inputs.ct,
        axes=inputs.axes,  # type: ignore[arg-type]
        series=inputs.series,
        accept_gaps=inputs.accept_gaps,
        accept_tilt=inputs.accept_tilt,
        events=events,
    )
    lungs, adipose = (
        None if path is None else read_mask(path, ct, name=name, events=events)
        for path, name in ((inputs.lungs, "lung mask"), (inputs.adipose, "adipose mask"))
    )
    return ct, lungs, adipose


def save_analysis(
    analysis: Analysis, out: Path | str, *, replace: bool = False, events: Events | None = None
) -> Path:
    """Write ``analysis`` as the folder ``out``, whole or not at all.

    Raises ``UsageError`` where ``out`` exists (and ``replace`` is not said, or it is no analysis folder),
    ``OutputRefused`` where it cannot be written.
    """
    out = Path(out)
    require_replaceable(out, replace)
    with whole_folder(out, replace=replace) as folder:
        _write_all(analysis, folder, CaseEvents(events))
    return out


def check_output(out: Path, inputs: CaseInputs, *, replace: bool) -> None:
    """Refuse an output folder inside the input, or one that exists and may not be replaced."""
    require_replaceable(out, replace)
    for path in (inputs.ct, inputs.lungs, inputs.adipose, inputs.pet_suv):
        folder = path if path is not None and path.is_dir() else None
        if path is not None and path.name == CASE_IMAGE:
            folder = path.parent
        if path is inputs.ct and inputs.folder is not None:
            folder = inputs.folder
        if folder is not None and _lies_in(out, folder):
            raise UsageError(
                "output-in-input",
                f"The output folder '{_called(out)}' lies inside the input folder '{_called(folder)}'.",
                "Nothing is written into input folders.",
                "Choose another place with --out.",
            )


def require_replaceable(out: Path, replace: bool) -> None:
    """Refuse to replace anything but an analysis folder or an empty folder."""
    if not out.exists():
        return
    if not replace:
        raise UsageError(
            "output-exists",
            f"The output folder '{_called(out)}' exists already.",
            "Results are never mixed with former ones.",
            "Choose another folder with --out, or say --replace.",
        )
    # A folder without a name of its own (. or ..) cannot be exchanged for another: somebody stands in it.
    replaceable = is_analysis_folder(out) or (out.is_dir() and not any(out.iterdir()))
    if replaceable and out.name not in ("", ".."):
        return
    raise UsageError(
        "not-an-analysis",
        f"'{_called(out)}' is not an analysis folder that can be replaced from here.",
        "Only a former result is replaced.",
        "Choose another folder with --out, or remove it yourself.",
    )


def _require_writable(out: Path) -> None:
    """Refuse now, before minutes are spent, what could not be written then. Leaves nothing behind."""
    place = next(folder for folder in out.absolute().parents if folder.exists())
    with output_errors(out.name), TemporaryDirectory(prefix=".batnet-", dir=place):
        pass


def is_analysis_folder(folder: Path) -> bool:
    """Whether a folder holds a passport that this program wrote."""
    try:
        content = json.loads((folder / PASSPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "schema_version" in content and "case" in content


def _called(folder: Path) -> str:
    """The name of a folder, also where it was given as . or .."""
    return folder.name if folder.name not in ("", "..") else folder.resolve().name or folder.anchor


def _lies_in(path: Path, folder: Path) -> bool:
    path, folder = path.resolve(), folder.resolve()
    return path == folder or folder in path.parents


# --- writing


def _write_all(analysis: Analysis, folder: Path, events: CaseEvents) -> None:
    with events.phase("write") as stage:
        note = map_note(demonstration=analysis.demonstration, by_threshold=analysis.method == "hu-threshold")
        if analysis.adipose is not None:
            _write_mask(analysis, folder / "adipose.seg.nrrd")
            stage.advance()
        if analysis.patches:
            shape = analysis.ct.grid.shape
            stored = whole_map(analysis.patch_probabilities, analysis.boxes, shape, PROBABILITY_STEP)
            write_map(stored, PROBABILITY_STEP, folder / "patch_probability.nii.gz", analysis.ct, note)
            stage.advance()
            if analysis.attention is not None:
                stored = whole_map(analysis.attention.values, analysis.boxes, shape, ATTENTION_STEP)
                write_map(stored, ATTENTION_STEP, folder / "attention.nii.gz", analysis.ct, note)
                stage.advance()
        write_table(analysis, folder / "patches.csv")
        if analysis.options.dicom_seg and analysis.adipose is not None:
            from .dicom_seg import write_dicom_seg_if_dicom

            write_dicom_seg_if_dicom(analysis, folder / "adipose.seg.dcm", events)
            stage.advance()
        # The warnings of writing belong into the passport and the report too.
        analysis.warnings = [*analysis.warnings, *(w for w in events.warnings if w not in analysis.warnings)]
        facts = passport(analysis)
        if analysis.options.report:
            from .report import write_report

            write_report(analysis, facts, folder, events)
            stage.advance()
            facts["warnings"] += [w for w in events.warnings if w not in facts["warnings"]]
        facts["seconds"]["write"] = round(stage.seconds, 3)
        facts["files"] = sorted([PASSPORT, *(path.name for path in folder.iterdir())])
        text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / PASSPORT).write_text(text + "\n", encoding="utf-8")


def _write_mask(analysis: Analysis, path: Path) -> None:
    assert analysis.adipose is not None
    name = "Adipose tissue"
    if analysis.demonstration and analysis.method == "network":
        name += " (demonstration model, trained on phantoms)"
    segment = Segment(
        id="adipose",
        name=name,
        color=(MASK[0] / 255, MASK[1] / 255, MASK[2] / 255),
        label_value=1,
        terminology=ADIPOSE_TISSUE,
        tags={"BATNet.Method": analysis.method},
    )
    write_segmentation(analysis.adipose, path, like=analysis.ct, segments=[segment])
