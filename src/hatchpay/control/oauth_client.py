"""Who calls an OAuth endpoint: an API key, in whichever of the ways that clients know to send one.

`X-API-Key`; HTTP Basic with the key's id and text (RFC 6749, section 2.3.1); the same two in the form; or the key as a
bearer. A token is none: it could renew itself for ever.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_plus

import msgspec
from fastapi import Request

from hatchpay.control.caller import Caller, caller_of
from hatchpay.control.oauth_form import OAuthRefusal
from hatchpay.control.services import Services
from hatchpay.identity.authenticator import Authenticated, Invalid, Outcome, Unsettled
from hatchpay.identity.networks import allow

__all__ = ["Endpoint"]

_SCHEME: Final = re.compile(r"(basic|bearer) +(\S+)\Z", re.IGNORECASE)
_TOKEN: Final = re.compile(r"ey[0-9A-Za-z_-]*\.[0-9A-Za-z_-]*\.[0-9A-Za-z_-]*\Z")
_MISSING: Final = (
    "authenticate the client: an API key's id and text by HTTP Basic or in the form, or the key in X-API-Key"
)


class _Sent(msgspec.Struct, frozen=True):
    client_id: str | None
    secret: str

    def __repr__(self) -> str:
        return "_Sent(…)"


class Endpoint:
    """One request to an OAuth endpoint: its form, and what its credentials prove."""

    def __init__(self, request: Request, services: Services, form: Mapping[str, str]) -> None:
        self.form = form
        self.caller: Caller = caller_of(request.scope)
        self._services = services
        self._authorization = request.headers.get("authorization")
        self._api_key = request.headers.get("x-api-key")
        self._told = False

    def required(self, name: str) -> str:
        """Raises OAuthRefusal where the form lacks it."""
        value = self.form.get(name)
        if value is None:
            raise OAuthRefusal(f"{name} is required")
        return value

    def client(self) -> Authenticated:
        """Raises OAuthRefusal (`invalid_client`) where none is proven."""
        client = self.client_if_sent()
        if client is None:
            raise _no_client("credential_missing", _MISSING)
        return client

    def client_if_sent(self) -> Authenticated | None:
        """The client, or None where no credential was sent. Raises as `client` does for one that is no good."""
        sent = self._sent()
        if sent is None:
            return None
        outcome = self._services.key_authenticator.authenticate(sent.secret)
        proven = self._admitted(outcome)
        self._tell(outcome)
        if not isinstance(proven, Authenticated):
            if _TOKEN.match(sent.secret):
                raise _no_client(proven, "a token is no client credential; send an API key")
            raise _no_client(proven)
        if sent.client_id is not None and sent.client_id != proven.principal.key_id:
            raise _no_client("client_id_wrong")
        return proven

    async def subject(self, text: str) -> Authenticated:
        """Whoever `text` proves, a key or a token. Raises OAuthRefusal (RFC 8693, section 2.2.2)."""
        outcome: Outcome = self._services.key_authenticator.authenticate(text)
        if not isinstance(outcome, Authenticated | Invalid):
            outcome = await self.token(text)
        proven = self._admitted(outcome)
        self._tell(outcome)
        if not isinstance(proven, Authenticated):
            raise OAuthRefusal("the subject token is not valid", reason=proven, denied=True)
        return proven

    async def token(self, text: str) -> Outcome:
        """What a token proves, once its issuer's keys are known where they were not."""
        outcome = self._services.token_authenticator.authenticate(text)
        if isinstance(outcome, Unsettled):
            await outcome.wait()
            outcome = self._services.token_authenticator.authenticate(text)
        return outcome.invalid if isinstance(outcome, Unsettled) else outcome

    def _admitted(self, outcome: Outcome) -> Authenticated | str:
        """The proven caller where it may come from this address, or the reason why there is none."""
        if isinstance(outcome, Authenticated):
            if allow(outcome.principal.limits.networks, self.caller.client_ip):
                return outcome
            return "network_not_allowed"
        return outcome.reason if isinstance(outcome, Invalid) else "credential_unknown"

    def _tell(self, outcome: Outcome) -> None:
        """The record of whom it is about; the client, where one is proven, stays the one who asks."""
        if not self._told and isinstance(outcome, Authenticated | Invalid):
            self._told = isinstance(outcome, Authenticated)
            self.caller.identified(outcome)

    def _sent(self) -> _Sent | None:
        """Raises OAuthRefusal where there is more than one credential (RFC 6749, section 2.3)."""
        secret = self.form.get("client_secret")
        found = [_Sent(self.form.get("client_id"), secret)] if secret is not None else []
        if self._api_key is not None:
            found.append(_Sent(self.form.get("client_id"), self._api_key.strip(" \t")))
        if self._authorization is not None:
            found.append(self._from_authorization(self._authorization))
        if len(found) > 1:
            raise OAuthRefusal("send one client credential, not several", reason="multiple_credentials")
        return found[0] if found else None

    def _from_authorization(self, header: str) -> _Sent:
        match = _SCHEME.fullmatch(header.strip(" \t"))
        if match is None:
            raise _no_client("credential_malformed")
        if match[1].lower() == "bearer":
            return _Sent(self.form.get("client_id"), match[2])
        try:
            client_id, colon, secret = b64decode(match[2], validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            client_id, colon, secret = "", "", ""
        if not colon:
            raise _no_client("credential_malformed")
        named = self.form.get("client_id")
        if named is not None and named != unquote_plus(client_id):
            raise _no_client("client_id_wrong")
        return _Sent(unquote_plus(client_id), unquote_plus(secret))


def _no_client(reason: str, detail: str = "the client is not known") -> OAuthRefusal:
    return OAuthRefusal(detail, code="invalid_client", status=401, reason=reason)
