"""The Lambda function for what the service tells about itself, and for paths that no other function has."""

from vision.service import build_portal

handler = build_portal(__file__)
