"""One case, start to end, in whatever process it runs: a task comes in, what became of it goes out.

Task and reply are plain JSON values, because they cross process and machine borders. The models stay
loaded between cases.
"""

from __future__ import annotations

import importlib
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import BATNetError, Cancelled, InputRefused, NoModel, OutputRefused, UsageError
from ..events import Events
from .cases import PATCHES, Case
from .fingerprint import content_key
from .ledger import DONE, FAILED, NOT_ASSESSABLE, REFUSED, write_case_file
from .rows import facts_of_result
from .words import private_words, without_names

#: ``module:function`` that analyses the files of a case; see ``BATNetLib.analysis.analyze_files``.
ANALYZER = "BATNetLib.analysis:analyze_files"
#: Further ends of a task: inputs and settings are as they were; asked to stop; nothing can go on at all.
UNCHANGED, CANCELLED, STOP = "unchanged", "cancelled", "stop"

Task = dict[str, Any]
Reply = dict[str, Any]


def make_task(case: Case, case_id: str, **more: Any) -> Task:
    """A case as plain JSON values. ``more``: out, options, reading, settings, quick, known, attempts,
    analyzer, names."""
    return {
        "id": case_id,
        "name": case.name,
        "kind": case.kind,
        "files": {role: str(path) for role, path in case.files.items()},
        "axes": case.axes,
        "series": case.series,
        "members": list(case.members),
        "layout": case.layout,
        **more,
    }


def case_of(task: Mapping[str, Any]) -> Case:
    return Case(
        name=task["name"],
        kind=task["kind"],
        files={role: Path(path) for role, path in task["files"].items()},
        layout=task["layout"],
        axes=task["axes"],
        series=task["series"],
        members=tuple(task["members"]),
    )


class Engine:
    """Runs tasks one after the other; holds the models."""

    def __init__(self) -> None:
        self._models: Any = None
        self._analyzers: dict[str, Callable[..., Path]] = {}

    def run(self, task: Task, events: Events) -> Reply:
        """Analyse one case into the folder ``task["out"]``; never raises for what a case can do wrong.

        The reply holds ``id``, ``end`` (a status of the ledger, or "unchanged", "cancelled", "stop") and
        ``record`` or ``error``; ``log`` is for the people who mend programs.
        """
        case = case_of(task)
        started = time.perf_counter()
        content = ""
        try:
            events.check()
            content = content_key(case, events)
            if task.get("known") == content:
                return {"id": task["id"], "end": UNCHANGED, "content": content}
            folder = self._analyze(case, task, events)
            facts = facts_of_result(folder)
            status = NOT_ASSESSABLE if facts["outcome"] == "not-assessable" else DONE
            reply: Reply = {"log": None}
        except Cancelled:
            return {"id": task["id"], "end": CANCELLED}
        except (NoModel, OutputRefused) as error:
            # The next case would meet the same: no model, no disk.
            return {"id": task["id"], "end": STOP, "error": error.as_dict()}
        except MemoryError:
            folder, status = None, FAILED
            facts = _why(
                "memory", "The memory of this computer was not enough. Fewer --workers need less of it."
            )
            reply = {"log": None}
        except (InputRefused, UsageError) as error:
            folder, status = None, REFUSED
            facts = _why(error.code, f"{error.found} {error.remedy}")
            reply = {"log": None}
        except BATNetError as error:
            folder, status = None, FAILED
            facts = _why(error.code, f"{error.found} {error.remedy}")
            reply = {"log": None}
        except Exception as error:
            folder, status = None, FAILED
            facts = _why("defect", defect_in_words(error))
            reply = {"log": traceback_without_paths(error)}
        record = {
            "case": task["id"],
            "status": status,
            "time": (now := time.time()),
            "finished": now,
            "settings": task["settings"],
            "quick": task["quick"],
            "content": content,
            "attempts": task.get("attempts", 0) + 1,
            "layout": case.layout,
            **facts,
            "seconds": round(time.perf_counter() - started, 3),
        }
        if not task["names"]:
            _take_names_out(record, reply, case)
        if folder is not None:
            write_case_file(folder, record)
        return {"id": task["id"], "end": status, "record": record, **reply}

    def _analyze(self, case: Case, task: Task, events: Events) -> Path:
        from ..analysis import AnalysisOptions, CaseInputs

        options = dict(task["options"])
        options["hu_range"] = tuple(options["hu_range"])
        options |= {"pseudonym": task["id"], "keep_names": task["names"]}
        chosen = AnalysisOptions(**options)
        out = Path(task["out"])
        if case.kind == PATCHES:
            from .patchcase import analyze_patches

            folder = analyze_patches(case, out, chosen, self._cache(), events)
        else:
            inputs = CaseInputs(
                ct=_scan(case),
                **{role: case.files.get(role) for role in ("lungs", "adipose", "brown")},
                axes=case.axes,
                series=case.series,
                **task["reading"],
                case_id=task["id"],
            )
            folder = Path(self._analyzer(task["analyzer"])(inputs, out, chosen, self._cache(), events))
        if chosen.report:
            from .thumbnails import make_thumbnail

            make_thumbnail(folder)
        return folder

    def _cache(self) -> Any:
        if self._models is None:
            from ..analysis import ModelCache

            self._models = ModelCache()
        return self._models

    def _analyzer(self, name: str) -> Callable[..., Path]:
        if name not in self._analyzers:
            module, _, function = name.partition(":")
            self._analyzers[name] = getattr(importlib.import_module(module), function)
        return self._analyzers[name]


def defect_in_words(error: BaseException) -> str:
    """What failed and where, in one sentence, without folders."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    message = " ".join(str(error).split())[:200]
    return f"The analysis failed ({type(error).__name__}{place}{f': {message}' if message else ''})."


def traceback_without_paths(error: BaseException) -> str:
    """Where an error came from, for a report of a defect: file names and lines, no folders, no values."""
    lines = [f"{type(error).__name__}: {error}"]
    lines += [
        f"  {Path(frame.filename).name}:{frame.lineno} in {frame.name}: {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    return "\n".join(lines) + "\n"


def _scan(case: Case) -> Path:
    """What the reader is given. A series that lies in one folder is named by one of its files, so that
    the reader looks at that folder only."""
    ct = case.files["ct"]
    if case.members and not any("/" in member or "\\" in member for member in case.members):
        return ct / case.members[0]
    return ct


def _why(code: str, text: str) -> dict[str, Any]:
    return {"prediction": None, "outcome": None, "code": code, "why": text, "warnings": []}


def _take_names_out(record: dict[str, Any], reply: Reply, case: Case) -> None:
    words = private_words(case.name, case.files.values())

    def clean(text: str) -> str:
        return without_names(text, words, record["case"])

    record["why"] = clean(record["why"]) if record.get("why") else record.get("why")
    record["warnings"] = [clean(text) for text in record.get("warnings") or []]
    if reply.get("log"):
        reply["log"] = clean(reply["log"])
