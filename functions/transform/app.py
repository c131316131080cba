"""The Lambda function for transforms: builds the service once, and hands it every event."""

from vision.service import build_transform

handler = build_transform()
