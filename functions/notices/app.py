"""The Lambda function that tells EventBridge's bus when a job has ended."""

from vision.notices import build_notices

handler = build_notices()
