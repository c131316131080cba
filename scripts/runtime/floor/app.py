"""The floor of a cold start: straightforward code that answers a photo with a model, and checks nothing.

It is what somebody writes who knows the three libraries: a JPEG is decoded at the smallest scale that
is enough. Photos are stretched to the model's size and not normalized, which takes as long or less.
"""

import base64
import io
import json
import os

import numpy as np
import onnxruntime
from PIL import Image

CARD = json.loads(os.environ["FLOOR_CARD"])
OPTIONS = onnxruntime.SessionOptions()
OPTIONS.intra_op_num_threads = max(1, round(int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]) / 1769))
SESSION = onnxruntime.InferenceSession(os.environ["FLOOR_MODEL"], OPTIONS, providers=["CPUExecutionProvider"])


def handler(event, _context):  # type: ignore[no-untyped-def]  # as short as such a handler is
    """Answers with the largest number that the model gave, and where it stood."""
    height, width = CARD["size"]
    photo = Image.open(io.BytesIO(base64.b64decode(event["body"])))
    photo.draft("RGB", (width, height))
    tensor = np.asarray(photo.convert("RGB").resize((width, height))).astype(CARD["dtype"])
    tensor = tensor.transpose(2, 0, 1) if CARD["layout"] == "NCHW" else tensor
    best = SESSION.run(None, {CARD["name"]: np.ascontiguousarray(tensor[None])})[0]
    found = {"position": int(best.argmax()), "value": float(best.max())}
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(found)}
