"""Text that a terminal can be given, whoever wrote it."""


def visible(text: str) -> str:
    """Text with control characters spelled out, but for line ends and tabs: a terminal would obey them."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
