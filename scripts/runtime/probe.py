"""Stands in front of a function's handler and tells when its parts were ready.

It is copied into the environment, whose Python imports `probe.handler`; it knows nothing of this project.
Times are by `time.time()`, the clock that the process outside shares.
"""

import sys
import time
from typing import Any

BEGAN = time.time()
session_s = 0.0


class _SessionTimer:
    """Finds ONNX Runtime's sessions when they are imported, and times their making."""

    _module = "onnxruntime.capi.onnxruntime_inference_collection"

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != self._module:
            return None
        sys.meta_path.remove(self)
        spec: Any = sys.meta_path[-1].find_spec(name, path, target)
        execute = spec.loader.exec_module

        def executed(module: Any) -> None:
            execute(module)
            module.InferenceSession.__init__ = _timed(module.InferenceSession.__init__)

        spec.loader.exec_module = executed
        return spec


def _timed(make: Any) -> Any:
    def timed(*arguments: Any, **options: Any) -> None:
        global session_s  # noqa: PLW0603
        began = time.time()
        make(*arguments, **options)
        session_s += time.time() - began

    return timed


sys.meta_path.insert(0, _SessionTimer())

import app  # type: ignore[import-not-found]  # noqa: E402  # what comes after the clock has started is measured

LOADED = time.time()


def handler(event: Any, context: Any) -> Any:
    """The function's own answer, once its log says what its start took."""
    import json  # noqa: PLC0415  # after the function's own imports

    began = time.time()
    answer = app.handler(event, context)
    times = {"began": BEGAN, "loaded": LOADED, "session": session_s, "answer": time.time() - began}
    print(json.dumps({"probe": times, "modules": sorted(sys.modules)}))
    return answer
