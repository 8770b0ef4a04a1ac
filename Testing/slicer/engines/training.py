"""Plays a training by writing the files of a run: seconds instead of hours, and it ends as its name says.

    training.py train adipose DATA --split split.json --out RUN --name NAME --detach --events json
    training.py train resume RUN --detach --events json

``--name`` tells how it ends: "fails", "dies" (killed in its second epoch), "crawls" (a step takes a second);
anything else comes to its end. It writes what BATNetLib/training/contract.py promises and computes nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

STEPS, SECONDS = 8, 0.02


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["train", "doctor", "play"])
    parser.add_argument("what", nargs="?")
    parser.add_argument("data", nargs="?")
    for option, default in (("--out", None), ("--epochs", 6), ("--name", "played"), ("--fold", None)):
        parser.add_argument(option, type=type(default) if default is not None else str, default=default)
    parser.add_argument("--dry-run", action="store_true")
    args, _others = parser.parse_known_args()
    if args.command == "doctor":
        return doctor()
    if args.command == "play":
        return play(Path(args.what))
    if args.what == "resume":
        return detach(Path(args.data))
    if args.dry_run:
        return dry_run()
    run = Path(args.out)
    if (run / "run.json").exists():
        refuse(
            "output-exists", f"'{run.name}' exists already.", "Results are never mixed.", "Choose another."
        )
    run.mkdir(parents=True)
    split = {"sha256": "0" * 64, "fold": args.fold}
    facts = {"schema": 1, "stage": args.what, "name": args.name, "preset": "published", "split": split}
    (run / "run.json").write_text(json.dumps({**facts, "epochs": args.epochs}))
    return detach(run)


def doctor():
    models = [
        {"name": "demo-adipose", "title": "Demonstration", "stage": "adipose", "installed": True},
        {"name": "demo-brown", "title": "Demonstration", "stage": "brown", "installed": True},
    ]
    found = {"models": models, "devices": [{"name": "cpu", "title": "Test processor"}], "packages": []}
    say("result", folder="", doctor=found)


def refuse(code, found, wanted, remedy):
    say("error", code=code, found=found, wanted=wanted, remedy=remedy, exit_code=3)
    sys.exit(3)


def detach(run):
    """Start ``play`` as a program of its own and wait until it says that it runs."""
    if (run / "state.json").exists():
        (run / "state.json").unlink()
    with (run / "engine.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, __file__, "play", str(run)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    until = time.monotonic() + 20
    while not (run / "state.json").exists() and time.monotonic() < until:
        time.sleep(0.02)
    say("result", folder=str(run))


def play(run):
    from BATNetLib.errors import InputRefused
    from BATNetLib.training import runfolder

    facts = json.loads((run / "run.json").read_text())
    name, epochs = facts["name"], facts["epochs"]
    place = run / "checkpoint.json"
    progress = json.loads(place.read_text()) if place.exists() else {"step": 0, "best": None, "seen": 0}
    metric = {"name": "dice", "mode": "max"}
    with runfolder.RunState(run, epochs=epochs, steps=STEPS, metric=metric, best=progress["best"]) as state:
        state.update(state="running", epoch=progress["step"] // STEPS)
        while progress["step"] < epochs * STEPS:
            progress["step"] += 1
            step, epoch = progress["step"], (progress["step"] - 1) // STEPS + 1
            loss = 0.2 + math.exp(-step / 20)
            within = (step - 1) % STEPS + 1
            log(run, kind="step", epoch=epoch, step=within, global_step=step, loss=loss, parts={}, lr=0.01)
            left = (epochs * STEPS - step) * SECONDS
            state.update(state="running", step=within, last={"train_loss": loss}, seconds_left=left)
            if name == "dies" and epoch == 2 and not progress["seen"]:
                place.write_text(json.dumps({**progress, "step": STEPS, "seen": 1}))
                print("Traceback of something in /home/somebody/secret/file.py", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            if name == "fails" and epoch == 2:
                lost = InputRefused(
                    "scan-gone", "A scan is not there any more.", "It is needed.", "Put it back."
                )
                log(run, kind="warning", code="scan-gone", text="A scan is not there any more.")
                state.fail(lost)
                return
            if within == STEPS:
                dice = 1 - math.exp(-epoch / 2) if epoch != 3 else 0.1
                better = progress["best"] is None or dice > progress["best"]["value"]
                if better:
                    progress["best"] = {"epoch": epoch, "value": dice}
                    examples(run, epoch)
                validation = {"dice": dice, "validation_loss": loss + 0.05, "hd95_mm": None}
                log(run, kind="epoch", epoch=epoch, train_loss=loss, validation=validation, best=better)
                state.update(epoch=epoch, step=0, best=progress["best"], seconds_per_epoch=STEPS * SECONDS)
            if runfolder.stop_requested(run):
                state.update(state="stopping")
                place.write_text(json.dumps(progress))
                runfolder.clear_stop(run)
                (run / "report.html").write_text("<p>played so far</p>")
                state.update(state="stopped", seconds_left=None)
                return
            time.sleep(1.0 if name == "crawls" else SECONDS)
        (run / "report.html").write_text("<p>played</p>")
        (run / "model-card.md").write_text(f"# {name}\n\nPlayed for a test. Research use only.\n")
        state.update(state="done", seconds_left=0.0, result={"model": name, "report": "report.html"})


def log(run, **entry):
    with (run / "log.jsonl").open("a") as file:
        file.write(json.dumps({**entry, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}) + "\n")


def examples(run, epoch):
    """Two cases of four slices: a disc, and what a network of ``epoch`` epochs finds of it."""
    import numpy as np
    from PIL import Image

    from BATNetLib.volume import Grid, Volume, write_volume
    from BATNetLib.workfiles import whole_folder

    row, column = np.mgrid[:24, :24]
    truth = np.repeat(((row - 12) ** 2 + (column - 12) ** 2 < 64)[None], 4, axis=0)
    found = np.repeat(((row - 12) ** 2 + (column - 12) ** 2 < 16 + 4 * epoch)[None], 4, axis=0)
    grid = Grid.canonical(truth.shape, (3.0, 2.0, 2.0), (20.0, -20.0, 100.0))
    with whole_folder(run / "examples", replace=True) as folder:
        cases = []
        for number in (1, 2):
            name = f"validation-{number:04d}"
            files = {role: f"{name}-{role}.nrrd" for role in ("ct", "truth", "prediction")}
            write_volume(Volume(np.where(truth, -90, 40).astype(np.int16), grid), folder / files["ct"])
            write_volume(Volume(truth, grid), folder / files["truth"])
            write_volume(Volume(found, grid), folder / files["prediction"])
            pixels = np.stack([truth[0] * 200, found[0] * 200, truth[0] * 80], -1).astype(np.uint8)
            Image.fromarray(pixels).resize((120, 120)).save(folder / f"{name}.png")
            dice = 2 * int((truth & found).sum()) / (int(truth.sum()) + int(found.sum()))
            cases.append(
                {
                    "id": name,
                    "slices": [3, 5, 7, 9],
                    "dice": dice,
                    "pictures": [f"{name}.png"],
                    "files": files,
                }
            )
        facts = {"schema": 1, "stage": "adipose", "epoch": epoch, "part": "validation", "cases": cases}
        (folder / "examples.json").write_text(json.dumps(facts))


def dry_run():
    measured = {"device": "Test processor", "parameters": 1000, "loss": 1.0, "seconds_per_step": 0.5}
    counted = {"cases": 40, "cases_read": 3, "steps_per_epoch": 20, "seconds_per_epoch": 10.0, "hours": 0.3}
    say("result", folder="", memory_gb=1.25, **measured, **counted)


if __name__ == "__main__":
    main()
