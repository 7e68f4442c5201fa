"""awscrt.build: what a feature's setup.py can rely on, and what it says when something is missing."""

import os
import shutil

import pytest

pytest.importorskip("setuptools")

from awscrt import build  # noqa: E402

REQUIRE = "import sys; from awscrt.build import require_library; print(require_library(sys.argv[1]))"
PACKAGES = {
    "libuv": "libuv1-dev",
    "openssl": "libssl-dev",
    "nghttp2": "libnghttp2-dev",
    "expat": "libexpat1-dev",
    "xxhash": "libxxhash-dev",
    "zlib": "zlib1g-dev",
}


@pytest.mark.skipif(not shutil.which("pkg-config"), reason="hides libraries from pkg-config")
@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_missing_library_is_one_line_that_says_what_to_install(run_python, tmp_path, name):
    done = run_python(REQUIRE, name, PKG_CONFIG_LIBDIR=str(tmp_path), PKG_CONFIG_PATH="")
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert name in line and f"apt install {PACKAGES[name]}" in line
    assert all(tool in line for tool in ("dnf", "brew", "apk"))


def test_without_pkg_config_a_compile_probe_decides(run_python, tmp_path):
    compiler = shutil.which("gcc") or shutil.which("cc")
    done = run_python(REQUIRE, "libuv", PATH=str(tmp_path), CC=f"{compiler} -nostdinc")
    assert done.returncode == 1
    assert "libuv1-dev" in done.stderr.strip().splitlines()[-1]


def test_missing_compiler_is_said(run_python, tmp_path):
    done = run_python(REQUIRE, "libuv", PATH=str(tmp_path), CC="no-such-compiler")
    assert done.returncode == 1
    assert "no C compiler 'no-such-compiler'" in done.stderr


def test_system_libcrypto_is_linked_dynamically(run_python):
    done = run_python(REQUIRE, "openssl", AWS_CRT_BUILD_USE_SYSTEM_LIBCRYPTO="1")
    assert "libraries=['ssl', 'crypto'], extra_objects=[]" in done.stdout, done.stderr


def test_force_static_gives_archives_or_says_what_is_missing(run_python):
    done = run_python(REQUIRE, "openssl", AWS_CRT_BUILD_FORCE_STATIC_LIBS="1")
    if done.returncode == 0:
        assert ".a'" in done.stdout
    else:
        assert "AWS_CRT_BUILD_FORCE_STATIC_LIBS=1 is set" in done.stderr


def test_archive_that_is_not_position_independent_is_not_used(tmp_path):
    source, archive = tmp_path / "a.c", tmp_path / "liba.a"
    source.write_text("int shared_state; int *a(void) { return &shared_state; }\n")
    for flags, independent in (("-fPIC", True), ("-fno-pic -mcmodel=large", False)):
        assert os.system(f"cc {flags} -c {source} -o {tmp_path}/a.o && ar rcs {archive} {tmp_path}/a.o") == 0
        assert build._position_independent([str(archive)]) is independent
        archive.unlink()


def test_extension_of_a_feature():
    extension = build.feature_extension("awscrt._x", ["x.c"], http=True, needs=["expat"])
    macros = dict(extension.define_macros)
    assert macros["CRT_CORE_VIA_TABLE"] == macros["CRT_HTTP_VIA_TABLE"] == "1"
    assert ("Py_LIMITED_API" in macros) == build.limited_api()
    assert any(os.path.exists(os.path.join(d, "awscrt", "core_api.h")) for d in extension.include_dirs)
    assert extension.needs == ("expat",)


def test_sources_under_refuses_an_empty_directory(tmp_path):
    with pytest.raises(SystemExit, match="no C sources"):
        build.sources_under(str(tmp_path))


MISMATCH = """
import sys; sys.path.append(sys.argv[1])
import awscrt._core as core, types
{change}
try:
    import awscrt_probe
except ImportError as error:
    print(error)
else:
    raise SystemExit("loaded")
"""


def test_extension_without_core_capsule_is_an_import_error(run_python, probe, probe_directory):
    done = run_python(MISMATCH.format(change="core._C_API = 5"), str(probe_directory))
    assert done.returncode == 1 and "Error" in done.stderr


def test_extension_built_for_another_abi_is_refused_with_the_remedy(run_python, probe, probe_directory):
    change = """
import ctypes
new, old = ctypes.pythonapi.PyCapsule_New, ctypes.pythonapi.PyCapsule_GetPointer
old.restype, old.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
name = b"awscrt._core._C_API"
table = (ctypes.c_char * 64).from_buffer_copy(ctypes.string_at(old(core._C_API, name), 64))
table[0] = 9  # abi_major
core._C_API = new(ctypes.addressof(table), name, None)
"""
    done = run_python(MISMATCH.format(change=change), str(probe_directory))
    assert done.returncode == 0, done.stderr
    assert "pip install --upgrade awscrt-core awscrt-probe" in done.stdout
    assert "1.0" in done.stdout and "9.0" in done.stdout
