"""An output of a cell that changes in its place, also when the cell has long ended."""

import contextvars


class Output:
    """An output below the cell that is running.

    Args:
        html: what a browser shows; None if the text is Markdown.
        text: what anything else shows.
    """

    def __init__(self, html: str | None, text: str) -> None:
        # Only a notebook needs it, and it takes long to import.
        from IPython.display import display

        self._last = (html, text)
        # A thread that changes the output speaks for the cell that made it.
        self._context = contextvars.copy_context()
        self._handle = display(_bundle(html, text), raw=True, display_id=True)

    def show(self, html: str | None, text: str) -> None:
        """Put this in the place of what is there.

        Args:
            html: as above.
            text: as above.
        """
        # What has not changed is left alone: a hint that you have opened stays open.
        if self._handle is not None and (html, text) != self._last:
            self._last = (html, text)
            self._context.copy().run(self._handle.update, _bundle(html, text), raw=True)


def _bundle(html: str | None, text: str) -> dict[str, str]:
    return {"text/markdown": text} if html is None else {"text/html": html, "text/plain": text}
