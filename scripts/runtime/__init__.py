"""AWS's own Python runtime on this machine: functions as Lambda starts them, from the layers it gets."""
