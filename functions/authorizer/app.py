"""The Lambda function that tells API Gateway who calls, by the key that a call carries."""

from vision.authorizer import build_authorizer

handler = build_authorizer()
