"""The Lambda function for the Open Inference Protocol: builds the service once, and hands it every event."""

from vision.service import build_open_inference

handler = build_open_inference()
