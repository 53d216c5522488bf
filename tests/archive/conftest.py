"""The S3 server of tests/support, for this package."""

from support.s3_server import s3_root, s3_server  # noqa: F401
