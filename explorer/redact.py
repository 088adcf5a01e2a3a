"""No password in anything that is shown: errors, reprs, progress, pages."""

from __future__ import annotations

import re

_IN_AUTHORITY = re.compile(r"(://[^\s:/@?#]*):\S+@")  # to the last @: an unescaped one belongs to the password
_IN_OPTIONS = re.compile(r"\b(\w*(?:password|passwd|pwd|secret|token)\w*)=[^&\s'\"]+", re.IGNORECASE)


def redact(text: str) -> str:
    """The text with every password in its URLs replaced by ***: `://user:***@host`, `password=***`.

    Where it cannot tell where a password ends, it hides more rather than less.
    """
    return _IN_OPTIONS.sub(r"\1=***", _IN_AUTHORITY.sub(r"\1:***@", text))


def holds_password(text: str) -> bool:
    return redact(text) != text
