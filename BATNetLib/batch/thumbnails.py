"""Small pictures for the contact sheet, made once per case from ``preview.png``."""

from __future__ import annotations

from pathlib import Path

PREVIEW, THUMBNAIL = "preview.png", "thumbnail.jpg"
#: Largest edge in pixels: sharp at the size shown, about 20 KB each.
_EDGE = 400


def make_thumbnail(folder: Path) -> bool:
    """Write ``thumbnail.jpg`` into an analysis folder; False where there is no preview or no Pillow."""
    preview = folder / PREVIEW
    if not preview.is_file():
        return False
    try:
        from PIL import Image
    except ImportError:
        return False
    with Image.open(preview) as image:
        small = image.convert("RGB")
        small.thumbnail((_EDGE, _EDGE))
        small.save(folder / THUMBNAIL, quality=82, optimize=True)
    return True
