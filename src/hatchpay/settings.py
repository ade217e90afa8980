"""All settings, in one frozen value. This module alone reads the environment.

A value comes from the first of: a command's option, `HATCHPAY_<NAME>`, the TOML file, the default.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from hatchpay.errors import SettingsError

__all__ = ["Described", "Settings", "describe", "load"]

Source = Literal["option", "environment", "file", "default"]
PREFIX: Final = "HATCHPAY_"
DEFAULT_FILE: Final = Path("hatchpay.toml")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator can set. `pepper` and `kek` are secrets and never shown."""

    data_dir: Path = Path("var")
    host: str = "127.0.0.1"
    port: int = 8400
    admin_host: str = "127.0.0.1"
    admin_port: int = 8401
    routes: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    audit_patience_ms: int = 5_000
    client_patience_s: int = 20
    public_url: str | None = None
    token_life_s: int = 900
    issuer_keys_keep_s: int = 86_400
    allow_insecure_issuers: bool = False
    allow_insecure_streams: bool = False
    stream_lag_alarm_s: int = 300
    rate_limits_on_failure: Literal["deny", "allow"] = "deny"
    log_origin: str | None = None
    log_dir: Path | None = None
    witnesses: tuple[str, ...] = ()
    witness_quorum: int | None = None
    pepper: str | None = None
    kek: str | None = None

    def __repr__(self) -> str:
        return f"Settings(data_dir={str(self.data_dir)!r}, …)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("data_dir", self.data_dir)]

    @property
    def proxy_networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        return tuple(ipaddress.ip_network(text) for text in self.trusted_proxies)


_DESCRIPTIONS: Final[dict[str, str]] = {
    "data_dir": "directory of the databases, secrets and locks",
    "host": "address to serve on; other than loopback only with TLS or a declared proxy",
    "port": "port of the API; 0 takes a free one",
    "admin_host": "address of health checks and metrics, which are open to whoever reaches it",
    "admin_port": "port of health checks and metrics; 0 takes a free one",
    "routes": "TOML file with the protected API's permissions and routes; by default routes.toml beside its module",
    "trusted_proxies": "comma-separated networks whose X-Forwarded-For and X-Request-ID count",
    "tls_cert": "PEM file with the server's certificate chain",
    "tls_key": "PEM file with the certificate's private key",
    "audit_patience_ms": "milliseconds that a request waits for its audit record before it is refused",
    "client_patience_s": "seconds within which the head of a request must arrive, and for which its body may pause",
    "public_url": "URL under which callers reach HatchPay, such as https://auth.example.com: issuer and audience of "
    "its tokens; by default that of host and port",
    "token_life_s": "seconds that a token lives unless its caller asks otherwise; at most 43200",
    "issuer_keys_keep_s": "seconds for which the last good keys of a trusted issuer count while they cannot be fetched",
    "allow_insecure_issuers": "trusted issuers may be on plain HTTP and on private addresses; for tests only",
    "allow_insecure_streams": "streams may lead to plain HTTP and to private addresses; for tests only",
    "stream_lag_alarm_s": "seconds that a stream of the record may be behind before the log and the doctor tell of it",
    "rate_limits_on_failure": "deny or allow: what happens to requests with a limited rate while they cannot be "
    "counted",
    "log_origin": "what the names of new verifiable logs begin with, such as audit.example.com; by default the host of "
    "public_url",
    "log_dir": "directory into which the verifiable logs are published, for any web server to serve; by default logs "
    "in the data directory",
    "witnesses": "comma-separated witnesses that cosign the logs' checkpoints, each its public key, a space and "
    "its URL",
    "witness_quorum": "how many of the witnesses make a checkpoint a cosigned one; by default all",
    "pepper": "version:base64 of 32 bytes, comma-separated, newest last; by default a file in the data directory",
    "kek": "base64 of 32 bytes, the key that encrypts signing keys; by default a file in the data directory",
}
_LISTS: Final = frozenset({"trusted_proxies", "witnesses"})
_SECRET: Final = frozenset({"pepper", "kek"})
_LONGEST_LIFE_S: Final = 12 * 3600
_WITNESS: Final = re.compile(
    r"[^\s+,]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+=* https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"(?:/[A-Za-z0-9._~!$&'()*+;=:@%/-]*)?"
)
_URL: Final = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_ORIGIN: Final = re.compile(r"[A-Za-z0-9.-]+(?:/[A-Za-z0-9._-]+)*")


class Described(msgspec.Struct, frozen=True):
    """One setting as `hatchpay settings` lists it; the value of a secret is `(set)` or empty."""

    name: str
    variable: str
    value: str
    source: Source
    default: str
    description: str


def load(
    options: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> tuple[Settings, dict[str, Source]]:
    """The settings and where each came from. Raises SettingsError that names the setting, never its value.

    `file` must exist where it is given; else `HATCHPAY_CONFIG`, else `hatchpay.toml` where there is one.
    """
    variables = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    sources: dict[str, Source] = dict.fromkeys(Settings.__struct_fields__, "default")
    for name, value in _read_file(file, variables).items():
        values[name], sources[name] = _from_file(name, value), "file"
    for name in Settings.__struct_fields__:
        text = variables.get(PREFIX + name.upper())
        if text is not None:
            values[name], sources[name] = _from_text(name, text), "environment"
    for name, option in (options or {}).items():
        if option is not None:
            values[name], sources[name] = option, "option"
    try:
        settings = msgspec.convert(values, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise SettingsError(f"a setting is wrong: {error}") from None
    _check(settings)
    return settings, sources


def describe(settings: Settings, sources: Mapping[str, Source]) -> list[Described]:
    defaults = Settings()
    return [
        Described(
            name,
            PREFIX + name.upper(),
            _shown(name, getattr(settings, name)),
            sources[name],
            _shown(name, getattr(defaults, name)),
            _DESCRIPTIONS[name],
        )
        for name in Settings.__struct_fields__
    ]


def _read_file(file: Path | None, variables: Mapping[str, str]) -> dict[str, Any]:
    named = file or (Path(variables[PREFIX + "CONFIG"]) if PREFIX + "CONFIG" in variables else None)
    path = named or DEFAULT_FILE
    if named is None and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"the settings file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise SettingsError(f"the settings file {path} is not TOML") from None


def _from_file(name: str, value: object) -> object:
    if name not in Settings.__struct_fields__:
        raise SettingsError(f"unknown setting {name!r} in the settings file")
    return value


def _from_text(name: str, text: str) -> object:
    if name in _LISTS:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    raise TypeError("Expected a path")


def _check(settings: Settings) -> None:
    for name in ("port", "admin_port"):
        if not 0 <= getattr(settings, name) <= 65_535:
            raise SettingsError(f"{name} is a number from 0 to 65535")
    if settings.audit_patience_ms < 100:
        raise SettingsError("audit_patience_ms is at least 100")
    if settings.client_patience_s < 1:
        raise SettingsError("client_patience_s is at least 1")
    if not 1 <= settings.token_life_s <= _LONGEST_LIFE_S:
        raise SettingsError(f"token_life_s is 1 to {_LONGEST_LIFE_S}")
    if settings.issuer_keys_keep_s < 1:
        raise SettingsError("issuer_keys_keep_s is at least 1")
    if settings.stream_lag_alarm_s < 1:
        raise SettingsError("stream_lag_alarm_s is at least 1")
    if settings.public_url is not None and _URL.fullmatch(settings.public_url) is None:
        raise SettingsError("public_url is a scheme and a host, such as https://auth.example.com, and no path")
    if settings.log_origin is not None and _ORIGIN.fullmatch(settings.log_origin) is None:
        raise SettingsError("log_origin is a host and perhaps a path, such as audit.example.com/logs")
    _check_witnesses(settings)
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise SettingsError("tls_cert and tls_key belong together")
    try:
        _ = settings.proxy_networks
    except ValueError:
        raise SettingsError("trusted_proxies holds networks such as 10.0.0.0/8") from None


def _check_witnesses(settings: Settings) -> None:
    if not all(map(_WITNESS.fullmatch, settings.witnesses)):
        raise SettingsError("each of witnesses is a witness's public key, a space and its http or https URL")
    if settings.witness_quorum is not None and not 1 <= settings.witness_quorum <= len(settings.witnesses):
        raise SettingsError("witness_quorum is from 1 to the number of witnesses")


def _shown(name: str, value: object) -> str:
    if value is None or value == ():
        return ""
    if name in _SECRET:
        return "(set)"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
