"""BATNetLib: adipose tissue and brown-fat probability from chest CT. Research use only.

A pure-Python library: it never imports Slicer or Qt, and torch only where a network runs.
"""

__version__ = "0.1.0"

RESEARCH_USE_ONLY = "Research use only, not a medical device."
