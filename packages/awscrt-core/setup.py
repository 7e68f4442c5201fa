"""Builds awscrt._core: the shared C runtime with its CPython bindings."""

import importlib.util
import os

from setuptools import setup

here = os.path.dirname(os.path.abspath(__file__))
os.chdir(here)
# awscrt.build by path: the package itself is not importable before it is built.
spec = importlib.util.spec_from_file_location("awscrt_build", os.path.join(here, "src", "awscrt", "build.py"))
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)

setup(
    ext_modules=[
        build.feature_extension(
            "awscrt._core",
            build.sources_under("crt/common", "crt/crypto", "crt/checksums", "crt/io", "crt/codec", "native"),
            via_table=False,
            needs=["libuv", "openssl", "xxhash"],
        )
    ],
    **build.setup_options(),
)
