"""Where the files that come with the program are: model registry, weights, criteria, schemas."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import BATNetError


def resource(relative: str) -> Path:
    """Path of a file of ``Resources``, such as ``"models/registry.json"``.

    Looked for in ``$BATNET_RESOURCES``, in the package (installed), and beside it (from source). Raises
    ``BATNetError`` ("resource-missing") where the installation is incomplete.
    """
    package = Path(__file__).resolve().parent
    given = os.environ.get("BATNET_RESOURCES")
    places = [Path(given)] if given else [package / "Resources", package.parent / "Resources"]
    for place in places:
        if (place / relative).is_file():
            return place / relative
    raise BATNetError(
        "resource-missing",
        f"Resources/{relative} is not where the program was installed.",
        "It comes with the program.",
        "Install the program again, or set BATNET_RESOURCES to the Resources folder of its sources.",
    )
