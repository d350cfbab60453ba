"""Times and durations as upstream prints them. Pure."""

from __future__ import annotations

from datetime import timedelta

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

    from nexus.api.types import Duration

_LONG_UNITS = (("year", 31_557_600), ("month", 2_630_016), ("day", 86_400))
"""With their lengths in seconds, as the humantime crate has them."""

_SHORT_UNITS = (("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000))


def to_seconds(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}Z"


def to_milliseconds(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z"


def rust_time(time: datetime) -> str:
    """As Rust prints it by default: no more digits than there are, by threes."""
    micros = time.microsecond
    fraction = "" if not micros else f".{micros // 1000:03}" if micros % 1000 == 0 else f".{micros:06}"
    return f"{time:%Y-%m-%d %H:%M:%S}{fraction} UTC"


def whole_milliseconds(duration: Duration) -> int:
    return duration.secs * 1000 + duration.nanos // 1_000_000


def whole_seconds_since(time: datetime, now: datetime) -> int:
    """Towards zero; negative if the clock that made `time` is ahead of ours."""
    return int((now - time).total_seconds())


def whole_milliseconds_since(time: datetime, now: datetime) -> int:
    return (now - time) // timedelta(milliseconds=1)


def human(duration: Duration) -> str:
    """`10s`, `1m`, `1h 30m`, `2days 3h`: units that are 0 are left out."""
    parts = []
    seconds = duration.secs
    for unit, length in _LONG_UNITS:
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}{'s' if count > 1 else ''}")
    nanos = seconds * 1_000_000_000 + duration.nanos
    for unit, length in _SHORT_UNITS:
        count, nanos = divmod(nanos, length)
        if count:
            parts.append(f"{count}{unit}")
    if nanos:
        parts.append(f"{nanos}ns")
    return " ".join(parts) or "0s"
