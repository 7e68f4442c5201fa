"""Runs the suite on the oldest and the newest Python of this machine, against wheels.

Interpreters are looked for on PATH and among pyenv's versions: 3.8 (or else 3.9), and the newest from 3.11 on. The abi3
wheels given serve the newest; for the oldest, wheels of its own are built. What was not found is told in the summary.
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Optional, Tuple

ROOT = Path(__file__).resolve().parent.parent
OLDEST = ((3, 8), (3, 9))
NEWEST = tuple((3, minor) for minor in range(14, 10, -1))
_SUITE = ["tests", "--ignore=tests/packaging", "--ignore=tests/examples"]


def interpreters() -> Dict[Tuple[int, int], str]:
    """Working interpreters with the GIL by version, first found first."""
    candidates: List[str] = []
    for version in (*OLDEST, *NEWEST):
        name = f"python{version[0]}.{version[1]}"
        on_path = shutil.which(name)
        candidates += [on_path] if on_path else []
        pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
        candidates += sorted(glob.glob(os.path.join(pyenv, "versions", f"{version[0]}.{version[1]}.*", "bin", name)))
    found: Dict[Tuple[int, int], str] = {}
    probe = "import ensurepip, sys, venv; assert sys.implementation.name == 'cpython'; print(*sys.version_info[:2])"
    for candidate in [*candidates, sys.executable]:
        done = subprocess.run([candidate, "-c", probe], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if done.returncode == 0:
            major, minor = done.stdout.split()
            found.setdefault((int(major), int(minor)), candidate)
    return found


def run(*command: object) -> None:
    """Runs a command and ends with its status when it fails."""
    words = [str(word) for word in command]
    status = subprocess.run(words, cwd=str(ROOT), stdin=subprocess.DEVNULL).returncode
    if status != 0:
        raise SystemExit(f"test_interpreters: {' '.join(words)} ended with status {status}")


def environment(python: str, directory: Path) -> Path:
    """An environment with the test requirements, kept between runs while those stay the same."""
    requirements = [ROOT / "tools" / f"requirements-{name}.txt" for name in ("test", "build", "compat")]
    stamp = directory / "requirements.sha256"
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in requirements)).hexdigest()
    interpreter = directory / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        run(python, "-m", "venv", "--clear", directory)
        *with_dependencies, compat = (f"--requirement={path}" for path in requirements)
        run(interpreter, "-m", "pip", "install", "-q", *with_dependencies)
        run(interpreter, "-m", "pip", "install", "-q", "--no-deps", compat)
        stamp.write_text(wanted)
    return interpreter


def wheels_for(version: Tuple[int, int], python: str, abi3: Path, cache: Path) -> Path:
    """A directory of wheels for an interpreter; those given when they are abi3, else built here."""
    if version >= (3, 11) and list(abi3.glob("awscrt_core-*-abi3-*.whl")):
        return abi3
    output = cache / f"wheels-{version[0]}.{version[1]}"
    newest = max(path.stat().st_mtime for path in abi3.glob("*.tar.gz"))
    if not list(output.glob("awscrt_s3-*.whl")) or min(p.stat().st_mtime for p in output.glob("*.whl")) < newest:
        run(sys.executable, ROOT / "tools" / "build_wheels.py", "--python", python, output)
    return output


def run_suite(version: Tuple[int, int], python: str, abi3: Path, cache: Path) -> None:
    """Installs the wheels and runs the tests."""
    label = f"{version[0]}.{version[1]}"
    wheels = wheels_for(version, python, abi3, cache)
    interpreter = environment(python, cache / f"venv-{label}")
    install = [interpreter, "-m", "pip", "install", "-q", "--force-reinstall", "--no-deps", "--no-index"]
    run(*install, *sorted(wheels.glob("awscrt*.whl")))
    run(interpreter, "-m", "pytest", "-q", "-p", "no:cacheprovider", *_SUITE)


def choose(found: Dict[Tuple[int, int], str], wanted: Tuple[Tuple[int, int], ...]) -> Optional[Tuple[int, int]]:
    """The first wanted version that was found."""
    return next((version for version in wanted if version in found), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, required=True, help="wheels built with the interpreter running this")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--summary", type=Path, required=True, help="file that a line per interpreter is added to")
    options = parser.parse_args()
    found = interpreters()
    lines: List[str] = []
    for title, wanted in (("oldest", OLDEST), ("newest", NEWEST)):
        version = choose(found, wanted)
        if version is None:
            names = ", ".join(f"{major}.{minor}" for major, minor in wanted)
            lines.append(f"  {title} Python: NOT TESTED, none of {names} is on this machine")
        elif version == sys.version_info[:2]:
            lines.append(f"  {title} Python: {version[0]}.{version[1]}, the one of test-python")
        else:
            run_suite(version, found[version], options.wheels.resolve(), options.cache.resolve())
            lines.append(f"  {title} Python: {version[0]}.{version[1]} ok")
    print("\n".join(lines))
    with options.summary.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
