"""Makes the environment that runs this script import awscrt from the checkout, through a .pth file."""

from __future__ import annotations

import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    sources = sorted(str(path.parent / "src") for path in ROOT.glob("packages/*/setup.py"))
    target = Path(sysconfig.get_path("purelib")) / "awscrt-checkout.pth"
    target.write_text("\n".join(sources) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
