"""The module's own test: the logic on the phantom, with the demonstration models and the real engine."""

from __future__ import annotations

import time
from typing import Any

from BATNetSlicer.packages import torch_need
from BATNetSlicer.samples import phantom_now
from BATNetSlicer.texts import _


def run_on_phantom(case: Any, logic: Any) -> str:
    """Assert on ``case`` (a ``unittest.TestCase``); returns what was measured, in words."""
    if not torch_need().met:
        return _("PyTorch is missing: the logic was not tested. See the card Set-up.")
    ct = phantom_now()
    case.assertIsNotNone(ct)
    start = time.monotonic()
    analysis = logic.process(ct, model="demo", interactive=False)
    seconds = time.monotonic() - start
    case.assertTrue(analysis.assessed)
    case.assertTrue(0.0 <= analysis.probability <= 1.0)
    case.assertEqual(len(analysis.patches), 32)
    case.assertEqual(len(analysis.pairs), 16)
    case.assertIsNotNone(analysis.segmentation)
    case.assertIs(analysis.ct, ct)
    case.assertIsNotNone(analysis.demonstration)
    return _("The phantom was analysed in {seconds:.1f} s.").format(seconds=seconds)
