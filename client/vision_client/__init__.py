"""Python client of the vision service: classes, boxes, masks, transforms and explanations of photos.

    from vision_client import Client

    with Client("http://127.0.0.1:3000") as client:
        print(client.classify("cat.jpg", top_k=3).predictions)

`AsyncClient` has the same methods, to be awaited.
"""

from vision_client.client import AsyncClient, Client
from vision_client.errors import (
    AnswerError,
    JobTimeout,
    NetworkError,
    ProblemError,
    UnsupportedImage,
    VisionClientError,
)
from vision_client.images import Image, S3Object
from vision_client.masks import RleMask
from vision_client.results import (
    Answer,
    Batch,
    Box,
    Classification,
    Detection,
    Detections,
    Explanation,
    File,
    Health,
    HeatMap,
    Job,
    Model,
    NewJob,
    Picture,
    Prediction,
    Progress,
    Segment,
    Segmentation,
    ServedModel,
    Target,
    UploadForm,
    Variant,
    Variants,
)
from vision_client.sending import Retries, Retry
from vision_client.version import __version__

__all__ = [
    "Answer",
    "AnswerError",
    "AsyncClient",
    "Batch",
    "Box",
    "Classification",
    "Client",
    "Detection",
    "Detections",
    "Explanation",
    "File",
    "Health",
    "HeatMap",
    "Image",
    "Job",
    "JobTimeout",
    "Model",
    "NetworkError",
    "NewJob",
    "Picture",
    "Prediction",
    "ProblemError",
    "Progress",
    "Retries",
    "Retry",
    "RleMask",
    "S3Object",
    "Segment",
    "Segmentation",
    "ServedModel",
    "Target",
    "UnsupportedImage",
    "UploadForm",
    "Variant",
    "Variants",
    "VisionClientError",
    "__version__",
]
