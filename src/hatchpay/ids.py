"""Identifiers: UUIDv7 (RFC 9562), lower case with dashes, ordered by time within a process."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import uuid_utils

__all__ = ["PLATFORM_TENANT_ID", "IdSource", "is_uuid", "new_id"]

_UUID: Final = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

IdSource = Callable[[], str]

PLATFORM_TENANT_ID: Final = "00000000-0000-7000-8000-000000000000"
"""The tenant of the platform's operator; records that belong to no customer's tenant are in its log."""


def new_id() -> str:
    return str(uuid_utils.uuid7())


def is_uuid(text: str) -> bool:
    """True for exactly the form that we emit: any version, lower case, with dashes."""
    return _UUID.fullmatch(text) is not None
