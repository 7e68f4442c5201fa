#!/bin/sh
# Builds the OpenSSL that wheels carry: tools/build_openssl.sh PREFIX
#
# Distributions freeze OpenSSL for years; wheels need not. This release has AES-GCM kernels for VAES (several times the
# speed of 3.0's on processors of this decade) and ML-KEM key exchange. Built static, position-independent and without
# what the runtime never calls, in about a minute; a prefix that is up to date is left alone.
#
# The source is $OPENSSL_TARBALL if set, else the mirror that apt is configured with, else the project's release page.
# Wherever it came from, its SHA-256 must be the one below. Without any source the script fails; the caller decides.
set -eu

VERSION=3.5.6
SHA256=deae7c80cba99c4b4f940ecadb3c3338b13cb77418409238e57d7f31f2a3b736
RELEASE="https://github.com/openssl/openssl/releases/download/openssl-$VERSION/openssl-$VERSION.tar.gz"

# Protocols and algorithms that no part of the runtime negotiates or loads. Kept on purpose: TLS 1.0 and 1.1, 3DES and
# the legacy provider (built in), which old servers and PKCS#12 files need.
WITHOUT="no-apps no-argon2 no-aria no-autoload-config no-bf no-blake2 no-camellia no-cast no-cmp no-cms no-comp no-ct no-docs
no-dsa no-dso no-dtls no-ec2m no-engine no-filenames no-gost no-idea no-md4 no-mdc2 no-ml-dsa no-module no-multiblock
no-nextprotoneg no-ocb no-psk no-quic no-rc5 no-rfc3779 no-rmd160 no-seed no-shared no-siphash no-slh-dsa no-sm2
no-sm3 no-sm4 no-srp no-srtp no-tests no-ts no-ui-console no-uplink no-whirlpool"

prefix="${1:?usage: tools/build_openssl.sh PREFIX}"
mkdir -p "$prefix"
prefix="$(cd "$prefix" && pwd)"
recipe="$VERSION $(cksum <"$0")"
[ "$(cat "$prefix/recipe" 2>/dev/null)" != "$recipe" ] || exit 0

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
tarball="$work/openssl.tar.gz"

checked() {
    [ "$(openssl dgst -sha256 -r "$tarball" 2>/dev/null | cut -d' ' -f1)" = "$SHA256" ] ||
        [ "$(sha256sum "$tarball" 2>/dev/null | cut -d' ' -f1)" = "$SHA256" ]
}
download() {
    echo "openssl: trying $1"
    if command -v curl >/dev/null 2>&1; then
        curl -fsSL --connect-timeout 10 --max-time 300 -o "$tarball" "$1" 2>/dev/null
    else
        wget -q -T 30 -O "$tarball" "$1" 2>/dev/null
    fi && checked
}
fetch() {
    if [ -n "${OPENSSL_TARBALL:-}" ]; then
        cp "$OPENSSL_TARBALL" "$tarball" && checked
        return
    fi
    if command -v apt-get >/dev/null 2>&1; then
        for site in $(apt-get indextargets --format '$(SITE)' 2>/dev/null | sort -u); do
            download "$site/pool/main/o/openssl/openssl_$VERSION.orig.tar.gz" && return
        done
    fi
    download "$RELEASE"
}
fetch || {
    echo "openssl: no source of OpenSSL $VERSION with the expected checksum; set OPENSSL_TARBALL to its release archive" >&2
    exit 1
}

tar -xzf "$tarball" -C "$work"
cd "$work/openssl-$VERSION"
log="$prefix/build.log"
# One section per function lets the linker leave out what core does not call: 0.8 MB less than -O3 without.
# shellcheck disable=SC2086 # a list of words
{ ./Configure $WITHOUT -fPIC -O2 -ffunction-sections -fdata-sections --prefix="$prefix" --libdir=lib --openssldir=/etc/ssl &&
    make -s -j"$(getconf _NPROCESSORS_ONLN)" build_libs && make -s install_dev; } >"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    echo "openssl: the build failed; the whole log is $log" >&2
    exit 1
}
echo "$recipe" >"$prefix/recipe"
echo "openssl: $VERSION is in $prefix"
