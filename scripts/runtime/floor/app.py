"""The floor of a cold start: the least code that answers a photo with a model, and no check of anything."""

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
    photo = Image.open(io.BytesIO(base64.b64decode(event["body"]))).convert("RGB")
    tensor = np.asarray(photo.resize((width, height))).astype(CARD["dtype"])
    tensor = tensor.transpose(2, 0, 1) if CARD["layout"] == "NCHW" else tensor
    best = SESSION.run(None, {CARD["name"]: np.ascontiguousarray(tensor[None])})[0]
    found = {"position": int(best.argmax()), "value": float(best.max())}
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(found)}
