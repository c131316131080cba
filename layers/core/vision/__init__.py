"""The vision service's library: an AWS event with a photo in, classes, boxes or masks out."""

__version__ = "0.1.0"
