"""NumPy for what pictures go through: imported when an operation first needs it, not when a function starts.

A thumbnail needs Pillow alone, and importing NumPy takes longer than all else that the transform function
does before its first answer.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["np"]


class _Deferred(ModuleType):
    """Stands for a module, and imports it when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        module = importlib.import_module(self.__name__)
        vars(self).update(vars(module))  # from now on found without a call
        return getattr(module, name)


if TYPE_CHECKING:
    import numpy as np
else:
    np = _Deferred("numpy")
