"""PNG slices as the authors keep them: ``data_png/<i>.png`` of 8 bit beside ``data_mask/<i>.png`` of 0, 255.

They hold HU from -300 to 200 in 256 steps; everything beyond, and the size of a voxel, is lost.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..adipose.slabs import WINDOW, window_to_uint8
from ..errors import InputRefused, OutputRefused
from ..events import Events
from .cases import TrainingCase
from .findings import BLOCK, NOTE, WARN, CaseFacts
from .pixels import hash_planes, hash_wherever

MARKED = 255
#: What stage 1 looks at, and what its rows and columns must divide by.
_FEWEST, _DIVISOR = 4, 16


def slice_numbers(folder: Path) -> dict[int, Path]:
    """Number to PNG file of a folder, in order; files whose name is no number are left out.

    Raises ``InputRefused`` where the folder cannot be opened or two files have the same number.
    """
    try:
        files = [p for p in folder.iterdir() if p.suffix.lower() == ".png" and p.stem.isdecimal()]
    except OSError as error:
        raise InputRefused(
            "unreadable",
            f"The folder {folder.name} cannot be opened.",
            "A folder of PNG slices is needed.",
            "Check that it is there and may be read.",
        ) from error
    numbers = {int(p.stem): p for p in sorted(files, key=lambda p: int(p.stem))}
    if len(numbers) != len(files):
        raise InputRefused(
            "slice-numbers",
            f"Files in {folder.name} have the same number written differently, such as 1.png and 01.png.",
            "Each number is one slice.",
            "Take one of them out.",
        )
    return numbers


def read_slices(case: TrainingCase, events: Events | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Windowed CT and mask of a case: uint8 [slice, row, column] each, the mask of 0 and 1.

    Slices run in the order of their numbers, from superior to inferior as the authors' do. Raises
    ``InputRefused``: pairs or numbers missing, damaged or coloured files, sizes or mask values that differ.
    """
    events = events or Events()
    numbers = _paired(case)
    images = read_stack(list(slice_numbers(case.files["slices"]).values()), events)
    masks = read_stack(list(slice_numbers(case.files["slice_masks"]).values()), events)
    if images.shape != masks.shape:
        raise InputRefused(
            "other-shape",
            f"The masks have {masks.shape[1]} x {masks.shape[2]} pixels, the slices "
            f"{images.shape[1]} x {images.shape[2]}.",
            "A mask has the size of its slice.",
            "Write the masks of these slices again.",
        )
    values = np.flatnonzero(np.bincount(masks.ravel(), minlength=256)).tolist()
    if not (set(values) <= {0, MARKED} or set(values) <= {0, 1}):
        raise InputRefused(
            "mask-values",
            f"The masks hold {len(values)} values, among them {', '.join(map(str, values[:5]))}.",
            "0 and 255 are expected.",
            "Save masks without smoothing and without JPEG in between.",
        )
    if numbers and len(numbers) != numbers[-1] - numbers[0] + 1:
        raise InputRefused(
            "slice-gap",
            f"The slices run from {numbers[0]} to {numbers[-1]}, and "
            f"{numbers[-1] - numbers[0] + 1 - len(numbers)} numbers between are missing.",
            "Stage 1 looks at five consecutive slices.",
            "Add what is missing, or make two cases of it.",
        )
    return images, (masks > 0).astype(np.uint8)


def read_stack(files: list[Path], events: Events) -> np.ndarray:
    """uint8 [slice, row, column] of grey PNG files of one size."""
    if not files:
        raise InputRefused(
            "slices-missing",
            "There is no PNG slice.",
            "Files called 0.png, 1.png and so on are needed.",
            "Name the slices by their number.",
        )
    stack: np.ndarray | None = None
    for index, path in enumerate(files):
        events.check()
        plane = _read(path)
        if stack is None:
            stack = np.empty((len(files), *plane.shape), np.uint8)
        if plane.shape != stack.shape[1:]:
            raise InputRefused(
                "other-shape",
                f"{path.name} has {plane.shape[0]} x {plane.shape[1]} pixels, {files[0].name} "
                f"{stack.shape[1]} x {stack.shape[2]}.",
                "All slices of a case have the same size.",
                "Export the case again.",
            )
        stack[index] = plane
    assert stack is not None
    return stack


def write_slices(folder: Path, hu: np.ndarray, mask: np.ndarray | None, events: Events) -> None:
    """Write HU [slice, row, column] and a mask as PNG slices into ``folder``."""
    try:
        from PIL import Image
    except ImportError as error:
        raise _no_pillow() from error
    (folder / "data_png").mkdir(parents=True)
    (folder / "data_mask").mkdir()
    for index, plane in enumerate(hu):
        events.check()
        windowed = plane if plane.dtype == np.uint8 else window_to_uint8(plane)
        Image.fromarray(windowed).save(folder / "data_png" / f"{index}.png")
        if mask is not None:
            marked = (mask[index] > 0).astype(np.uint8) * MARKED
            Image.fromarray(marked).save(folder / "data_mask" / f"{index}.png")


def approximate_hu(images: np.ndarray) -> np.ndarray:
    """int16 HU of windowed slices: the middle of each step; -300 and 200 stand for everything beyond."""
    low, high = WINDOW
    hu = np.rint(low + (images.astype(np.float32) + 0.5) / 255 * (high - low)).astype(np.int16)
    hu[images == 0] = low
    return np.minimum(hu, np.int16(high))


def examine_slices(case: TrainingCase, events: Events) -> tuple[CaseFacts, np.ndarray, np.ndarray]:
    """Look at PNG slices; findings go into the facts. Raises ``InputRefused`` as ``read_slices`` does."""
    facts = CaseFacts(case)
    images, masks = read_slices(case, events)
    n, rows, columns = images.shape
    facts.shape = (n, rows, columns)
    facts.fat = float(np.count_nonzero(masks))
    facts.voxels, facts.planes = hash_wherever(images), hash_planes(images, events)
    if not facts.fat:
        facts.find(
            BLOCK,
            "mask-empty",
            "All masks are empty.",
            "Give the masks of these slices, or take the case out.",
        )
    elif empty := int((~masks.any(axis=(1, 2))).sum()):
        facts.find(
            NOTE,
            "slices-empty",
            f"{empty} of {n} slices have an empty mask.",
            "Fine where the slice shows no fat; check that none was forgotten.",
        )
    if n < _FEWEST:
        facts.find(
            BLOCK,
            "too-few-slices",
            f"The case has {n} slices.",
            "Stage 1 looks at five slices and needs at least 4 of a case.",
        )
    if rows % _DIVISOR or columns % _DIVISOR:
        facts.find(
            NOTE,
            "size-not-16",
            f"Slices of {rows} x {columns} pixels do not divide by {_DIVISOR}.",
            "They are padded in training; the published code cannot use them.",
        )
    files = list(slice_numbers(case.files["slice_masks"]).values())
    if facts.fat and _read(files[int(masks.any(axis=(1, 2)).argmax())]).max() == 1:
        facts.find(
            WARN,
            "mask-01",
            "The masks hold 0 and 1, which look black.",
            "They are read right here; the published code expects 0 and 255.",
        )
    return facts, images, masks


def _paired(case: TrainingCase) -> list[int]:
    """The numbers of the slices; refuses those without a mask and masks without a slice."""
    for role, folder in (("slices", "data_png"), ("slice_masks", "data_mask")):
        if role not in case.files:
            raise InputRefused(
                "pairs-missing",
                f"There is no folder {folder} in the case.",
                "Slices (data_png) and masks (data_mask) are needed.",
                "Add the folder, or take the case out.",
            )
    images, masks = (set(slice_numbers(case.files[role])) for role in ("slices", "slice_masks"))
    if images != masks:
        alone = [
            f"{len(numbers)} {what} ({', '.join(f'{n}.png' for n in sorted(numbers)[:5])})"
            for numbers, what in (
                (images - masks, "slices without a mask"),
                (masks - images, "masks without a slice"),
            )
            if numbers
        ]
        raise InputRefused(
            "pairs-missing",
            f"There are {' and '.join(alone)}.",
            "Each slice has a mask of the same number.",
            "Add what is missing; an empty mask is a black PNG.",
        )
    return sorted(images)


def _read(path: Path) -> np.ndarray:
    try:
        from PIL import Image
    except ImportError as error:
        raise _no_pillow() from error
    try:
        with Image.open(path) as image:
            if image.mode not in ("L", "1"):
                raise InputRefused(
                    "slice-not-grey",
                    f"{path.name} is no 8-bit grey picture (mode {image.mode}).",
                    "Slices and masks are 8-bit grey PNG files.",
                    "Export them again; colours and 16 bit would change the values.",
                )
            return np.asarray(image.convert("L"))
    except (OSError, SyntaxError, ValueError) as error:
        raise InputRefused(
            "unreadable",
            f"{path.name} is damaged or no PNG.",
            "A whole PNG file is needed.",
            "Copy it again.",
        ) from error


def _no_pillow() -> OutputRefused:
    return OutputRefused(
        "pillow-missing",
        "PNG files cannot be read or written: Pillow is not installed.",
        "Pillow is needed for slices and pictures.",
        "Install it: pip install Pillow Jinja2.",
    )
