"""What a training needs installed: said where it is missing, with one button that fixes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from BATNetSlicer import packages
from BATNetSlicer.texts import _


class NeedsCard:
    """Shown only where something is missing; everything but training works without it.

    ``changed()`` is called after something was installed.
    """

    def __init__(self, ui: Any, changed: Callable[[], None]) -> None:
        self.ui, self._changed = ui, changed
        self._refusal = ""
        ui.torchButton.connect("clicked()", lambda: self._install(packages.install_torch))
        ui.packagesButton.connect(
            "clicked()", lambda: self._install(lambda: packages.install_packages(packages.TRAINING))
        )
        self.missing: list[str] = []
        self.look()

    def look(self) -> None:
        """Look what is installed now; a few milliseconds."""
        ui = self.ui
        torch = packages.torch_need()
        others = [need for need in packages.package_needs(packages.TRAINING) if not need.met]
        self.missing = ([] if torch.met else ["torch"]) + [need.name for need in others]
        words = []
        if not torch.met and torch.version is not None:
            words.append(
                _("PyTorch {version} is too old; {wanted} is needed.").format(
                    version=torch.version, wanted=torch.wanted
                )
            )
        elif not torch.met:
            words.append(_("PyTorch is missing: no network can be trained."))
        if others:
            words.append(
                _("Missing for training: {packages}.").format(
                    packages=", ".join(need.name for need in others)
                )
            )
        if self.missing:
            words.append(_("Data can be checked and split, and runs be followed, without it."))
        else:
            self._refusal = ""
        if self._refusal:
            words.append(self._refusal)
        ui.needsLabel.text = " ".join(words)
        ui.needsLabel.visible = bool(words)
        ui.torchButton.visible = not torch.met
        ui.packagesButton.visible = bool(others)
        # Without torch, pip would bring a build that does not fit the graphics card.
        ui.packagesButton.enabled = torch.met
        ui.packagesButton.toolTip = "" if torch.met else _("PyTorch first")

    def why_not(self) -> str | None:
        if self.missing:
            return _("{packages} must be installed first.").format(packages=", ".join(self.missing))
        return None

    def _install(self, install: Callable[[], None]) -> None:
        try:
            install()
            self._refusal = ""
        except packages.InstallRefused as refusal:
            self._refusal = str(refusal)
        self.look()
        self._changed()
