"""What a feature's ``setup.py`` needs to compile against awscrt-core.

    from setuptools import setup
    from awscrt.build import feature_extension

    setup(ext_modules=[feature_extension("awscrt._mqtt", sources=[...])], ...)

A feature links nothing: it calls core (and, with ``http=True``, awscrt-http) through the function tables of
``awscrt/core_api.h`` and ``awscrt/http_api.h``.
"""

from __future__ import annotations

import glob
import os
import sys
import sysconfig
from typing import Any, Dict, List, Optional, Sequence, Tuple

from setuptools import Extension

__all__ = ["VERSION", "include_dirs", "limited_api", "feature_extension", "sources_under", "setup_options"]


def _read_version() -> str:
    # Read, not imported: core's own build runs before the package can be imported.
    scope: Dict[str, str] = {}
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "_version.py"), encoding="utf-8") as f:
        exec(f.read(), scope)
    return scope["__version__"]


VERSION = _read_version()

# abi3 starts here: the buffer protocol joined the limited API in 3.11.
_LIMITED_API_MINIMUM = (3, 11)


def include_dirs(package: Optional[str] = None) -> List[str]:
    """Directories of the installed headers: core's, and those of every portion of the namespace package."""
    here = os.path.dirname(os.path.abspath(__file__))
    portions = [here]
    module = sys.modules.get("awscrt")
    for path in list(getattr(module, "__path__", [])):
        if os.path.abspath(path) not in portions:
            portions.append(os.path.abspath(path))
    return [os.path.join(p, "include") for p in portions if os.path.isdir(os.path.join(p, "include"))]


def limited_api() -> bool:
    """True when extensions are built for the stable ABI (abi3): CPython >= 3.11 with the GIL."""
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return False
    return sys.version_info >= _LIMITED_API_MINIMUM


def sources_under(*directories: str) -> List[str]:
    """All C files directly inside the given directories, sorted, relative as given."""
    found: List[str] = []
    for directory in directories:
        matches = sorted(glob.glob(os.path.join(directory, "*.c")))
        if not matches:
            raise SystemExit(f"awscrt.build: no C sources in {directory!r}; is the checkout or sdist complete?")
        found.extend(m.replace(os.sep, "/") for m in matches)
    return found


def compile_args() -> List[str]:
    """Flags every extension of the project is compiled with."""
    if sys.platform == "win32":
        return ["/O2", "/std:c11"]
    return ["-std=gnu11", "-O2", "-g0", "-fvisibility=hidden", "-ffunction-sections", "-fdata-sections", "-Wall", "-Wextra",
            "-Wno-missing-field-initializers", "-Wno-cast-function-type", "-Wno-unused-parameter"]


def link_args() -> List[str]:
    """Linker flags every extension of the project uses."""
    if sys.platform == "win32":
        return []
    if sys.platform == "darwin":
        return ["-Wl,-dead_strip"]
    return ["-Wl,--gc-sections", "-Wl,-O1", "-Wl,--as-needed", "-s"]


def feature_extension(name: str, sources: Sequence[str], *, http: bool = False,
                      define_macros: Sequence[Tuple[str, Optional[str]]] = (), include: Sequence[str] = (),
                      via_table: bool = True, extra_compile_args: Sequence[str] = (),
                      extra_link_args: Sequence[str] = (), **kwargs: Any) -> Extension:
    """A setuptools Extension that compiles against the exported headers.

    :param name: full module name, e.g. ``"awscrt._mqtt"``
    :param sources: C files
    :param http: also use awscrt-http's table (``awscrt/http_api.h``)
    :param via_table: False only for core and for the distribution that owns the table itself
    """
    macros: List[Tuple[str, Optional[str]]] = [("CRT_VERSION", f'"{VERSION}"')]
    if via_table:
        macros.append(("CRT_CORE_VIA_TABLE", "1"))
    if http:
        macros.append(("CRT_HTTP_VIA_TABLE", "1"))
    if limited_api():
        macros.append(("Py_LIMITED_API", "0x030B0000"))
    macros.extend(define_macros)
    return Extension(name, list(sources), include_dirs=[*include, *include_dirs()], define_macros=macros,
                     extra_compile_args=[*compile_args(), *extra_compile_args],
                     extra_link_args=[*link_args(), *extra_link_args], py_limited_api=limited_api(), **kwargs)


def setup_options() -> Dict[str, Any]:
    """Keyword arguments for ``setup()`` that every distribution shares: the version and the abi3 wheel tag."""
    options: Dict[str, Any] = {"version": VERSION}
    if limited_api():
        options["options"] = {"bdist_wheel": {"py_limited_api": "cp311"}}
    return options
