#!/bin/sh
# Makes sure that the machine has what the build and the tests need.
#
#   tools/bootstrap.sh [fuzz | bench]
#
# Looks for the things themselves, not for packages, so it is quick and quiet on a machine that has them. What is
# missing is installed with apt when we are root or sudo asks no password; otherwise the packages are printed for
# apt, dnf, brew and apk, and the script fails.
set -eu

PATH="$PATH:/usr/sbin:/usr/local/sbin:/sbin"
apt="" dnf="" brew="" apk="" missing=""

# want <what> <test command> <apt package> <dnf package> <brew package> <apk package>
want() {
    if ! sh -c "$2" >/dev/null 2>&1; then
        missing="$missing $1"
        apt="$apt $3" dnf="$dnf $4" brew="$brew $5" apk="$apk $6"
    fi
}

program() {
    want "$1" "command -v $1" "$2" "$3" "$4" "$5"
}

library() {
    want "$1" "pkg-config --exists '$1 >= $2'" "$3" "$4" "$5" "$6"
}

PYTHON="${PYTHON:-$("$(dirname "$0")/find-python.sh" || echo python3)}"

program cc gcc gcc gcc build-base
want "a C library to compile against" "echo '#include <stdio.h>' | cc -E -" libc6-dev glibc-devel "" musl-dev
program make make make make make
program cmake cmake cmake cmake cmake
program pkg-config pkg-config pkgconf pkgconf pkgconf
library libuv 1.44 libuv1-dev libuv-devel libuv libuv-dev
library openssl 3.0 libssl-dev openssl-devel openssl@3 openssl-dev
library expat 2.4 libexpat1-dev expat-devel expat expat-dev
library libnghttp2 1.52 libnghttp2-dev libnghttp2-devel libnghttp2 nghttp2-dev
library zlib 1.2.9 zlib1g-dev zlib-devel zlib zlib-dev
library libxxhash 0.8.0 libxxhash-dev xxhash-devel xxhash xxhash-dev
library cmocka 1.1 libcmocka-dev libcmocka-devel cmocka cmocka-dev
want "python3 >= 3.8" "'$PYTHON' -c 'import sys; sys.exit(sys.version_info < (3, 8))'" python3 python3 python python3
want "python3 venv" "'$PYTHON' -c 'import ensurepip, venv'" python3-venv python3 python python3
want "Python.h" "test -f \"\$('$PYTHON' -c 'import sysconfig; print(sysconfig.get_path(\"include\"))')/Python.h\"" \
    python3-dev python3-devel python python3-dev
# OpenSSL for the wheels is built from source (tools/build_openssl.sh).
want "perl with IPC::Cmd" "perl -MIPC::Cmd -MFindBin -MTime::Piece -e 1" perl "perl-interpreter perl-IPC-Cmd perl-FindBin perl-Time-Piece" \
    perl perl
program curl curl curl curl curl
program openssl openssl openssl openssl openssl
program nginx nginx-light nginx nginx nginx
program mosquitto mosquitto mosquitto mosquitto mosquitto
program softhsm2-util softhsm2 softhsm softhsm softhsm
program nghttpd nghttp2-server nghttp2 nghttp2 nghttp2
program tinyproxy tinyproxy tinyproxy tinyproxy tinyproxy
[ "$(uname)" = Darwin ] || program patchelf patchelf patchelf patchelf patchelf
if [ "${1:-}" = fuzz ]; then
    want "clang with libFuzzer" \
        "echo 'int LLVMFuzzerTestOneInput(void){return 0;}' | clang -fsanitize=fuzzer,address -x c - -o /dev/null" \
        "clang libclang-rt-14-dev" "clang compiler-rt" llvm "clang compiler-rt"
fi

if [ "${1:-}" = bench ]; then
    program wrk wrk wrk wrk wrk
fi

[ -n "$missing" ] || exit 0
echo "bootstrap: missing:$missing"

as_root=""
if [ "$(id -u)" = 0 ]; then
    as_root="env"
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
fi
if [ -z "$as_root" ] || ! command -v apt-get >/dev/null 2>&1; then
    cat <<MESSAGE
Install the packages and run make again:
  Debian, Ubuntu   apt-get install --no-install-recommends$apt
  Fedora, RHEL     dnf install$dnf
  macOS            brew install$brew
  Alpine           apk add$apk
MESSAGE
    exit 1
fi

# The servers are started by the tests, each with its own configuration: keep apt from starting the system's.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '$as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod +x "$policy"
fi
echo "bootstrap: installing with apt:$apt"
$as_root apt-get update -q </dev/null || echo "bootstrap: apt-get update failed; going on with the lists at hand"
# shellcheck disable=SC2086 # a list of packages
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $apt </dev/null
