"""Refining brown-fat masks: work lists, versions, locks, proposals, the mirrored side."""
