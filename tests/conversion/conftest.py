"""TensorFlow and Keras as the converters' own environment sets them up, before either is imported."""

from __future__ import annotations

import os

from conversion.environment import variables

for name, value in variables().items():
    os.environ.setdefault(name, value)
