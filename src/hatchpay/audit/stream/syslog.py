"""Syslog messages (RFC 5424) in octet-counted frames (RFC 5425, section 4.3).

Frozen form, `SD` once with these parameters in this order, those that are None left out:

    LEN SP "<" PRI ">1 " TIMESTAMP SP HOSTNAME " hatchpay - " MSGID SP SD SP MSG

PRI is facility 13 (log audit) and severity 3, 4 or 6; MSGID the record's state. MSG is the record as JSON in ASCII, so
that it needs no byte order mark, which many collectors would read as a part of it. No message is longer than 8,192
octets, which collectors should take (section 4.3.1): what does not fit is null, and named in `shortened`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from hatchpay.audit.stream.event import Event, Severity

__all__ = ["MAX_MESSAGE", "encode", "message"]

MAX_MESSAGE: Final = 8_192

_FACILITY: Final = 13
_SEVERITIES: Final[Mapping[Severity, int]] = {"error": 3, "warning": 4, "info": 6}
# 32473 is IANA's enterprise number for what has none of its own (RFC 5612).
_SD_ID: Final = "hatchpay@32473"
_PARAMETERS: Final = (
    "request_id",
    "tenant_id",
    "business_unit_id",
    "principal_id",
    "decision",
    "reason",
    "method",
    "route",
    "status",
)
_LONGEST_VALUE: Final = 256
_DROPPED_IN_TURN: Final = (
    "body",
    "changes",
    "headers",
    "url",
    "roles",
    "route",
    "method",
    "principal_id",
    "permission",
)
_NOT_IN_HOSTNAME: Final = re.compile("[^!-~]")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ESCAPED: Final = re.compile(r'["\\\]]')
_BEYOND_ASCII: Final = re.compile("[^\x00-\x7f]")


def encode(events: Sequence[Event], hostname: str) -> bytes:
    return b"".join(
        b"%d %s" % (len(framed), framed) for framed in (message(event, hostname).encode("utf-8") for event in events)
    )


def message(event: Event, hostname: str) -> str:
    """One SYSLOG-MSG, without its frame. Its length in octets is bounded."""
    head = f"<{_FACILITY * 8 + _SEVERITIES[event.severity]}>1 {event.at} {_hostname(hostname)} hatchpay - "
    head += f"{event.record.state} {_structured_data(event)} "
    room = MAX_MESSAGE - len(head.encode("utf-8"))
    data, shortened = dict(event.data), list[str]()
    text = _ascii(event.json())
    for name in _DROPPED_IN_TURN:
        if len(text) <= room:
            break
        data[name] = None
        shortened.append(name)
        text = _ascii(event.json({**data, "shortened": shortened}))
    return head + text


def _hostname(text: str) -> str:
    return _NOT_IN_HOSTNAME.sub("", text)[:255] or "-"


def _structured_data(event: Event) -> str:
    parts = [f'type="{_value(event.type)}"']
    parts += [f'{name}="{_value(event.data[name])}"' for name in _PARAMETERS if event.data[name] is not None]
    return f"[{_SD_ID} {' '.join(parts)}]"


def _value(value: object) -> str:
    """PARAM-VALUE (section 6.3.3): quotation mark, backslash and bracket escaped; control characters replaced."""
    return _ESCAPED.sub(r"\\\g<0>", _CONTROL.sub("\ufffd", str(value)[:_LONGEST_VALUE]))


def _ascii(line: bytes) -> str:
    """Beyond ASCII, JSON has characters in strings only, where each may be written as an escape."""
    text = line.decode("utf-8")
    return text if text.isascii() else _BEYOND_ASCII.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
