"""``batnet doctor``: what is here, what is missing, and how to get it. Works without torch."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from .. import RESEARCH_USE_ONLY, __version__
from ..errors import EXIT_DONE
from ..events import Events

#: Package, what it is for, and whether the engine can do its main job without it.
PACKAGES = (
    ("numpy", "arrays", True),
    ("scipy", "image filters", True),
    ("SimpleITK", "reading and writing images", True),
    ("nibabel", "NIfTI files", True),
    ("safetensors", "model weights", True),
    ("torch", "running the networks", True),
    ("pydicom", "reading DICOM folders", False),
    ("highdicom", "writing DICOM SEG", False),
    ("Pillow", "pictures of the report", False),
    ("Jinja2", "report and contact sheet", False),
    ("tqdm", "progress bar", False),
    ("dask", "batches on a cluster", False),
    ("matplotlib", "plots of evaluations", False),
    ("scikit-learn", "evaluation against a baseline", False),
    ("pyzipper", "opening AES archives of weights", False),
    ("monai", "training", False),
    ("lightning", "training", False),
)
TORCH_HINT = " (in Slicer: the PyTorch extension)"


def add_parser(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser(
        "doctor",
        parents=[common],
        help="tell versions, devices, models, disk and what is missing",
        description="Tell versions, devices, models, disk and what is missing. Changes nothing.",
        epilog="Example: batnet doctor --json",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, events: Events) -> int:
    found = examine()
    if args.events == "json":
        events.result("", doctor=found)
    else:
        print(json.dumps(found, indent=2) if args.json else in_words(found))
    return EXIT_DONE


def examine() -> dict[str, Any]:
    """Everything the doctor tells, as plain JSON values, without paths of the user."""
    packages = [
        {"name": name, "version": _version(name), "for": purpose, "needed": needed}
        for name, purpose, needed in PACKAGES
    ]
    missing = [
        {
            "what": p["name"],
            "needed": p["needed"],
            "do": f"pip install {p['name']}" + (TORCH_HINT if p["name"] == "torch" else ""),
        }
        for p in packages
        if p["version"] is None
    ]
    models = _models()
    if not any(m["installed"] and not m["demonstration"] for m in models):
        missing.append(
            {
                "what": "published or own models",
                "needed": False,
                "do": "batnet models fetch batnet, or batnet models import FILE",
            }
        )
    return {
        "batnet": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "packages": packages,
        "devices": _devices(),
        "models": models,
        "disk": _disk(),
        "missing": missing,
        "notice": RESEARCH_USE_ONLY,
    }


def in_words(found: dict[str, Any]) -> str:
    lines = [
        f"BATNet {found['batnet']}, Python {found['python']}",
        f"{found['system']}, {found['processors']} processors",
        "",
        "Packages",
    ]
    for package in found["packages"]:
        lines.append(f"  {package['name']:<14}{package['version'] or 'missing':<18}{package['for']}")
    lines += ["", "Devices"]
    lines += [f"  {d['name']:<14}{d['title']}" for d in found["devices"]] or [
        "  none: PyTorch is not installed"
    ]
    lines += ["", "Models"]
    for model in found["models"]:
        state = "installed" if model["installed"] else "not installed"
        lines.append(f"  {model['name']:<22}{state:<16}{model['title']}")
    lines += ["", "Free disk"]
    lines += [f"  {d['for']:<14}{d['free_gb']:.1f} GB" for d in found["disk"]]
    lines += ["", "Missing" if found["missing"] else "Nothing is missing."]
    for item in found["missing"]:
        lines.append(f"  {item['what']:<24}{'needed' if item['needed'] else 'optional':<10}{item['do']}")
    return "\n".join([*lines, "", found["notice"]])


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
    # Slicer's own builds of some packages carry no metadata.
    module = {"Pillow": "PIL", "Jinja2": "jinja2", "scikit-learn": "sklearn"}.get(name, name)
    if module in sys.modules or find_spec(module) is not None:
        return "present"
    return None


def _devices() -> list[dict[str, str]]:
    try:
        import torch
    except ImportError:
        return []
    from ..device import available_devices, device_title

    return [{"name": name, "title": device_title(torch.device(name))} for name in available_devices()]


def _models() -> list[dict[str, Any]]:
    from ..models import catalogue

    return [
        {
            "name": line.entry.name,
            "title": line.entry.title,
            "stage": line.entry.stage,
            "installed": line.path is not None,
            "demonstration": line.entry.demonstration,
        }
        for line in catalogue()
    ]


def _disk() -> list[dict[str, Any]]:
    from ..models import models_folder

    place = models_folder()
    while not place.exists():
        place = place.parent
    return [
        {"for": "models", "free_gb": round(shutil.disk_usage(place).free / 1e9, 1)},
        {"for": "here", "free_gb": round(shutil.disk_usage(".").free / 1e9, 1)},
    ]
