"""Builds awscrt._http against the installed awscrt-core."""

import os

from setuptools import setup

from awscrt.build import feature_extension, setup_options, sources_under

os.chdir(os.path.dirname(os.path.abspath(__file__)))
setup(
    ext_modules=[
        feature_extension(
            "awscrt._http",
            sources_under("crt/http", "crt/auth", "native"),
            include=["src/awscrt/include"],
            needs=["nghttp2", "zlib"],
        ),
    ],
    **setup_options(),
)
