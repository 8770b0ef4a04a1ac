"""The parts of the module BATNetAnnotate; ``panel.Panel`` puts them together."""
