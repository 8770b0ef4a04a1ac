"""Colours of the panel's words; readable on light and dark backgrounds, and never the only sign."""

GREEN, AMBER, RED = "#2e8b57", "#c77700", "#d13438"
LEVELS = {"block": RED, "warn": AMBER, "note": "palette(text)"}
