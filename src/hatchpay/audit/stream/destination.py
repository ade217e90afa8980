"""Where a stream leads, read strictly: what two parsers could read differently is refused (RFC 3986)."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Final

import msgspec

from hatchpay.audit.stream.row import Kind
from hatchpay.errors import InvalidInput

__all__ = ["Destination", "read_destination"]

_LONGEST: Final = 2_048
_LONGEST_HOST: Final = 253
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_URL: Final = re.compile(
    rf"(?P<scheme>https?|tls)://(?P<host>\[[0-9a-f:.]+\]|{_LABEL}(?:\.{_LABEL})*\.?)(?::(?P<port>[1-9][0-9]{{0,4}}))?"
    r"(?P<path>/(?:[a-z0-9._~!$&'()*+,;=:@/-]|%[0-9a-f]{2})*)?"
    r"(?P<query>\?(?:[a-z0-9._~!$&'()*+,;=:@/?-]|%[0-9a-f]{2})*)?",
    re.IGNORECASE | re.ASCII,
)
_PORTS: Final = {"http": 80, "https": 443}
_FORMS: Final = {"syslog": "tls://host:port", "otlp": "https://…", "http": "https://…", "webhook": "https://…"}


class Destination(msgspec.Struct, frozen=True):
    """`host` is in lower case, without the brackets of an IPv6 literal; `target` is path and query."""

    tls: bool
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.tls else "http"] else f"{host}:{self.port}"

    @property
    def server_name(self) -> str:
        """Neither SNI nor certificates have the dot that ends an absolute name (RFC 6066, section 3)."""
        return self.host.removesuffix(".")

    @property
    def origin(self) -> str:
        """What may see a stream's secret headers."""
        return f"{'https' if self.tls else 'http'}://{self.server_name}:{self.port}"


def read_destination(kind: Kind, url: str, *, insecure: bool = False) -> Destination:
    """Raises InvalidInput `invalid_url`. `insecure` is for tests: it permits plain HTTP."""
    match = _URL.fullmatch(url) if len(url) <= _LONGEST else None
    if match is not None:
        found = _destination(kind, match, insecure)
        if found is not None:
            return found
    raise InvalidInput(
        f"the destination of a stream of this kind is {_FORMS[kind]}, in plain ASCII, without user and fragment",
        code="invalid_url",
        field="destination_url",
    )


def _destination(kind: Kind, match: re.Match[str], insecure: bool) -> Destination | None:
    scheme, host = match["scheme"].lower(), match["host"].lower()
    if kind == "syslog":
        if scheme != "tls" or match["port"] is None or match["path"] or match["query"]:
            return None
    elif scheme != "https" and not (scheme == "http" and insecure):
        return None
    port = int(match["port"]) if match["port"] else _PORTS[scheme]
    if host.startswith("["):
        host = host[1:-1]
        try:
            IPv6Address(host)
        except AddressValueError:
            return None
    if port > 65_535 or len(host) > _LONGEST_HOST:
        return None
    return Destination(scheme != "http", host, port, (match["path"] or "/") + (match["query"] or ""))
