"""The parts of the module BATNetTrain; ``panel.Panel`` puts them together."""
