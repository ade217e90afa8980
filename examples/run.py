"""`make run`: HatchPay in front of the sample payments API, with a tenant "Demo" on the first start."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

HATCHPAY = [sys.executable, "-m", "hatchpay.app"]
FIRST_STEPS = Path(__file__).with_name("first_steps.sh")


def main() -> None:
    port = os.environ.get("HATCHPAY_PORT", "8400")
    if port == "0":
        port = os.environ["HATCHPAY_PORT"] = str(_free_port())
    if not _has_tenant():
        onboarded = json.loads(_hatchpay("tenants", "onboard", "Demo", "--json"))
        print(f'Tenant "Demo" is onboarded. Its first admin key, shown this once:\n\n  {onboarded["api_key"]["key"]}\n')
        print("Paste into another terminal, in this directory:\n")
        print(f"export ADMIN_KEY={onboarded['api_key']['key']}\n")
        if port != "8400":
            print(f"export URL=http://127.0.0.1:{port}\n")
        print(FIRST_STEPS.read_text(), flush=True)
    os.execv(sys.executable, [*HATCHPAY, "serve", "examples.payments_api:app"])  # noqa: S606


def _free_port() -> int:
    """Chosen here, so that it can be printed before the server takes this process over."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def _has_tenant() -> bool:
    listed = subprocess.run([*HATCHPAY, "tenants", "list", "--json"], capture_output=True, text=True, check=False)  # noqa: S603
    return listed.returncode == 0 and bool(json.loads(listed.stdout)["data"])


def _hatchpay(*arguments: str) -> str:
    done = subprocess.run([*HATCHPAY, *arguments], stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    main()
