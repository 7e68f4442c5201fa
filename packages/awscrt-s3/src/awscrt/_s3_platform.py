"""What EC2 instances can move, and which one this machine is."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing is a large part of a small program's import time
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Tuple

# Family: (Gbps, vCPUs) of its largest size; smaller sizes have a share that goes by their processors.
_FAMILIES: Dict[str, Tuple[float, int]] = {
    "trn1n": (800, 128),
    "trn1": (600, 128),
    "p6-b300": (350, 192),
    "p6-b200": (200, 192),
    "p5en": (100, 192),
    "p5e": (100, 192),
    "p5": (400, 192),
    "p4de": (400, 96),
    "p4d": (400, 96),
    "dl1": (400, 96),
    "c9gd": (100, 192),
    "c9g": (100, 192),
    "c8ine": (75, 48),
    "c8in": (600, 384),
    "c8ib": (400, 384),
    "c8id": (100, 384),
    "c8i-flex": (15, 64),
    "c8i": (100, 384),
    "c8gn": (600, 192),
    "c8gb": (400, 192),
    "c8gd": (50, 192),
    "c8g": (50, 192),
    "c8a": (75, 192),
    "c7i-flex": (12.5, 64),
    "c7i": (50, 192),
    "c7gn": (200, 64),
    "c7gd": (30, 64),
    "c7g": (30, 64),
    "c7a": (50, 192),
    "c6in": (200, 128),
    "c6id": (50, 128),
    "c6i": (50, 128),
    "c6gn": (100, 64),
    "c6gd": (25, 64),
    "c6g": (25, 64),
    "c6a": (50, 192),
    "c5n": (100, 72),
    "c5ad": (20, 96),
    "c5a": (20, 96),
    "c5d": (25, 96),
    "c5": (25, 96),
    "m8a": (75, 192),
    "m8g": (50, 192),
    "m7i-flex": (12.5, 64),
    "m7i": (50, 192),
    "m7a": (50, 192),
    "m7g": (30, 64),
    "m6in": (200, 128),
    "m6idn": (200, 128),
    "m6id": (50, 128),
    "m6i": (50, 128),
    "m6a": (50, 192),
    "m6gd": (25, 64),
    "m6g": (25, 64),
    "m5zn": (100, 48),
    "m5dn": (100, 96),
    "m5n": (100, 96),
    "m5ad": (20, 96),
    "m5a": (20, 96),
    "m5d": (25, 96),
    "m5": (25, 96),
    "r7iz": (50, 128),
    "r7i": (50, 192),
    "r7a": (50, 192),
    "r7g": (30, 64),
    "r6in": (200, 128),
    "r6idn": (200, 128),
    "r6id": (50, 128),
    "r6i": (50, 128),
    "r6a": (50, 192),
    "r6gd": (25, 64),
    "r6g": (25, 64),
    "r5dn": (100, 96),
    "r5n": (100, 96),
    "r5ad": (20, 96),
    "r5a": (20, 96),
    "r5d": (25, 96),
    "r5": (25, 96),
    "x2iedn": (100, 128),
    "x2idn": (100, 128),
    "x2iezn": (100, 48),
    "x1e": (25, 128),
    "x1": (25, 128),
    "i4i": (75, 128),
    "i3en": (100, 96),
    "i3": (25, 64),
    "is4gen": (50, 32),
    "im4gn": (100, 64),
    "d3en": (75, 48),
    "d3": (25, 32),
    "h1": (25, 64),
    "g6e": (400, 192),
    "g6": (100, 192),
    "g5g": (25, 64),
    "g5": (100, 192),
    "g4dn": (100, 96),
    "inf2": (100, 192),
    "inf1": (100, 96),
    "t4g": (5, 8),
    "t3a": (5, 8),
    "t3": (5, 8),
    "t2": (1, 8),
}

# Tuned for; the first families of the table.
_OPTIMIZED = (
    "trn1n.32xlarge",
    "trn1.32xlarge",
    "p6-b300.48xlarge",
    "p6-b200.48xlarge",
    "p5en.48xlarge",
    "p5e.48xlarge",
    "p5.48xlarge",
    "p4de.24xlarge",
    "p4d.24xlarge",
)

_DMI = "/sys/devices/virtual/dmi/id"
_METADATA = "http://169.254.169.254/latest"
_METADATA_TIMEOUT_S = 1.0

_detected: List[Optional[str]] = []


def _dmi(name: str) -> str:
    try:
        with open(f"{_DMI}/{name}", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _ask_metadata_service() -> Optional[str]:
    """IMDSv2: a session token, then the instance type."""
    from urllib.request import Request, urlopen

    try:
        ask = Request(f"{_METADATA}/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        with urlopen(ask, timeout=_METADATA_TIMEOUT_S / 2) as answer:
            token = answer.read().decode()
        ask = Request(f"{_METADATA}/meta-data/instance-type", headers={"X-aws-ec2-metadata-token": token})
        with urlopen(ask, timeout=_METADATA_TIMEOUT_S / 2) as answer:
            return str(answer.read().decode()) or None
    except OSError:
        return None


def _detect() -> Optional[str]:
    if _dmi("sys_vendor").lower() != "amazon ec2":
        return None
    return _dmi("product_name") or _ask_metadata_service()


def get_ec2_instance_type() -> Optional[str]:
    """The type of this EC2 instance, e.g. ``"c5n.18xlarge"``; None elsewhere. Looked up once per process."""
    if not _detected:
        _detected.append(_detect())
    return _detected[0]


def _family(instance_type: str) -> str:
    return instance_type.partition(".")[0]


def is_optimized_for_system() -> bool:
    """True on the instance families whose network this client is tuned for."""
    instance_type = get_ec2_instance_type()
    return instance_type is not None and _family(instance_type) in {_family(name) for name in _OPTIMIZED}


def get_optimized_platforms() -> List[str]:
    """The instance types whose network this client is tuned for."""
    return list(_OPTIMIZED)


def get_recommended_throughput_target_gbps() -> Optional[float]:
    """What to pass as throughput_target_gbps on this machine, in Gbps; None when it is not known."""
    instance_type = get_ec2_instance_type()
    known = _FAMILIES.get(_family(instance_type)) if instance_type else None
    if known is None:
        return None
    gbps, processors = known
    return min(gbps, gbps / processors * (os.cpu_count() or 1))
