"""Builds sdists and repaired wheels of all distributions: ``build_wheels.py [--python PYTHON] OUTPUT``.

Each wheel is built from its sdist, never from the checkout, so that an incomplete sdist fails here. A feature
compiles against the core wheel just built, installed in an environment of its own. On Linux auditwheel bundles the
shared libraries that could not be linked statically and sets the platform tag.

Core links the OpenSSL of tools/build_openssl.sh; where its source cannot be had, the system's, and says so. With
``AWS_CRT_BUILD_USE_SYSTEM_LIBCRYPTO=1`` it is the system's in any case.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import List

ROOT = Path(__file__).resolve().parent.parent
NATIVE = ("core", "http", "mqtt", "s3")  # in the order they depend on each other


def run(*command: object, cwd: Path = ROOT) -> None:
    """Runs a command quietly; prints its output and ends when it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.stdout.write(done.stdout.decode(errors="replace"))
        raise SystemExit(f"build_wheels: {' '.join(words)} ended with status {done.returncode}")


def choose_openssl() -> None:
    """Lets pkg-config find our OpenSSL before the system's."""
    if os.environ.get("AWS_CRT_BUILD_USE_SYSTEM_LIBCRYPTO") == "1" or os.name == "nt":
        return
    prefix = ROOT / ".cache" / "openssl"
    if subprocess.run([str(ROOT / "tools" / "build_openssl.sh"), str(prefix)]).returncode != 0:
        print("build_wheels: these wheels carry the system's OpenSSL", flush=True)
        return
    paths = [str(prefix / "lib" / "pkgconfig"), os.environ.get("PKG_CONFIG_PATH", "")]
    os.environ["PKG_CONFIG_PATH"] = os.pathsep.join(path for path in paths if path)


def make_environment(python: str, directory: Path) -> Path:
    """A virtual environment with the build requirements; returns its interpreter."""
    run(python, "-m", "venv", directory)
    interpreter = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run(interpreter, "-m", "pip", "install", "-q", "-r", ROOT / "tools" / "requirements-build.txt")
    return interpreter


def only(paths: List[Path]) -> Path:
    """The one path of a list."""
    if len(paths) != 1:
        raise SystemExit(f"build_wheels: expected one file, found {[str(p) for p in paths]}")
    return paths[0]


def build_sdist(interpreter: Path, project: Path, output: Path) -> Path:
    """Builds a sdist in a copy of nothing but the project's directory, with links to other directories resolved."""
    backend = "import sys, setuptools.build_meta as b; print(b.build_sdist(sys.argv[1]))"
    before = set(output.glob("*.tar.gz"))
    run(interpreter, "-c", backend, output, cwd=project)
    return only(sorted(set(output.glob("*.tar.gz")) - before))


def repair(wheel: Path, output: Path) -> Path:
    """Makes a wheel self-contained."""
    if not sys.platform.startswith("linux") or wheel.name.endswith("-any.whl"):
        return Path(shutil.copy2(str(wheel), str(output)))
    run(sys.executable, "-m", "auditwheel", "repair", "--plat", "auto", "--strip", "-w", output, wheel)
    return max(output.glob("*.whl"), key=lambda path: path.stat().st_mtime_ns)


def build(python: str, output: Path) -> None:
    """Fills ``output``, which is emptied first."""
    if output.exists():
        shutil.rmtree(str(output))
    output.mkdir(parents=True)
    choose_openssl()
    with tempfile.TemporaryDirectory(prefix="awscrt-wheels-") as directory:
        work = Path(directory)
        interpreter = make_environment(python, work / "venv")
        pip = [interpreter, "-m", "pip"]
        for name in (*(f"awscrt-{feature}" for feature in NATIVE), "awscrt"):
            project = ROOT if name == "awscrt" else ROOT / "packages" / name
            sdist = build_sdist(interpreter, project, output)
            raw = work / f"raw-{name}"
            run(*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", raw, sdist, cwd=work)
            wheel = repair(only(list(raw.glob("*.whl"))), output)
            print(f"{wheel.name}  {wheel.stat().st_size / 1e6:.2f} MB", flush=True)
            if name in ("awscrt-core", "awscrt-http"):
                run(*pip, "install", "-q", "--no-deps", wheel, cwd=work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="interpreter to build for")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    build(options.python, options.output.resolve())


if __name__ == "__main__":
    main()
