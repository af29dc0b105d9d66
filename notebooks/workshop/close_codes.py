"""The meanings of the close codes. The browser page has the same table, and a test compares them."""

MEANINGS = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1005: "the close frame had no code",
    1006: "abnormal closure, no close frame came",
    1007: "invalid data, such as text that is not UTF-8",
    1008: "policy violation",
    1009: "message too big",
    1010: "an extension is missing",
    1011: "internal error of the server",
    1012: "service restart",
    1013: "try again later",
    4401: "not authenticated, like HTTP 401",
    4408: "timed out, like HTTP 408",
}
"""From RFC 6455, section 7.4.1, and the IANA registry of close codes. The course adds 4401 and 4408."""


def meaning(code: int) -> str:
    """Return the meaning of a close code.

    Args:
        code: a close code from 1000 to 4999.
    """
    if code in MEANINGS:
        return MEANINGS[code]
    if 3000 <= code <= 3999:
        return "registered for a library or framework"
    if 4000 <= code <= 4999:
        return "private use, the application says what it means"
    return "no meaning assigned"
