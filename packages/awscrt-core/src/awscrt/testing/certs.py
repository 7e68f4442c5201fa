"""Throwaway certificates, made with the ``openssl`` command.

authority = Authority.create("some/directory")
server = authority.issue("server")                       # for localhost and 127.0.0.1
client = authority.issue("client", purpose="clientAuth")
"""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from dataclasses import dataclass
from typing import Sequence

from awscrt.testing.servers import MissingProgram

__all__ = ["Authority", "Certificate"]

_LOCAL = ("localhost", "127.0.0.1", "::1")
_KEYS = {
    "ec": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:named_curve"],
    "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
}


@dataclass(frozen=True)
class Certificate:
    """Paths of a certificate and its private key, both PEM (the key PKCS#8)."""

    certificate: str
    private_key: str

    @property
    def certificate_pem(self) -> bytes:
        with open(self.certificate, "rb") as file:
            return file.read()

    @property
    def private_key_pem(self) -> bytes:
        with open(self.private_key, "rb") as file:
            return file.read()

    def pkcs12(self, password: str) -> str:
        """Path of a PKCS#12 file with the pair, made beside it."""
        path = os.path.splitext(self.certificate)[0] + ".p12"
        _openssl(
            "pkcs12",
            "-export",
            "-in",
            self.certificate,
            "-inkey",
            self.private_key,
            "-out",
            path,
            "-passout",
            f"pass:{password}",
        )
        return path


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a directory that the caller removes."""

    directory: str
    own: Certificate

    @classmethod
    def create(cls, directory: str, *, name: str = "awscrt test authority") -> Authority:
        """Makes the authority's own key and certificate, valid for two days.

        :raises MissingProgram: there is no ``openssl`` command
        """
        directory = os.fspath(directory)
        os.makedirs(directory, exist_ok=True)
        own = Certificate(os.path.join(directory, "ca.pem"), os.path.join(directory, "ca.key"))
        _openssl("genpkey", *_KEYS["ec"], "-out", own.private_key)
        config = os.path.join(directory, "ca.cnf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(
                f"[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN={name}\n"
                "[ext]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
            )
        _openssl(
            "req", "-x509", "-new", "-key", own.private_key, "-out", own.certificate, "-days", "2", "-config", config
        )
        return cls(directory, own)

    @property
    def path(self) -> str:
        """The certificate to trust."""
        return self.own.certificate

    def issue(
        self, name: str, *, hosts: Sequence[str] = _LOCAL, purpose: str = "serverAuth", key: str = "ec"
    ) -> Certificate:
        """Signs a certificate for ``hosts`` (DNS names and addresses).

        :param name: common name and file name
        :param purpose: extended key usage, ``serverAuth`` or ``clientAuth``
        :param key: ``"ec"`` (P-256) or ``"rsa"`` (2048 bits)
        """
        stem = os.path.join(self.directory, name)
        made = Certificate(stem + ".pem", stem + ".key")
        _openssl("genpkey", *_KEYS[key], "-out", made.private_key)
        names = ",".join(("IP:" if h.replace(".", "").isdigit() or ":" in h else "DNS:") + h for h in hosts)
        with open(stem + ".cnf", "w", encoding="utf-8") as file:
            file.write(
                f"[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN={name}\n[ext]\nbasicConstraints=CA:FALSE\n"
                f"extendedKeyUsage={purpose}\nsubjectAltName={names}\nauthorityKeyIdentifier=keyid\n"
            )
        _openssl("req", "-new", "-key", made.private_key, "-out", stem + ".csr", "-config", stem + ".cnf")
        signing = ["-CA", self.own.certificate, "-CAkey", self.own.private_key, "-CAcreateserial", "-days", "2"]
        extensions = ["-extfile", stem + ".cnf", "-extensions", "ext"]
        _openssl("x509", "-req", "-in", stem + ".csr", "-out", made.certificate, *signing, *extensions)
        return made

    def server_context(
        self, certificate: Certificate, *, alpn: Sequence[str] = (), mutual: bool = False
    ) -> ssl.SSLContext:
        """A context for servers written in Python; ``mutual`` asks clients for a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.private_key)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if mutual:
            context.load_verify_locations(self.path)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _openssl(*arguments: str) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise MissingProgram("openssl", "openssl")
    run = subprocess.run(
        [program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if run.returncode != 0:
        text = run.stdout.decode(errors="replace")
        raise RuntimeError(f"openssl {' '.join(arguments)} ended with status {run.returncode}:\n{text}")
