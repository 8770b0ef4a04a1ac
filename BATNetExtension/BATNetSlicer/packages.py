"""What the engine needs installed in Slicer's Python, and how it gets there: only when the user asks for it.

torch comes through the PyTorch extension, which picks the build for the graphics card; the rest through
``slicer.packaging`` (Slicer 5.11 and newer) or ``slicer.util.pip_install`` before that. Looking costs a few
milliseconds: nothing is imported.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .texts import _

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
#: What training needs, on top of torch.
TRAINING = Path(__file__).with_name("requirements-train.txt")
#: Below 2.10 loading a checkpoint can run code (CVE-2025-32434, CVE-2026-24747).
TORCH = ">=2.10,<3"
REQUESTER = "BATNet"
#: Import names that differ from the name of the package.
_IMPORTED_AS = {
    "Jinja2": "jinja2",
    "lightning-fabric": "lightning_fabric",
    "Pillow": "PIL",
    "PyYAML": "yaml",
    "scikit-learn": "sklearn",
}


class InstallRefused(Exception):
    """It could not be installed, or the user said no; the text says what to do."""


@dataclass(frozen=True)
class Need:
    """One requirement, such as ``nibabel>=5.2,<6``. ``version``: what is installed, None where missing."""

    name: str
    wanted: str
    version: str | None

    @property
    def met(self) -> bool:
        return self.version is not None and _within(self.version, self.wanted)


def torch_need() -> Need:
    """Whether torch is there, in a version that is safe."""
    return _need("torch", TORCH)


def package_needs(requirements: Path = REQUIREMENTS) -> list[Need]:
    """The other packages: those of an analysis, or of ``TRAINING``."""
    needs = []
    for line in requirements.read_text(encoding="utf-8").splitlines():
        line = line.partition("#")[0].strip()
        if line:
            name = re.match(r"[A-Za-z0-9._-]+", line)[0]
            needs.append(_need(name, line[len(name) :].strip()))
    return needs


def has_torch_extension() -> bool:
    """Whether the PyTorch extension is installed in this Slicer."""
    return importlib.util.find_spec("PyTorchUtils") is not None


def install_torch() -> None:
    """Install torch through the PyTorch extension, which asks first. Raises ``InstallRefused``."""
    if not has_torch_extension():
        raise InstallRefused(
            _("Install the extension PyTorch (Extensions Manager), restart Slicer, then press this again.")
        )
    import PyTorchUtils

    logic = PyTorchUtils.PyTorchUtilsLogic()
    try:
        torch = logic.installTorch(askConfirmation=True, torchVersionRequirement=TORCH)
    except Exception as error:
        logging.exception(REQUESTER)
        raise InstallRefused(_("PyTorch could not be installed. The Slicer log tells why.")) from error
    if torch is None:
        raise InstallRefused(_("PyTorch was not installed."))
    _forget_what_was_found()


def install_packages(requirements: Path = REQUIREMENTS) -> None:
    """Install the other packages, after asking. Raises ``InstallRefused``."""
    import slicer

    packaging = _packaging(slicer)
    missing = [need for need in package_needs(requirements) if not need.met]
    try:
        if packaging is not None:
            packaging.pip_ensure(packaging.load_requirements(str(requirements)), requester=REQUESTER)
        elif missing:
            listed = ", ".join(need.name for need in missing)
            question = _("Install {packages} into Slicer's Python?").format(packages=listed)
            if not slicer.util.confirmOkCancelDisplay(question, windowTitle=REQUESTER):
                raise InstallRefused(_("Nothing was installed."))
            slicer.util.pip_install([f"{need.name}{need.wanted}" for need in missing])
    except InstallRefused:
        raise
    except Exception as error:
        if "declined" in str(error):  # how slicer.packaging tells that the user said no
            raise InstallRefused(_("Nothing was installed.")) from error
        logging.exception(REQUESTER)
        text = _("The packages were not installed. Behind a proxy, set https_proxy before Slicer starts.")
        raise InstallRefused(text) from error
    _forget_what_was_found()


def _packaging(slicer: Any) -> Any:
    """``slicer.packaging``, None before Slicer 5.11."""
    try:
        import slicer.packaging as packaging
    except ImportError:
        return None
    return packaging


def _need(name: str, wanted: str) -> Need:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        # Slicer's own builds of some packages carry no metadata; those are taken as they are.
        found = importlib.util.find_spec(_IMPORTED_AS.get(name, name))
        return Need(name, "" if found else wanted, "?" if found else None)
    return Need(name, wanted, version)


def _within(version: str, wanted: str) -> bool:
    """Whether a version lies in a range of ``>=`` and ``<`` only, which is all that our requirements use."""
    for part in filter(None, wanted.split(",")):
        sign, limit = re.match(r"\s*(>=|<)\s*([0-9.]+)", part).groups()
        here, there = _numbers(version), _numbers(limit)
        if (sign == ">=" and here < there) or (sign == "<" and here >= there):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    """(2, 13, 0) of "2.13.0+cpu"; what is not a number ends it, and zeros at the end do not count."""
    found = re.match(r"[0-9]+(\.[0-9]+)*", version)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _forget_what_was_found() -> None:
    """A package that has just come is found without a restart."""
    importlib.invalidate_caches()
