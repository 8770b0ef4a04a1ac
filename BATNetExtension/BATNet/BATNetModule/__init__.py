"""The panel and the logic of the BATNet module; nothing is imported before it is needed."""
