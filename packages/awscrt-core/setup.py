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


def second_tls_stack():
    """s2n-tls besides OpenSSL, when S2N_ROOT names where it is installed; AWS_CRT_TLS=s2n chooses it at run time."""
    root = os.environ.get("S2N_ROOT")
    if not root:
        return {}
    archives = [os.path.join(root, name, "libs2n.a") for name in ("lib", "lib64")]
    found = [archive for archive in archives if os.path.exists(archive)]
    if not found:
        raise SystemExit(
            f"awscrt-core: S2N_ROOT={root} has no lib/libs2n.a; build s2n-tls with -DBUILD_SHARED_LIBS=OFF "
            "-DCMAKE_POSITION_INDEPENDENT_CODE=ON"
        )
    return {
        "include": [os.path.join(root, "include")],
        "define_macros": [("CRT_HAVE_S2N", "1")],
        "extra_objects": found[:1],
    }


setup(
    ext_modules=[
        build.feature_extension(
            "awscrt._core",
            build.sources_under("crt/common", "crt/crypto", "crt/checksums", "crt/io", "crt/codec", "native"),
            via_table=False,
            needs=["libuv", "openssl", "xxhash"],
            **second_tls_stack(),
        )
    ],
    **build.setup_options(),
)
