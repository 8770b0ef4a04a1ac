"""Training both stages on the user's own data."""
