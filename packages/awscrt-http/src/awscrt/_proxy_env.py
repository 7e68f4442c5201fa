"""Which proxy the environment names for a URL. Only for the convenient client and the command line: connections of
:mod:`awscrt.http` never look at the environment.

``HTTP_PROXY``, ``HTTPS_PROXY`` and ``ALL_PROXY`` name the proxy, ``NO_PROXY`` the hosts that are reached without one.
Names in small letters win over those in capitals. A variable that is set but empty means no proxy.

``NO_PROXY`` is a list, divided by commas or spaces:

* ``*`` is every host.
* ``example.com``, ``.example.com`` and ``*.example.com`` are that host and those below it.
* ``192.0.2.1``, ``2001:db8::1`` and ``192.0.2.0/24`` are addresses, compared as numbers, and never names.
* ``:port`` behind any of them restricts it to that port; addresses of version 6 then stand in brackets.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ipaddress
    from typing import Mapping, Optional, Tuple, Union

    Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

__all__ = ["is_excluded", "proxy_for"]


def _variable(environ: Mapping[str, str], name: str) -> Optional[str]:
    value = environ.get(name.lower())
    if value is None:
        value = environ.get(name.upper())
    return value if value is None else value.strip()


def _is_cgi(environ: Mapping[str, str]) -> bool:
    # There HTTP_PROXY is the client's header "Proxy" (CVE-2016-5385).
    return "REQUEST_METHOD" in environ


def proxy_for(scheme: str, host: str, port: int, environ: Optional[Mapping[str, str]] = None) -> Optional[str]:
    """The URL of the proxy to use, as it stands in the environment; None: none.

    :param scheme: ``http`` or ``https``
    :param host: name or address, without brackets
    :param environ: None: the environment of the process
    """
    environ = os.environ if environ is None else environ
    name = f"{scheme}_proxy"
    if name == "http_proxy" and _is_cgi(environ):
        value = environ.get("http_proxy")
    else:
        value = _variable(environ, name)
    if value is None:
        value = _variable(environ, "all_proxy")
    if not value or is_excluded(host, port, _variable(environ, "no_proxy") or ""):
        return None
    return value


def is_excluded(host: str, port: int, no_proxy: str) -> bool:
    """True when the list names the host."""
    host = host.rstrip(".").lower()
    address = _address(host)
    return any(_matches(host, address, port, entry.lower()) for entry in no_proxy.replace(",", " ").split())


def _address(text: str) -> Optional[Address]:
    import ipaddress

    try:
        return ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None


def _split_port(entry: str) -> Tuple[str, Optional[str]]:
    if entry.startswith("["):
        inside, _, rest = entry[1:].partition("]")
        return inside, rest[1:] if rest.startswith(":") else None
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, port
    return entry, None  # more colons: an address of version 6


def _matches(host: str, address: Optional[Address], port: int, entry: str) -> bool:
    name, wanted_port = _split_port(entry)
    if wanted_port is not None and wanted_port != str(port):
        return False
    if name == "*":
        return True
    if address is not None:
        return _covers(name, address)
    if name.startswith("*."):
        name = name[1:]
    name = name.strip(".")
    return bool(name) and (host == name or host.endswith("." + name))


def _covers(entry: str, address: Address) -> bool:
    import ipaddress

    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
    return network.version == address.version and address in network
