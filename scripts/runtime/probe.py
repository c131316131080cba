"""Stands in front of a function's handler and tells when its parts were ready.

It is copied into the environment, whose Python imports `probe.handler`; it knows nothing of this project.
Times are by `time.time()`, the clock that the process outside shares.
"""

import sys
import time

BEGAN = time.time()

import json  # noqa: E402  # what comes after the clock has started is what is measured

import onnxruntime  # noqa: E402

_IMPORTED = time.time()
_session_s = 0.0
_open_session = onnxruntime.InferenceSession.__init__


def _timed(*arguments, **options):  # type: ignore[no-untyped-def]
    global _session_s  # noqa: PLW0603
    began = time.time()
    _open_session(*arguments, **options)
    _session_s += time.time() - began


onnxruntime.InferenceSession.__init__ = _timed

import app  # type: ignore[import-not-found]  # noqa: E402

_LOADED = time.time()


def handler(event, context):  # type: ignore[no-untyped-def]
    """The function's own answer, once told on its log what its start took."""
    began = time.time()
    answer = app.handler(event, context)
    times = {"began": BEGAN, "loaded": _LOADED, "session": _session_s, "answer": time.time() - began}
    print(json.dumps({"probe": times, "modules": sorted(sys.modules)}))
    return answer
