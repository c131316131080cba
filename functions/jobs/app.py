"""The Lambda function for jobs: presigned uploads, and what has become of them."""

from vision.service import build_jobs

handler = build_jobs()
