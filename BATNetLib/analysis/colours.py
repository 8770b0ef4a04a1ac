"""Colours of the pictures: even steps to the eye, readable without colour vision.

The ramps run through OKLCH (B. Ottosson, "A perceptual color space for image processing", 2020): lightness
rises steadily, so a grey print and every kind of colour vision keep the order of the values.
"""

from __future__ import annotations

import numpy as np

#: Adipose mask: a light blue that neither ramp contains.
MASK = (86, 180, 233)
#: Frame of the strongest pair and of other patches.
FRAME, FAINT_FRAME = (255, 255, 255), (150, 150, 150)

Span = tuple[float, float]

_STEPS = np.linspace(0.0, 1.0, 256)


def _oklch_to_rgb(lightness: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """sRGB 0..1, [n, 3], not clipped; hue in degrees."""
    a, b = chroma * np.cos(np.radians(hue)), chroma * np.sin(np.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = np.stack(
        [
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        ],
        axis=-1,
    )
    positive = np.clip(linear, 0.0, None)
    curved = np.where(positive <= 0.0031308, 12.92 * positive, 1.055 * positive ** (1 / 2.4) - 0.055)
    return np.where(linear < 0, linear * 12.92, curved)


def _ramp(lightness: Span, chroma: Span, hue: Span) -> np.ndarray:
    """uint8 [256, 3] from low to high; chroma is lowered where sRGB cannot show it, lightness never."""
    t = _STEPS
    light, vivid, turn = (low + (high - low) * t for low, high in (lightness, chroma, hue))
    for _ in range(300):
        rgb = _oklch_to_rgb(light, vivid, turn)
        outside = ((rgb < -1e-4) | (rgb > 1 + 1e-4)).any(axis=1)
        if not outside.any():
            break
        vivid = np.where(outside, vivid * 0.99, vivid)
    return np.round(np.clip(_oklch_to_rgb(light, vivid, turn), 0, 1) * 255).astype(np.uint8)


#: Probability 0..1: deep blue over magenta and orange to a light yellow.
PROBABILITY = _ramp((0.36, 0.93), (0.16, 0.18), (275.0, 460.0))
#: Attention 0..1: dark to light green, so that nobody reads it as a probability.
ATTENTION = _ramp((0.30, 0.93), (0.04, 0.15), (175.0, 128.0))


def colour(ramp: np.ndarray, values: np.ndarray | float) -> np.ndarray:
    """uint8 [..., 3] of values in 0..1; values outside are clipped."""
    return ramp[np.round(np.clip(values, 0.0, 1.0) * 255).astype(int)]


def css(rgb: np.ndarray | tuple[int, int, int]) -> str:
    """``#rrggbb`` of one colour."""
    return "#" + "".join(f"{int(v):02x}" for v in rgb)
