"""An identity provider in a process of its own, which shares no line with HatchPay nor with its other tests' issuer:
keys and tokens by joserfc, OpenID Connect discovery and JWK Set over HTTP.

Run as a script it prints its URL, then answers `GET /token?<claim>=<text>…` with a signed token, until its standard
input ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

__all__ = ["AUDIENCE", "IssuerProcess", "issuer_process"]

AUDIENCE = "https://api.independent.test"


class IssuerProcess:
    """`url` is its name, and where it is."""

    audience = AUDIENCE

    def __init__(self, url: str) -> None:
        self.url = url
        self.jwks_url = f"{url}/oauth2/jwks"

    def token(self, **claims: str) -> str:
        return httpx.get(f"{self.url}/token", params=claims).text


@contextmanager
def issuer_process() -> Iterator[IssuerProcess]:
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdout is not None
    try:
        yield IssuerProcess(process.stdout.readline().strip())
    finally:
        process.communicate(timeout=10)


def _run() -> None:
    keys = KeySet([ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": "ES256"}) for kid in ("old", "new")])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path == "/token":
                body = _token(keys, name, dict(parse_qsl(url.query)))
            elif url.path == "/.well-known/openid-configuration":
                body = json.dumps({"issuer": name, "jwks_uri": f"{name}/oauth2/jwks", "scopes_supported": ["openid"]})
            elif url.path == "/oauth2/jwks":
                body = json.dumps(keys.as_dict(private=False))
            else:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    name = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    print(name, flush=True)
    sys.stdin.read()
    server.shutdown()
    thread.join()


def _token(keys: KeySet, name: str, claims: dict[str, str]) -> str:
    now = int(time.time())
    whole = {"iss": name, "aud": [AUDIENCE, "https://else.test"], "iat": now, "nbf": now, "exp": now + 300, **claims}
    return jwt.encode({"alg": "ES256", "typ": "JWT", "kid": "new"}, whole, keys)


if __name__ == "__main__":
    _run()
