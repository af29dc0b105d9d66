"""A cell's output that's updated in place, even after the cell has ended."""

import contextvars


class Output:
    """An output below the running cell.

    Args:
        html: the HTML for a browser; None if the text is Markdown.
        text: the plain text for other frontends, or Markdown.
    """

    def __init__(self, html: str | None, text: str) -> None:
        # Import it here: only a notebook needs it, and the import is slow.
        from IPython.display import display

        self._last = (html, text)
        # Keep the context, so an update from a thread belongs to the cell that created the output.
        self._context = contextvars.copy_context()
        self._handle = display(_bundle(html, text), raw=True, display_id=True)

    def show(self, html: str | None, text: str) -> None:
        """Replace the output.

        Args:
            html: as above.
            text: as above.
        """
        # Skip an unchanged output, so a hint that you have opened stays open.
        if self._handle is not None and (html, text) != self._last:
            self._last = (html, text)
            self._context.copy().run(self._handle.update, _bundle(html, text), raw=True)


def _bundle(html: str | None, text: str) -> dict[str, str]:
    return {"text/markdown": text} if html is None else {"text/html": html, "text/plain": text}
