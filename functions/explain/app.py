"""The Lambda function for explanations: builds the service once, and hands it every event."""

from vision.service import build_explain

handler = build_explain()
