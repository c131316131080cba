"""Labelled photos -> how good a model is on them, through the same library code that serves."""
