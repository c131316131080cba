"""A float32 model folder -> a smaller one: calibrated, searched for what hurts, measured, written whole."""
