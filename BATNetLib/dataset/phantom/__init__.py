"""Invented patients from neck to chest whose tissues are known.

>>> from BATNetLib.dataset.phantom import make_phantom
>>> phantom = make_phantom(seed=3, brown="left")
>>> phantom.facts["brown_ml"]["right"]
0.0
"""

from .case import LAYOUTS, write_phantom
from .make import BROWN, SIZES, Phantom, make_phantom

__all__ = ["BROWN", "LAYOUTS", "SIZES", "Phantom", "make_phantom", "write_phantom"]
