"""The floor of a transform's cold start: straightforward code that makes a thumbnail, and checks nothing.

It is what somebody writes who knows Pillow: a JPEG is decoded at the smallest scale that is enough. Nothing
but Pillow is imported, for a thumbnail has no use for more.
"""

import base64
import io

from PIL import Image

SIZE = (320, 320)


def handler(event, _context):  # type: ignore[no-untyped-def]  # as short as such a handler is
    """Answers with a WebP of at most 320 pixels a side."""
    photo = Image.open(io.BytesIO(base64.b64decode(event["body"])))
    photo.draft("RGB", SIZE)
    small = photo.convert("RGB")
    small.thumbnail(SIZE, Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, "WEBP", quality=80)
    body = base64.b64encode(stream.getvalue()).decode()
    headers = {"Content-Type": "image/webp"}
    return {"statusCode": 200, "headers": headers, "body": body, "isBase64Encoded": True}
