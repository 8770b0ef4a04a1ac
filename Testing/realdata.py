"""Where tests find real images and golden values; both may be absent, and then a test is skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_SHARED = Path(__file__).resolve().parents[2] / "shared"


def real_data(relative: str) -> Path:
    """Path of a published test image: in ``$BATNET_TEST_DATA``, else in ``../shared/data``."""
    roots = [Path(os.environ["BATNET_TEST_DATA"])] if os.environ.get("BATNET_TEST_DATA") else []
    return _find([*roots, _SHARED / "data"], relative)


def parity_file(relative: str) -> Path:
    """Path of golden values of the published code: ``$BATNET_TEST_PARITY``, else ``../shared/parity``."""
    roots = [Path(os.environ["BATNET_TEST_PARITY"])] if os.environ.get("BATNET_TEST_PARITY") else []
    return _find([*roots, _SHARED / "parity"], relative)


def _find(roots: list[Path], relative: str) -> Path:
    for root in roots:
        if (root / relative).exists():
            return root / relative
    pytest.skip(f"the real test file {relative} is not on this machine (set BATNET_TEST_DATA)")
