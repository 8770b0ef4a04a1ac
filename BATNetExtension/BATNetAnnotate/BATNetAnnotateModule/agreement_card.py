"""Agreement."""

from __future__ import annotations

from typing import Any


class AgreementCard:
    def __init__(self, ui: Any, reads: Any, runner: Any, show_case: Any) -> None:
        self.ui = ui

    def enable(self) -> None: ...
    def close(self) -> None: ...
