"""A strict reader of syslog: frames of RFC 5425, section 4.3, and messages of RFC 5424, section 6, by their grammar."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

__all__ = ["SyslogMessage", "frames", "parse"]

_SD_NAME = r"[!#-<>-\\^-~]{1,32}"
_PARAM = rf'{_SD_NAME}="(?:[^"\\\]]|\\["\\\]])*"'
_ELEMENT = rf"\[{_SD_NAME}(?: {_PARAM})*\]"
_MESSAGE = re.compile(
    r"<(?P<pri>0|[1-9][0-9]{0,2})>(?P<version>[1-9][0-9]{0,2})"
    r" (?P<time>-|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2}))"
    r" (?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<proc>[!-~]{1,128}) (?P<msgid>[!-~]{1,32})"
    rf" (?P<sd>-|(?:{_ELEMENT})+)(?: (?P<msg>.*))?",
    re.DOTALL,
)
_PART = re.compile(rf'({_SD_NAME})="((?:[^"\\\]]|\\["\\\]])*)"', re.DOTALL)


@dataclass
class SyslogMessage:
    facility: int
    severity: int
    time: datetime
    host: str
    app: str
    proc: str
    msgid: str
    sd_id: str
    parameters: dict[str, str]
    msg: str


def frames(data: bytes) -> list[bytes]:
    """SYSLOG-FRAME = MSG-LEN SP SYSLOG-MSG, with MSG-LEN = NONZERO-DIGIT *DIGIT."""
    found = []
    while data:
        length, space, rest = data.partition(b" ")
        assert space and re.fullmatch(rb"[1-9][0-9]*", length), data[:40]
        assert len(rest) >= int(length), "a frame is cut off"
        found.append(rest[: int(length)])
        data = rest[int(length) :]
    return found


def parse(message: bytes) -> SyslogMessage:
    match = _MESSAGE.fullmatch(message.decode("utf-8"))
    assert match is not None, message[:200]
    pri = int(match["pri"])
    assert pri <= 191 and match["version"] == "1"
    sd = match["sd"]
    assert sd.startswith("[") and sd.endswith("]")
    return SyslogMessage(
        facility=pri // 8,
        severity=pri % 8,
        time=datetime.fromisoformat(match["time"]),
        host=match["host"],
        app=match["app"],
        proc=match["proc"],
        msgid=match["msgid"],
        sd_id=sd[1:].partition(" ")[0],
        parameters={name: re.sub(r"\\(.)", r"\1", value) for name, value in _PART.findall(sd)},
        msg=match["msg"],
    )
