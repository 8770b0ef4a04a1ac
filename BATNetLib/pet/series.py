"""The PET series of a DICOM folder and its headers."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputRefused, UsageError
from ..events import Events
from ..volume import Series, list_series
from ..volume.instances import quiet
from .headers import PetHeaders


def choose_pet_series(
    path: str | Path, series: str | int | None = None, events: Events | None = None
) -> Series:
    """The PET series below a folder, or that of one DICOM file.

    ``series``: number in ``list_series``, UID or the end of one, where there are several. Raises
    ``InputRefused`` ("no-pet-series", "several-series") and ``UsageError`` ("series-unknown").
    """
    path = Path(path)
    found = list_series(path, events=events)
    listing = "; ".join(s.words() for s in found[:20]) + ("; ..." if len(found) > 20 else "")
    if series is not None:
        text = str(series).strip()
        by_number = [s for s in found if text == str(s.number)] if len(text) < 6 else []
        matching = by_number or [s for s in found if text and s.uid.endswith(text)]
        if len(matching) != 1:
            raise UsageError(
                "series-unknown",
                f"The series {text!r} names {len(matching)} of {len(found)} series: {listing}.",
                "Exactly one series must be named.",
                "Give its number or its UID with --pet-series.",
            )
        return matching[0]
    if path.is_file():
        mine = [s for s in found for i in s.instances if Path(i.file).name == path.name]
    else:
        mine = [s for s in found if s.modality == "PT" and not s.problem]
    if len(mine) == 1:
        return mine[0]
    if not mine:
        raise InputRefused(
            "no-pet-series",
            f"Among {len(found)} series there is no PET volume: {listing}.",
            "A series of modality PT is needed.",
            "Give the folder of the attenuation-corrected PET series.",
        )
    raise InputRefused(
        "several-series",
        f"There are {len(mine)} PET series: {listing}.",
        "One series must be chosen.",
        "Name the attenuation-corrected one by its number or UID (--pet-series).",
    )


def read_headers(series: Series, events: Events | None = None) -> PetHeaders:
    """The full headers of the slices of ``series``, without pixels.

    Raises ``InputRefused`` ("unreadable") where one is damaged.
    """
    import pydicom

    events = events or Events()
    headers = []
    for instance in series.instances:
        events.check()
        if instance.localizer:
            continue
        try:
            with quiet():
                headers.append(pydicom.dcmread(instance.file, stop_before_pixels=True, force=True))
        except Exception as error:  # pydicom raises many kinds for damaged files; all mean the same here
            raise InputRefused(
                "unreadable",
                f"{Path(instance.file).name} cannot be read to the end of its header.",
                "Every slice must be complete.",
                "Copy or export the series again.",
            ) from error
    return PetHeaders(headers)
