"""A small real engine for tests of the batch: reads the scan with the library, measures it, writes a folder.

What it does is told by the mean of the scan, so that a test makes good, refused, failing, crashing and
slow cases by writing files. Every call leaves a line in the file named by ``BATNET_TEST_CALLS``.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import numpy as np

from BATNetLib.errors import InputRefused, NoModel
from BATNetLib.workfiles import whole_folder

#: First voxel of a test scan: what is to happen with it.
GOOD, REFUSED, BROKEN, MEMORY, CRASH, NOT_ASSESSABLE, SLOW, NO_MODEL, EXIT = range(9)


def analyze_files(inputs, out, options=None, models=None, events=None):
    import nibabel as nib

    array = np.asarray(nib.load(inputs.ct).dataobj)
    what = int(array.flat[0])
    calls = os.environ.get("BATNET_TEST_CALLS")
    if calls:
        with Path(calls).open("a", encoding="utf-8") as file:
            file.write(f"{inputs.case_id}\n")
    if what == REFUSED:
        name = Path(inputs.ct).name
        folder = Path(inputs.ct).parent.name
        raise InputRefused("not-hu", f"{name} in {folder} is not in HU.", "HU.", f"Export {name} again.")
    if what == BROKEN:
        raise ZeroDivisionError(f"cannot handle {inputs.ct}")
    if what == MEMORY:
        raise MemoryError
    if what == CRASH:
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == EXIT:
        os._exit(3)
    if what == NO_MODEL:
        raise NoModel("model-missing", "The model is gone.", "A model.", "Fetch it.")
    with events.stage("work", 20) as stage:
        for _ in range(20):
            time.sleep(float(os.environ.get("BATNET_TEST_SECONDS", "0")) / 20 + (0.5 if what == SLOW else 0))
            stage.advance()
    assessed = what != NOT_ASSESSABLE
    probability = float((array.mean() % 100) / 100)
    facts = {
        "schema_version": 1,
        "demonstration": "Demonstration model, trained on phantoms."
        if options.brown_model == "demo"
        else None,
        "case": {
            "id": options.pseudonym,
            "outcome": "assessed" if assessed else "not-assessable",
            "probability": probability if assessed else None,
            "reasons": []
            if assessed
            else [{"code": "apex-missing", "text": "The apex is cut off.", "advice": "-"}],
        },
        "method": {"adipose": options.method},
        "models": {"brown": {"name": options.brown_model, "sha256": "ab" * 32}},
        "adipose": {
            "volume_ml": 120.5,
            "sides": {"right": {"volume_ml": 60.0}, "left": {"volume_ml": 60.5}},
        },
        "preflight": {
            "findings": [{"code": "thick-slices", "level": "warn", "sentence": "Slices are 5 mm thick."}]
        },
        "warnings": [{"code": "note", "text": "Something to know."}],
        "device": {"brown": "cpu"},
        "roles": sorted(r for r in ("lungs", "adipose", "brown") if getattr(inputs, r)),
        "axes": inputs.axes,
    }
    with whole_folder(out) as folder:
        from PIL import Image

        shade = int(255 * probability)
        Image.new("RGB", (64, 48), (shade, shade, 80)).save(folder / "preview.png")
        (folder / "report.html").write_text("<!doctype html><title>report</title>", encoding="utf-8")
        (folder / "analysis.json").write_text(json.dumps(facts), encoding="utf-8")
    return Path(out)
