"""Checks before a run: each finding blocks, warns or notes; going on over a block needs a reason."""

from .checks import preflight, with_adipose
from .limits import PreflightLimits, read_limits
from .report import BLOCK, CODES, NOTE, WARN, Finding, PreflightReport

__all__ = [
    "BLOCK",
    "CODES",
    "NOTE",
    "WARN",
    "Finding",
    "PreflightLimits",
    "PreflightReport",
    "preflight",
    "read_limits",
    "with_adipose",
]
