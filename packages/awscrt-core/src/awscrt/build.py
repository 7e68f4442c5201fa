"""What a feature's ``setup.py`` needs to compile against awscrt-core.

    from setuptools import setup
    from awscrt.build import feature_extension, setup_options

    setup(ext_modules=[feature_extension("awscrt._mqtt", sources=[...])], **setup_options())

A feature links nothing of ours: it calls core (and, with ``http=True``, awscrt-http) through the function tables
of ``awscrt/core_api.h`` and ``awscrt/http_api.h``. What it needs of the system it names in ``needs``.

Environment: ``AWS_CRT_BUILD_USE_SYSTEM_LIBCRYPTO=1`` links the system's libcrypto and libssl dynamically.
Otherwise a library is linked statically, with hidden symbols, when its archive is installed and
position-independent, else dynamically. ``AWS_CRT_BUILD_FORCE_STATIC_LIBS=1`` ends the build when the archive is
not installed; one that is not position-independent cannot become part of an extension, so that wheels bundle its
shared library instead.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from setuptools import Extension
from setuptools.command.build_ext import build_ext

__all__ = [
    "VERSION",
    "include_dirs",
    "limited_api",
    "feature_extension",
    "sources_under",
    "setup_options",
    "require_library",
]


def _read_version() -> str:
    # Read, not imported: core's own build runs before the package can be imported.
    scope: Dict[str, str] = {}
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "_version.py"), encoding="utf-8") as f:
        exec(f.read(), scope)
    return scope["__version__"]


VERSION = _read_version()

# abi3 starts here: the buffer protocol joined the limited API in 3.11.
_LIMITED_API_MINIMUM = (3, 11)


def include_dirs() -> List[str]:
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
    return [
        "-std=gnu11",
        "-O2",
        "-g0",
        "-fvisibility=hidden",
        "-ffunction-sections",
        "-fdata-sections",
        "-Wall",
        "-Wextra",
        "-Wno-missing-field-initializers",
        "-Wno-cast-function-type",
        "-Wno-unused-parameter",
    ]


def link_args() -> List[str]:
    """Linker flags every extension of the project uses."""
    if sys.platform == "win32":
        return []
    if sys.platform == "darwin":
        return ["-Wl,-dead_strip"]
    return ["-Wl,--gc-sections", "-Wl,-O1", "-Wl,--as-needed", "-Wl,--exclude-libs,ALL", "-s"]


# ---- libraries of the system ----


class Library(NamedTuple):
    """A library that must be installed to build."""

    pkg_config: str
    minimum: str
    header: str
    archives: Tuple[Tuple[str, ...], ...]  # per part, in link order: names of the static library
    shared: Tuple[str, ...]
    static_needs: Tuple[str, ...]
    packages: Dict[str, str]


LIBRARIES = {
    "xxhash": Library(
        "libxxhash",
        "0.8.0",
        "xxhash.h",
        (),  # its header holds the whole library: nothing is linked
        (),
        (),
        {"apt": "libxxhash-dev", "dnf": "xxhash-devel", "brew": "xxhash", "apk": "xxhash-dev"},
    ),
    "libuv": Library(
        "libuv",
        "1.44",
        "uv.h",
        (("libuv_a.a", "libuv.a"),),
        ("uv",),
        ("pthread", "dl", "rt"),
        {"apt": "libuv1-dev", "dnf": "libuv-devel", "brew": "libuv", "apk": "libuv-dev"},
    ),
    "openssl": Library(
        "openssl",
        "3.0",
        "openssl/ssl.h",
        (("libssl.a",), ("libcrypto.a",)),
        ("ssl", "crypto"),
        ("pthread", "dl"),
        {"apt": "libssl-dev", "dnf": "openssl-devel", "brew": "openssl@3", "apk": "openssl-dev"},
    ),
    "nghttp2": Library(
        "libnghttp2",
        "1.52",
        "nghttp2/nghttp2.h",
        (("libnghttp2.a",),),
        ("nghttp2",),
        (),
        {"apt": "libnghttp2-dev", "dnf": "libnghttp2-devel", "brew": "libnghttp2", "apk": "nghttp2-dev"},
    ),
    "zlib": Library(
        "zlib",
        "1.2.9",
        "zlib.h",
        (("libz.a",),),
        ("z",),
        (),
        {"apt": "zlib1g-dev", "dnf": "zlib-devel", "brew": "zlib", "apk": "zlib-dev"},
    ),
    "expat": Library(
        "expat",
        "2.2",
        "expat.h",
        (("libexpat.a",),),
        ("expat",),
        (),
        {"apt": "libexpat1-dev", "dnf": "expat-devel", "brew": "expat", "apk": "expat-dev"},
    ),
}


class LibraryFlags(NamedTuple):
    """How to compile and link against a library."""

    include_dirs: List[str]
    library_dirs: List[str]
    libraries: List[str]
    extra_objects: List[str]


def _compiler() -> List[str]:
    return (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()


def _compiles(source: str, *flags: str) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "probe.c")
        with open(path, "w", encoding="ascii") as file:
            file.write(source)
        command = [*_compiler(), "-shared", "-fPIC", path, "-o", os.path.join(directory, "probe.so"), *flags]
        try:
            return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
        except OSError:
            raise SystemExit(
                f"awscrt.build: there is no C compiler {command[0]!r}; install one (apt install gcc, "
                "dnf install gcc, xcode-select --install, apk add build-base)"
            ) from None


def _pkg_config(library: Library, *options: str) -> Optional[str]:
    """Output, or None when pkg-config does not know the library in a sufficient version."""
    query = f"{library.pkg_config} >= {library.minimum}"
    done = subprocess.run(["pkg-config", *options, query], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout.decode().strip() if done.returncode == 0 else None


def _missing(name: str, library: Library, what: str = "") -> SystemExit:
    packages = ", ".join(
        f"{tool} {'add' if tool == 'apk' else 'install'} {package}" for tool, package in library.packages.items()
    )
    return SystemExit(
        f"awscrt.build: {what}{name} >= {library.minimum} is needed and was not found; install it ({packages})"
    )


def _find_archive(names: Sequence[str], directory: str) -> Optional[str]:
    for name in names:
        path = os.path.join(directory, name)
        if directory and os.path.exists(path):
            return path
        found = (
            subprocess.run(
                [*_compiler(), f"-print-file-name={name}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            .stdout.decode()
            .strip()
        )
        if os.path.isabs(found) and os.path.exists(found):
            return os.path.realpath(found)
    return None


def _position_independent(archives: Sequence[str]) -> bool:
    """Whether every object of the archives may become part of a shared library: linking them all says so."""
    if sys.platform == "darwin":
        return True
    return _compiles("int probe;", "-Wl,-z,text", "-Wl,--whole-archive", *archives, "-Wl,--no-whole-archive")


def _static_archives(library: Library, libdir: str) -> List[str]:
    """The installed archives of a library; none when one is missing."""
    archives = [_find_archive(names, libdir) for names in library.archives]
    found = [archive for archive in archives if archive]
    return found if len(found) == len(archives) else []


def require_library(name: str) -> LibraryFlags:
    """Flags for a library of the system; ends the build with one line that says what to install.

    pkg-config decides where it exists, since it knows versions; a compile probe does otherwise.

    :param name: a key of ``LIBRARIES``
    """
    library = LIBRARIES[name]
    include: List[str] = []
    directories: List[str] = []
    libdir = ""
    if shutil.which("pkg-config"):
        flags = _pkg_config(library, "--cflags-only-I", "--libs-only-L")
        if flags is None:
            raise _missing(name, library)
        include = [flag[2:] for flag in flags.split() if flag.startswith("-I")]
        directories = [flag[2:] for flag in flags.split() if flag.startswith("-L")]
        libdir = _pkg_config(library, "--variable=libdir") or ""
    elif not _compiles(f"#include <{library.header}>\nint probe;", *[f"-l{part}" for part in library.shared]):
        raise _missing(name, library)

    if not library.shared:
        return LibraryFlags(include, [], [], [])
    must_be_static = os.environ.get("AWS_CRT_BUILD_FORCE_STATIC_LIBS") == "1"
    if name == "openssl" and os.environ.get("AWS_CRT_BUILD_USE_SYSTEM_LIBCRYPTO") == "1":
        archives: List[str] = []
        must_be_static = False
    else:
        archives = _static_archives(library, libdir)
    if archives and _position_independent(archives):
        return LibraryFlags(include, directories, list(library.static_needs), archives)
    if must_be_static and not archives:
        raise _missing(name, library, "AWS_CRT_BUILD_FORCE_STATIC_LIBS=1 is set: a static ")
    return LibraryFlags(include, directories, list(library.shared), [])


class NativeExtension(Extension):  # type: ignore[misc, unused-ignore]
    """An extension that knows which libraries of the system it needs."""

    needs: Tuple[str, ...] = ()


class BuildExtension(build_ext):  # type: ignore[misc, unused-ignore]
    """Resolves what extensions need only when they are compiled: an sdist needs no libraries."""

    def build_extension(self, ext: Extension) -> None:
        for name in ext.needs if isinstance(ext, NativeExtension) else ():
            flags = require_library(name)
            ext.include_dirs.extend(flags.include_dirs)
            ext.library_dirs.extend(flags.library_dirs)
            ext.libraries.extend(flags.libraries)
            ext.extra_objects.extend(flags.extra_objects)
        super().build_extension(ext)


# ---- what setup.py calls ----


def feature_extension(
    name: str,
    sources: Sequence[str],
    *,
    http: bool = False,
    needs: Sequence[str] = (),
    define_macros: Sequence[Tuple[str, Optional[str]]] = (),
    include: Sequence[str] = (),
    via_table: bool = True,
    extra_compile_args: Sequence[str] = (),
    extra_link_args: Sequence[str] = (),
    **kwargs: Any,
) -> NativeExtension:
    """A setuptools Extension that compiles against the exported headers.

    :param name: full module name, e.g. ``"awscrt._mqtt"``
    :param sources: C files
    :param http: also use awscrt-http's table (``awscrt/http_api.h``)
    :param needs: libraries of the system, keys of ``LIBRARIES``; takes effect with :func:`setup_options`
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
    extension = NativeExtension(
        name,
        list(sources),
        include_dirs=[*include, *include_dirs()],
        define_macros=macros,
        extra_compile_args=[*compile_args(), *extra_compile_args],
        extra_link_args=[*link_args(), *extra_link_args],
        py_limited_api=limited_api(),
        **kwargs,
    )
    extension.needs = tuple(needs)
    return extension


def setup_options() -> Dict[str, Any]:
    """Keyword arguments for ``setup()`` that every distribution shares: version, build command, abi3 wheel tag."""
    options: Dict[str, Any] = {"version": VERSION, "cmdclass": {"build_ext": BuildExtension}}
    if limited_api():
        options["options"] = {"bdist_wheel": {"py_limited_api": "cp311"}}
    return options
