"""Addresses without their secrets: what of an address may be shown, recorded, or kept in a report.

An address can carry secrets in its userinfo (``rtsp://user:password@host``), in its query (``?token=...``, a signed
URL), in its fragment, and in ``key=value`` parts of its path. Which query keys are secret cannot be known, so all
values go and the keys stay. Text is treated generously: what only might be a password is hidden too.
"""

from __future__ import annotations

import re

__all__ = ["HIDDEN", "is_address", "redacted", "redacted_address"]

HIDDEN = "***"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/+")
_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/+(?:(?![|,;]?[A-Za-z][A-Za-z0-9+.-]+://)[^\s'\"`<>])*")
_AT = re.compile(r"@|%(?:25)*40", re.IGNORECASE)
_COLON = re.compile(r":|%(?:25)*3a", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[\w-]+(\.[\w-]+)+|localhost)(:\d*)?")  # a name without a dot may be a user's
_WITHOUT_SCHEME = re.compile(r"[^/\\\s:@]+:[^/\\\s]*@(?=[^/\\\s])")


def is_address(text: str) -> bool:
    """Return whether a source is an address, such as ``rtsp://host/stream``, and not the name of a file."""
    return "://" in text


def redacted(text: str) -> str:
    """Return a text, such as a message, in which every address has lost its secrets."""

    def cleaned(found: re.Match[str]) -> str:
        address = found[0].rstrip(".,:;!)]}")  # of the sentence around it
        return redacted_address(address) + found[0][len(address) :]

    return _IN_TEXT.sub(cleaned, text)


def redacted_address(address: str) -> str:
    """Return one address without userinfo and without the values of its query, fragment and path parameters.

    The host, the path and the names of parameters stay. ``user:password@host`` without a scheme, which is a mistake
    that people make, loses its userinfo too.
    """
    scheme = _SCHEME.match(address)
    if scheme is None:
        # A pseudo-protocol of FFmpeg before another address: `cache:http://...`, `concat:http://...|http://...`
        if is_address(address):
            return redacted(address)
        return _WITHOUT_SCHEME.sub(f"{HIDDEN}@", address, count=1)
    start, rest = scheme[0], address[scheme.end() :]
    if not start.endswith("//") and not _AT.search(rest):
        return address  # `a:/b` is no address but for a slash that was forgotten before a password
    rest = _without_userinfo(rest)
    if start.lower().startswith("file:"):
        return start + rest
    path, mark, parameters = _split(rest)
    path = re.sub(r"(?<==)[^/;]*", HIDDEN, path)
    return start + path + mark + (_hide_values(parameters) if mark else "")


def _without_userinfo(rest: str) -> str:
    """Return what follows ``scheme://`` from its host on.

    Of several '@' the last one before the path counts. Passwords with '/', '?' or '#' in them make no valid address,
    but people have them: where what should be the host is none, everything up to the very last '@' is userinfo.
    """
    authority = re.split(r"[/?#\s]", rest, maxsplit=1)[0]
    inside = list(_AT.finditer(authority))
    host = authority[inside[-1].end() :] if inside else authority
    if _HOST.fullmatch(host) or not (inside or _COLON.search(authority)):
        return rest[len(authority) - len(host) :]
    everywhere = list(_AT.finditer(rest))
    return rest[everywhere[-1].end() :] if everywhere else rest


def _split(rest: str) -> tuple[str, str, str]:
    """Split at the first '?', '#' or white space into path, that mark, and the parameters behind it."""
    found = re.search(r"[?#\s]", rest)
    return (rest, "", "") if found is None else (rest[: found.start()], found[0], rest[found.end() :])


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
