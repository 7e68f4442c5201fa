"""Test kit: an embedded S3 endpoint, throwaway certificates, and real servers on free ports.

Needs nothing beyond the standard library and awscrt-core. Submodules: ``s3``, ``certs``, ``servers``, ``softhsm``.
"""

from awscrt.testing.s3 import Credentials, Fault, RecordedRequest, S3Endpoint, Statistics

__all__ = ["Credentials", "Fault", "RecordedRequest", "S3Endpoint", "Statistics"]
