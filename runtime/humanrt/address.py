"""Remove secrets from addresses before they are shown, recorded, or kept in a report.

An address can carry secrets in its userinfo (``rtsp://user:password@host``), in its query (``?token=...``, a signed
URL), in its fragment, and in its path: as ``key=value``, as a random token, or as the key of an RTMP stream. Which
query keys are secret cannot be known, so every value is hidden and the keys stay. When in doubt, hide: what merely
looks like a password goes too.
"""

from __future__ import annotations

import re

__all__ = ["HIDDEN", "is_address", "redacted", "redacted_address"]

HIDDEN = "***"

# Unanchored repetitions are bounded: otherwise a long text would take quadratic time.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,40}:/+")
_NO_OTHER = rf"(?![|,;]?{_SCHEME.pattern}(?<=//))"
# An address in a text goes up to the last '@' before white space, and from there to the first quote that is not
# followed by more of the address: a password may itself contain quotes.
_IN_TEXT = re.compile(rf"{_SCHEME.pattern}(?:(?:{_NO_OTHER}\S)*@)?(?:{_NO_OTHER}(?:[^\s'\"`<>]|['\"`<>](?=[\w&=%])))*")
_AT = re.compile(r"@|%(?:25)*40", re.IGNORECASE)
_COLON = re.compile(r":|%(?:25)*3a", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[\w-]+(\.[\w-]+)+|localhost)(:\d*)?")  # a name without a dot may be a user's
_WITHOUT_SCHEME = re.compile(r"[^/\\\s:@]{1,100}:[^/\\\s]{0,500}@(?=[^/\\\s])")
# A part of a path that nobody would choose as a name: alternating letters and digits, or a UUID. Cameras and signed
# paths have their keys there.
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:(?=[A-Za-z]*(?:[0-9]+[A-Za-z]+){2})[A-Za-z0-9]{16,}"
    r"|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})"
)


def is_address(text: str) -> bool:
    """Return whether a source is an address, such as ``rtsp://host/stream``, and not the name of a file."""
    return "://" in text


def redacted(text: str) -> str:
    """Return a text, such as a message, in which every address has lost its secrets."""

    def cleaned(match: re.Match[str]) -> str:
        address = match[0].rstrip(".,:;!)]}")  # punctuation of the sentence around it
        return redacted_address(address) + match[0][len(address) :]

    return _WITHOUT_SCHEME.sub(f"{HIDDEN}@", _IN_TEXT.sub(cleaned, text))


def redacted_address(address: str) -> str:
    """Return one address without userinfo and without the values of its query, fragment and path parameters.

    The host, the path and the names of parameters stay, except for parts of the path that look like tokens. A common
    mistake, ``user:password@host`` without a scheme, loses its userinfo too.
    """
    scheme = _SCHEME.match(address)
    if scheme is None:
        # A pseudo-protocol of FFmpeg before another address: `cache:http://...`, `concat:http://...|http://...`
        if is_address(address):
            return redacted(address)
        return _WITHOUT_SCHEME.sub(f"{HIDDEN}@", address, count=1)
    start, rest = scheme[0], address[scheme.end() :]
    if not start.endswith("//") and "?" not in rest and not _AT.search(rest):
        return address  # a path such as `a:/b`; with a password or a query, an address that lacks a slash
    rest = _without_userinfo(rest)
    if start.lower().startswith("file:"):
        return start + rest
    path, mark, parameters = _split(rest)
    path = _hide_tokens(re.sub(r"(?<==)[^/;]*", HIDDEN, path), start)
    return start + path + mark + (_hide_values(parameters) if mark else "")


def _without_userinfo(rest: str) -> str:
    """Return what follows ``scheme://`` from its host on.

    Of several '@' the last one before the path counts. A password with '/', '?' or '#' in it makes the address invalid,
    yet people use them: where the supposed host is not one, everything up to the very last '@' is userinfo. Without
    any '@', ``user:password`` hides the password.
    """
    authority = re.split(r"[/?#\s]", rest, maxsplit=1)[0]
    inside = list(_AT.finditer(authority))
    host = authority[inside[-1].end() :] if inside else authority
    if _HOST.fullmatch(host) or not (inside or _COLON.search(authority)):
        return rest[len(authority) - len(host) :]
    everywhere = list(_AT.finditer(rest))
    if everywhere:
        return rest[everywhere[-1].end() :]
    colon = _COLON.search(authority)
    if colon is None or not authority[colon.end() :].strip("0123456789"):  # nothing, or a port
        return rest
    return f"{authority[: colon.start()]}:{HIDDEN}"


def _hide_tokens(path: str, scheme: str) -> str:
    """Hide the parts of ``host/part/part`` that look like tokens, and of RTMP what follows the application."""
    host, *parts = path.split("/")
    shown = [re.sub(r"^.*?(?=(\.\w{1,5})?$)", HIDDEN, part) if _TOKEN.search(part) else part for part in parts]
    if scheme.lower().startswith("rtmp"):
        shown[1:] = [HIDDEN if part else part for part in shown[1:]]
    return "/".join([host, *shown])


def _split(rest: str) -> tuple[str, str, str]:
    """Split at the first '?', '#' or white space into path, that mark, and the parameters behind it."""
    match = re.search(r"[?#\s]", rest)
    return (rest, "", "") if match is None else (rest[: match.start()], match[0], rest[match.end() :])


def _hide_values(parameters: str) -> str:
    """Hide each value of ``key=value&...``; what has no key is hidden whole."""
    pieces = re.split(r"([&;?#\s])", parameters)
    shown = []
    for piece in pieces:
        key, equals, _ = piece.partition("=")
        if len(piece) <= 1 and piece in "&;?# \t\r\n":
            shown.append(piece)
        else:
            shown.append(f"{key}={HIDDEN}" if equals and re.fullmatch(r"[\w.\-]{1,40}", key) else HIDDEN)
    return "".join(shown)
