"""What ``batnet train --dry-run`` measured, in words."""

from __future__ import annotations

import math
from typing import Any

from BATNetSlicer.texts import _
from BATNetSlicer.timewords import duration_words


def estimate_words(facts: dict[str, Any]) -> str:
    """Memory and time of a training, and what they were measured on.

    ``facts``: fields of ``BATNetLib.training.dryrun.Estimate``; what is missing or no number is left out.
    """
    memory, epoch, hours = (_number(facts.get(n)) for n in ("memory_gb", "seconds_per_epoch", "hours"))
    sentences = []
    if memory is not None:
        sentences.append(_("Memory: {memory:.2g} GB.").format(memory=memory))
    if epoch is not None and hours is not None:
        sentences.append(
            _("An epoch takes about {epoch}, the whole training about {whole}.").format(
                epoch=duration_words(epoch), whole=duration_words(3600 * hours)
            )
        )
    read, cases = facts.get("cases_read"), facts.get("cases")
    if read and cases:
        sentences.append(
            _("Measured on {device} with {read} of {cases} cases to train on.").format(
                device=facts.get("device") or _("this computer"), read=read, cases=cases
            )
        )
    return " ".join(sentences) or _("The engine measured nothing.")


def _number(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None
