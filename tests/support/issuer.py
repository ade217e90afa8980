"""An identity provider that is not HatchPay: keys by `cryptography`, tokens and JWK Sets by PyJWT.

issuer = FakeIssuer("https://id.test", ["EdDSA", "RS256"])
issuer.token(sub="ada", permissions=["shop.orders.read"])

with serving_issuer(["ES256"]) as issuer:       # discovery and keys on a free loopback port
    ...
    assert issuer.fetches == 1
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms
from jwt.api_jws import PyJWS

__all__ = ["AUDIENCE", "FakeIssuer", "ServedIssuer", "serving_issuer"]

AUDIENCE = "https://api.test"
_JWKS = "/keys"
_OPENID = "/.well-known/openid-configuration"

_MAKE: dict[str, Callable[[], Any]] = {
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "PS256": lambda: rsa.generate_private_key(65537, 2048),
}


class FakeIssuer:
    """One key per algorithm, the first of which signs unless asked otherwise.

    Kids tell nothing of whose they are: the first of every issuer is `EdDSA-1`, and after `rotate` it is `EdDSA-2`.
    `now` gives the time in seconds for `iat` and `exp`.
    """

    def __init__(
        self,
        url: str,
        algorithms: Sequence[str] = ("EdDSA",),
        *,
        audience: str = AUDIENCE,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.url = url
        self.algorithms = tuple(algorithms)
        self.audience = audience
        self._now = now
        self._generation = 0
        self.private: dict[str, Any] = {}
        self.rotate()

    def rotate(self) -> None:
        """New keys with new kids; the old ones are published no more."""
        self._generation += 1
        self.private = {algorithm: _MAKE[algorithm]() for algorithm in self.algorithms}

    def kid(self, algorithm: str | None = None) -> str:
        return f"{algorithm or self.algorithms[0]}-{self._generation}"

    def jwks(self) -> dict[str, Any]:
        """What it publishes."""
        return {"keys": [self.public_jwk(algorithm) for algorithm in self.algorithms]}

    def document(self) -> bytes:
        """As it goes over the wire."""
        return json.dumps(self.jwks()).encode()

    def public_jwk(self, algorithm: str) -> dict[str, Any]:
        public = self.private[algorithm].public_key()
        members = get_default_algorithms()[algorithm].to_jwk(public, as_dict=True)
        kept = {name: value for name, value in members.items() if name not in {"key_ops", "alg", "use", "kid"}}
        return {**kept, "kid": self.kid(algorithm), "alg": algorithm, "use": "sig"}

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Good ones for ten minutes, with those changed; a claim given as None is left out."""
        now = int(self._now())
        claims = {"iss": self.url, "aud": self.audience, "sub": "ada", "iat": now, "exp": now + 600, **changed}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, signed_with: str | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A signed token over `claims(...)`; a member of `header` given as None is left out."""
        algorithm = signed_with or self.algorithms[0]
        return self.sign(json.dumps(self.claims(**claims)).encode(), algorithm, header)

    def sign(self, payload: bytes, algorithm: str, header: dict[str, Any] | None = None) -> str:
        """Over any payload at all."""
        members = {"kid": self.kid(algorithm), "typ": "JWT", **(header or {})}
        given = {name: value for name, value in members.items() if value is not None}
        # PyJWT adds `typ` by itself, and leaves it out only where it is empty.
        return PyJWS().encode(payload, self.private[algorithm], algorithm, {"typ": "", **given})


class ServedIssuer(FakeIssuer):
    """Publishes its keys over HTTP, under `url` for discovery and under `jwks_url`.

    `asked` are the paths that were asked for, in order. `status` other than 200 makes it fail; while `gate` is
    cleared, answers wait (for 30 s at most). `body` takes the place of the key set where it is given.
    """

    def __init__(self, url: str, algorithms: Sequence[str], **options: Any) -> None:
        super().__init__(url, algorithms, **options)
        self.asked: list[str] = []
        self.status = 200
        self.body: bytes | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Event()
        """Set once a request for the keys has come in."""

    @property
    def jwks_url(self) -> str:
        return self.url + _JWKS

    @property
    def fetches(self) -> int:
        """How often the key set was asked for."""
        return self.asked.count(_JWKS)

    def answer(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        if path == _JWKS:
            self.arrived.set()
        self.gate.wait(30)
        if path == _JWKS:
            return self.status, self.body if self.body is not None else self.document()
        if path == _OPENID:
            return self.status, json.dumps({"issuer": self.url, "jwks_uri": self.jwks_url}).encode()
        return 404, b""


@contextmanager
def serving_issuer(algorithms: Sequence[str] = ("EdDSA",), **options: Any) -> Iterator[ServedIssuer]:
    """An issuer at `http://127.0.0.1:<free port>`, for the length of the block."""
    issuer: ServedIssuer | None = None

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert issuer is not None
            status, body = issuer.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Whoever asked may have gone away meanwhile."""

    server = Server(("127.0.0.1", 0), Handler)
    issuer = ServedIssuer(f"http://127.0.0.1:{server.server_port}", algorithms, **options)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield issuer
    finally:
        issuer.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()
