"""The version, which the distribution has too."""

__version__ = "0.1.0"
