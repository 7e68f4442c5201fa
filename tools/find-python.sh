#!/bin/sh
# Prints the python3 (>= 3.8) that the build uses: $PYTHON, python3, or the newest python3.X on PATH.
set -eu
for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10 python3.9 python3.8; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1; then
        command -v "$candidate"
        exit 0
    fi
done
exit 1
