"""Builds awscrt._s3 against the installed awscrt-core."""

import os

from setuptools import setup

from awscrt.build import feature_extension, setup_options, sources_under

os.chdir(os.path.dirname(os.path.abspath(__file__)))
setup(
    ext_modules=[feature_extension("awscrt._s3", sources_under(*["crt/s3", "native"]), http=True, needs=["expat"])],
    **setup_options(),
)
