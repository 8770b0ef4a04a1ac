"""Paints one slice of a patient from neck to chest: envelope, muscles, bones, lungs, vessels, table."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .canvas import (
    AIR,
    AIRWAY,
    BLOOD,
    CORTEX,
    FAT,
    FOAM,
    GLAND,
    LUNG_LEFT,
    LUNG_RIGHT,
    MARROW,
    MUSCLE,
    SKIN,
    TABLE,
    Canvas,
    blend,
    distance_to_ellipsoid,
    distance_to_rod,
)

WHOLE = (slice(None), slice(None))
SIDES = (-1.0, 1.0)

#: Profiles over z (mm below the lung apex): half width, half depth and middle (y) of the neck and trunk
#: without subcutaneous fat, and half width and half depth of the rib cage.
_LEVELS = (-160, -120, -95, -70, -45, -20, 5, 30, 60, 100, 150, 220)
_TRUNK_A = (73, 71, 64, 57, 58, 78, 112, 133, 146, 152, 154, 152)
_TRUNK_B = (92, 88, 68, 57, 57, 62, 76, 86, 94, 100, 104, 106)
_TRUNK_Y = (0, 0, 14, 18, 18, 18, 17, 13, 9, 7, 6, 5)
_CAGE_A = (0, 0, 0, 0, 0, 30, 74, 100, 120, 133, 140, 140)
_CAGE_B = (0, 0, 0, 0, 0, 26, 54, 69, 79, 88, 94, 97)


def profile(z: float, values: tuple[int, ...]) -> float:
    return float(np.interp(z, _LEVELS, values))


def paint_slice(canvas: Canvas) -> None:
    """Paint the tissues of the canvas' slice, from the outside in; later parts lie over earlier ones."""
    _table(canvas)
    lean = _envelope(canvas)
    cage = _rib_cage_distance(canvas)
    _shell_muscles(canvas, lean, cage)
    _neck(canvas)
    _shoulders(canvas)
    _rib_cage(canvas, cage)
    _lungs(canvas, cage)
    _spine(canvas)
    _mediastinum(canvas)
    _clavicles(canvas)
    _airway(canvas)


# --- outside


def _table(canvas: Canvas) -> None:
    """A curved table top of a hard shell over foam; it lies in the scanner, not in the patient."""
    frame, anatomy = canvas.frame, canvas.anatomy
    columns = frame.columns[None, :]
    # The patient lies on a mattress, whose foam is a little denser than air.
    back = anatomy.offset[0] + 112 * anatomy.scale[1] + 1.1 * anatomy.fat_mm * (1 - anatomy.fat_front)
    below = frame.rows[:, None] - (back + 26 - 0.00045 * columns**2)
    inside = np.abs(columns) < 205
    canvas.labels[(np.abs(below) < 28) & inside] = FOAM
    canvas.labels[(np.abs(np.abs(below) - 13) < 1.6) & inside] = TABLE
    canvas.labels[(below < -13) & inside & (canvas.labels == FOAM)] = AIR
    canvas.labels[(below > 13) & inside & (canvas.labels == FOAM)] = AIR


def _envelope(canvas: Canvas) -> np.ndarray:
    """Skin and fat of neck, trunk, shoulders, arms; returns the distance to the surface below the fat."""
    x, y, z, anatomy = canvas.x, canvas.y, canvas.z, canvas.anatomy
    a, b, middle = (profile(z, values) for values in (_TRUNK_A, _TRUNK_B, _TRUNK_Y))
    lean = distance_to_ellipsoid(x, y, 0.0, (0.0, middle, 0.0), (a, b, 1.0))
    across = np.abs(x)
    # Left and right differ only by the shift of the arms: one distance serves both where it is 0.
    shoulder = distance_to_ellipsoid(across, y, z, (116.0, 24.0, 32.0), (80.0, 44.0, 72.0))
    lean = blend(lean, shoulder, 26.0)
    for sign, shift in zip(SIDES, anatomy.arm_shift, strict=True):
        start, end = _arm(anatomy.arms_up, sign, shift)
        lean = blend(lean, distance_to_rod(x, y, z, start, end, (42.0, 36.0)), 14.0)
    radius = np.sqrt(x * x + y * y) + np.float32(1.0)
    level = float(np.interp(z, (-110, -50, 20, 90), (0.45, 0.5, 0.85, 1.1)))
    cover = 1 - np.float32(anatomy.fat_front) * (y / radius) + np.float32(anatomy.fat_side) * (x / radius)
    body = lean - np.float32(anatomy.fat_mm * level) * cover
    canvas.labels[body < 0] = SKIN
    canvas.labels[body < -2.0] = FAT
    return lean


def _arm(
    up: bool, sign: float, shift: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    if up:
        return (sign * 160.0, 14.0, 18.0), (sign * (176.0 + shift), -14.0, -190.0)
    return (sign * 172.0, 22.0, 34.0), (sign * (194.0 + shift), 28.0, 280.0)


def _shell_muscles(canvas: Canvas, lean: np.ndarray, cage: np.ndarray) -> None:
    """Muscles that lie as sheets: back, pectoral, the wall under the arm; fat planes run between them."""
    x, y, z, anatomy = canvas.x, canvas.y, canvas.z, canvas.anatomy
    across = np.abs(x)
    inside = lean < -1.5
    strength = anatomy.muscle
    # Fat planes between muscle bundles, a few millimetres wide.
    planes = np.abs(np.sin((x * 0.6 + y) / 13 + np.float32(z / 29))) > 0.16
    back_line = float(np.interp(z, (-120, -60, -20, 40, 120), (46, 34, 40, 58, 62))) + across * np.float32(
        0.06
    )
    back = inside & (y > back_line) & (planes | (lean > -7))
    # Beside the spine the back muscles are thick, towards the flank they thin out.
    canvas.labels[back & (across < 118)] = MUSCLE
    if z > -6:
        thick = 20 * strength * np.interp(z, (-6, 20, 70, 120, 160), (0.2, 0.9, 1.0, 0.6, 0.3))
        front = np.clip((across - 9) / 22, 0, 1) * np.clip((172 - across) / 50, 0.25, 1)
        pectoral = inside & (y < -14) & (cage > 2.0) & (lean > -np.float32(thick) * front - 3)
        gap = np.abs(lean + np.float32(thick * 0.45)) > 1.2
        canvas.labels[pectoral & gap & (across > 9)] = MUSCLE
        flank = inside & (cage > 1.5) & (cage < 9 * strength) & (y > -30)
        canvas.labels[flank] = MUSCLE
    if -62 < z < 45:
        # Trapezius: from the neck down to the shoulder, thinner towards its rim.
        spread = float(np.interp(z, (-62, -25, 5, 45), (34, 112, 140, 134)))
        bulk = strength * np.interp(z, (-62, -20, 45), (14, 20, 13)) * np.clip(1.25 - across / spread, 0, 1)
        canvas.paint(WHOLE, inside & (lean > -bulk - 1.5) & (y > 12) & (across > 12), MUSCLE, (FAT,))
    if z > 40:
        # Latissimus and teres: the rear fold of the axilla.
        window = WHOLE
        fold = inside & (lean > -13 * strength) & (y > 18) & (across > 90)
        canvas.paint(window, fold, MUSCLE, (FAT,))


# --- neck and shoulders


def _neck(canvas: Canvas) -> None:
    z, strength = canvas.z, canvas.anatomy.muscle
    if z < 5:
        # Sheets of muscle behind and beside the cervical spine.
        for sign in SIDES:
            canvas.disc(sign * 18, 52, 19 * strength, 18, MUSCLE, angle=sign * 25, over=(FAT,))
            canvas.disc(sign * 25, 26, 12 * strength, 13, MUSCLE, over=(FAT,))
            canvas.disc(sign * 40, 44, 9 * strength, 17, MUSCLE, angle=sign * 30, over=(FAT,))
            # Sternomastoid: from behind the ear forwards to the sternum.
            share = np.clip((z + 110) / 115, 0, 1)
            sx, sy = 50 - 32 * share, 18 - 58 * share
            canvas.disc(
                sign * sx, sy, 13 * strength, 6.5, MUSCLE, angle=sign * (55 - 40 * share), over=(FAT,)
            )
            canvas.disc(sign * 9, 20, 9, 5, MUSCLE, over=(FAT,))
            canvas.disc(sign * 27, 4, 4.2, 4.2, BLOOD)
            canvas.disc(sign * 34, 2, 6.5, 5.2, BLOOD, angle=sign * 20)
    if -45 < z < -4:
        bulk = np.sqrt(max(0.0, 1 - ((z + 24) / 22) ** 2))
        for sign in SIDES:
            canvas.disc(sign * 15, -8, 9 * bulk, 13 * bulk, GLAND)
        canvas.disc(0, -17, 9 * bulk, 4 * bulk, GLAND)
    if -95 < z < -50:
        canvas.disc(0, -16, 21, 20, MUSCLE, over=(FAT, MUSCLE))
    if z < -85:
        # Floor of the mouth and the lower jaw.
        deep = np.clip((-85 - z) / 30, 0, 1)
        canvas.disc(0, -28, 44 * deep + 8, 42 * deep + 6, MUSCLE, over=(FAT,))
        window, radius = canvas.ellipse(0, -18, 52, 62)
        ring = (np.abs(radius - 1) < 0.09) & (canvas.y[window] < 12) & (z < -98)
        canvas.paint(window, ring, CORTEX, (FAT, MUSCLE))
        for sign in SIDES:
            canvas.disc(sign * 46, 14, 13 * deep, 18 * deep, GLAND, over=(FAT,))


def _shoulders(canvas: Canvas) -> None:
    """Deltoid, rotator cuff, scapula and upper arm."""
    x, y, z, anatomy = canvas.x, canvas.y, canvas.z, canvas.anatomy
    strength = anatomy.muscle
    for sign, shift in zip(SIDES, anatomy.arm_shift, strict=True):
        start, end = _arm(anatomy.arms_up, sign, shift)
        window = canvas.window(_at(start, end, z)[0], _at(start, end, z)[1], 75)
        arm = distance_to_rod(x[window], y[window], z, start, end, (0.0, 0.0))
        lobes = 1 + 0.06 * np.sin(np.arctan2(y[window] - start[1], x[window] - start[0]) * 3)
        canvas.paint(window, arm < 34 * strength * lobes, MUSCLE, (FAT,))
        cap = distance_to_ellipsoid(x[window], y[window], z, (sign * 148, 20, 24), (36.0, 31.0, 46.0))
        canvas.paint(window, cap * np.float32(1 / strength) < 0, MUSCLE, (FAT,))
        head = distance_to_ellipsoid(x[window], y[window], z, start, (23.0, 22.0, 23.0))
        shaft = np.minimum(arm - 11, head)
        canvas.paint(window, shaft < 0, CORTEX)
        canvas.paint(window, shaft < -3.5, MARROW)
        if -14 < z < 150:
            # Scapula: a thin plate behind the ribs, muscle on both of its faces.
            size = float(np.interp(z, (-14, 5, 40, 150), (0.35, 1.0, 1.0, 0.3)))
            mx, my = sign * 106, float(np.interp(z, (-14, 30, 150), (38, 50, 64)))
            canvas.disc(mx, my, 46 * size, 21 * size * strength, MUSCLE, angle=-sign * 38, over=(FAT,))
            canvas.disc(mx, my, 43 * size, 4.5, CORTEX, angle=-sign * 38, core=(MARROW, 0.45))
            if z < 45:
                canvas.disc(sign * 139, 26, 10, 16, CORTEX, angle=sign * 20, core=(MARROW, 0.72))
            if 5 < z < 70:
                canvas.disc(sign * 112, 74, 26, 4, CORTEX, angle=-sign * 25, over=(MUSCLE, FAT))
        # Vessels of the arm run through the fat of neck and axilla.
        if -5 < z < 75:
            share = (z + 5) / 80
            canvas.disc(sign * (42 + 95 * share), 2 - 10 * share, 6, 4.5, BLOOD, over=(FAT, MUSCLE))
            canvas.disc(sign * (50 + 92 * share), -8 - 6 * share, 6.5, 5, BLOOD, over=(FAT, MUSCLE))
        if 20 < z < 100:
            for index in range(4):
                # Lymph nodes of the axilla.
                nx, ny, nz = 118 + 9 * ((index * 7) % 4), -4 + 8 * ((index * 5) % 4), 34 + 16 * index
                reach = 25 - (z - nz) ** 2
                if reach > 0:
                    canvas.disc(sign * nx, ny, reach**0.5, 0.7 * reach**0.5, GLAND, over=(FAT,))


def _at(start: tuple[float, ...], end: tuple[float, ...], z: float) -> tuple[float, float]:
    share = float(np.clip((z - start[2]) / (end[2] - start[2]), 0, 1))
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


# --- chest


def _rib_cage_distance(canvas: Canvas) -> np.ndarray:
    a, b = profile(canvas.z, _CAGE_A), profile(canvas.z, _CAGE_B)
    if a < 5:
        return np.full(canvas.x.shape, 1e3, np.float32)
    return distance_to_ellipsoid(canvas.x, canvas.y, 0.0, (0.0, 10.0, 0.0), (a, b, 1.0))


def _rib_cage(canvas: Canvas, cage: np.ndarray) -> None:
    z = canvas.z
    if z < -22:
        return
    wall = (cage < 1.5) & (cage > -9)
    canvas.paint(WHOLE, wall, MUSCLE, (FAT, MUSCLE, CORTEX, MARROW))
    # What lies inside the wall and is not lung is fat until vessels are painted into it.
    canvas.paint(WHOLE, cage <= -9, FAT)
    if z < 30:
        # Over the apex of the lung lie scalene muscles and vessels rather than fat.
        canvas.paint(WHOLE, (cage <= -9) & (np.abs(canvas.x) > 30), MUSCLE)
    # A rib falls from the spine to the front; at one level several ribs are cut.
    level = z + canvas.anatomy.rib_phase + np.clip(70 - canvas.y, 0, 150) * np.float32(-0.42)
    rib = np.abs(np.mod(level, 24) - 12)
    ring = (cage < 0) & (cage > -8) & (np.abs(canvas.x) > 16)
    canvas.paint(WHOLE, ring & (rib < 5.5), CORTEX)
    canvas.paint(WHOLE, ring & (rib < 3.2) & (cage < -2.5) & (cage > -6), MARROW)
    if z > 12:
        front = 10 - profile(z, _CAGE_B)
        width = float(np.interp(z, (12, 30, 60, 200), (16, 27, 17, 19)))
        canvas.disc(0, front + 3, width, 7.5, CORTEX, core=(MARROW, 0.72))


def _lungs(canvas: Canvas, cage: np.ndarray) -> None:
    x, y, z = canvas.x, canvas.y, canvas.z
    inside = cage < -9.5
    column = float(np.interp(z, (0, 60, 110, 150, 220), (21, 25, 29, 42, 52)))
    shift = float(np.interp(z, (90, 160), (2, 14)))
    depth = float(np.interp(z, (0, 60, 150), (46, 66, 82)))
    middle = distance_to_ellipsoid(x, y, 0.0, (shift, -14.0, 0.0), (column, depth, 1.0))
    spine = distance_to_ellipsoid(x, y, 0.0, (0.0, 56.0, 0.0), (27.0, 32.0, 1.0))
    free = inside & (middle > 0) & (spine > 0)
    if z > 150:
        # Domes of the diaphragm: lungs reach deepest along the wall; below lie liver, stomach and spleen.
        rise = np.minimum(((np.abs(x) - 74) / 62) ** 2 + ((y - 8) / 84) ** 2, 1.0)
        below = 162 + 40 * rise + np.where(x > 0, np.float32(6), np.float32(0)) < z
        canvas.labels[inside & below & (spine > 0) & (cage < -13)] = GLAND
        free &= ~below
    for sign, label, apex in zip(SIDES, (LUNG_RIGHT, LUNG_LEFT), canvas.anatomy.apex_shift, strict=True):
        depth_below = z - apex
        if depth_below <= 0:
            continue
        dome = np.sqrt(1 - (1 - min(depth_below / 95, 1.0)) ** 2) + max(0.0, depth_below - 95) / 95
        centre = float(np.interp(depth_below, (0, 95), (44, 76)))
        radius = np.sqrt(((x - sign * centre) / (82 * dome)) ** 2 + ((y - 20) / (100 * dome)) ** 2)
        canvas.labels[free & (radius < 1) & (x * sign > 0)] = label
    rods = canvas.anatomy.vessels
    low, high = np.minimum(rods[:, 2], rods[:, 5]), np.maximum(rods[:, 2], rods[:, 5])
    for rod in rods[(low - 2 < z) & (high + 2 > z)]:
        run = rod[5] - rod[2]
        share = float(np.clip((z - rod[2]) / run, 0, 1)) if abs(run) > 1e-3 else 0.5
        px, py = rod[0] + share * (rod[3] - rod[0]), rod[1] + share * (rod[4] - rod[1])
        # A vessel that runs along the slice is cut lengthwise.
        stretch = min(3.0, float(np.hypot(rod[3] - rod[0], rod[4] - rod[1])) / max(abs(run), 6.0) + 1)
        angle = float(np.degrees(np.arctan2(rod[4] - rod[1], rod[3] - rod[0])))
        canvas.disc(px, py, rod[6] * stretch, rod[6], BLOOD, angle=angle, over=(LUNG_RIGHT, LUNG_LEFT))


def _spine(canvas: Canvas) -> None:
    z = canvas.z
    y = float(np.interp(z, (-120, -40, 20, 150), (30, 34, 46, 60)))
    size = float(np.interp(z, (-120, 0, 150), (10, 13, 17)))
    disc_space = np.mod(z + 7, 24) < 4
    canvas.disc(
        0, y, size * 1.15, size, GLAND if disc_space else CORTEX, core=None if disc_space else (MARROW, 0.86)
    )
    back = y + size + 8
    canvas.disc(0, back, 12, 10.5, CORTEX)
    canvas.disc(0, back, 8, 6.5, GLAND)
    for sign in SIDES:
        canvas.disc(sign * (size + 7), back - 1, 11, 4.2, CORTEX, angle=sign * 20, core=(MARROW, 0.6))
    if np.mod(z + 3, 24) < 13:
        canvas.disc(0, back + 19, 4, 13, CORTEX, core=(MARROW, 0.6))


def _mediastinum(canvas: Canvas) -> None:
    """Oesophagus, great vessels and heart, without contrast."""
    z = canvas.z
    spine_y = float(np.interp(z, (-120, -40, 20, 150), (30, 34, 46, 60)))
    canvas.disc(4, spine_y - 22, 7, 5, GLAND)
    over = (FAT, MUSCLE, LUNG_RIGHT, LUNG_LEFT)
    if -5 < z < 66:
        share = np.clip((z + 5) / 70, 0, 1)
        canvas.disc(-18 + 4 * share, -8 - 16 * share, 6.5, 6.5, BLOOD, over=over)
        canvas.disc(16 - 3 * share, -4 - 10 * share, 4.5, 4.5, BLOOD, over=over)
        canvas.disc(22 - 2 * share, 12 + 2 * share, 5, 5, BLOOD, over=over)
        canvas.disc(-25 + 3 * share, -18 - 12 * share, 7.5, 6.5, BLOOD, over=over)
        canvas.disc(24 - 36 * share, -26 - 12 * share, 8, 6, BLOOD, over=over)
    if z >= 58:
        canvas.disc(-24, -16, 9.5, 9, BLOOD, over=over)
        canvas.disc(24, spine_y - 22, 12, 12, BLOOD, over=over)
    if 58 <= z < 92:
        canvas.disc(9, 4, 14, 40, BLOOD, angle=24, over=over)
    if z >= 84:
        canvas.disc(-5, -34, 16, 15, BLOOD, over=over)
    if 96 <= z < 140:
        canvas.disc(15, -34, 14, 14, BLOOD, over=over)
        canvas.disc(4, -4, 38, 10, BLOOD, angle=12, over=over)
    if z >= 134:
        grow = float(np.clip((z - 130) / 45, 0.2, 1.0))
        canvas.disc(14, -30, 30 + 26 * grow, 24 + 20 * grow, BLOOD, angle=28, over=over)


def _clavicles(canvas: Canvas) -> None:
    x, y, z = canvas.x, canvas.y, canvas.z
    if not -50 < z < 45:
        return
    for sign in SIDES:
        path = ((sign * 20, -44, 20), (sign * 62, -42, 4), (sign * 112, -8, -14), (sign * 140, 8, -20))
        for start, end in pairwise(path):
            window = canvas.window((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, 48)
            distance = distance_to_rod(x[window], y[window], z, start, end, (6.8, 6.8))
            canvas.paint(window, distance < 2.6, MUSCLE, (FAT,))
            canvas.paint(window, distance < 0, CORTEX)
            canvas.paint(window, distance < -2.8, MARROW)


def _airway(canvas: Canvas) -> None:
    z = canvas.z
    over = None
    if z < 108:
        y = float(np.interp(z, (-120, -60, 0, 108), (-4, -16, -10, 14)))
        wide, deep = (13.0, 7.0) if z < -78 else (8.5, 9.0)
        canvas.disc(0, y, wide + 2.2, deep + 2.2, MUSCLE if z < -50 else GLAND, over=over)
        canvas.disc(0, y, wide, deep, AIRWAY)
        return
    spread = (z - 104) * 0.75
    if spread < 24:
        for sign in SIDES:
            canvas.disc(sign * (5 + spread), 14 + spread * 0.1, 8.5, 8.5, GLAND, over=over)
            canvas.disc(sign * (5 + spread), 14 + spread * 0.1, 6.5, 6.5, AIRWAY)
