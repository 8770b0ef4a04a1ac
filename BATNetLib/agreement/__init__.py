"""How far readers agree, and where they do not."""
