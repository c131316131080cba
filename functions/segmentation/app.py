"""The Lambda function for segmentation: builds the service once, and hands it every event."""

from vision.service import build_inference

handler = build_inference("segmentation")
