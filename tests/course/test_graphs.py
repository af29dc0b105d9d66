"""Graphs and tables of what a notebook has measured: what they show, as a picture and as text."""

import math
import re

from workshop import Table, Timeline, draw_topology, plot_ages, plot_attempts, plot_delays

PNG = b"\x89PNG"


class TestGraphs:
    def test_delays(self) -> None:
        """A dot for each message that arrived, and the number of one that didn't."""
        graph = plot_delays({"before": [0.001, 0.002, math.inf], "$after$": [0.001] * 3})
        assert repr(graph) == "before: 2 messages arrive, message 3 never does\n$after$: 3 messages arrive"
        assert graph._repr_png_().startswith(PNG)
        first, second = graph._figure.axes
        assert len(first.collections[0].get_offsets()) == 2 and len(second.collections[0].get_offsets()) == 3
        assert [text.get_text().strip() for text in first.texts] == ["message 3 never arrives"]
        assert plot_delays({})._repr_png_().startswith(PNG)

    def test_attempts(self) -> None:
        """A histogram for each run, with a bar for each attempt."""
        graph = plot_attempts({"alone": [0.5], "together": [1.0] * 3})
        assert graph._repr_png_().startswith(PNG)
        heights = [sum(bar.get_height() for bar in axes.patches) for axes in graph._figure.axes]
        assert heights == [1, 3]
        assert "alone" in repr(graph) and "together" in repr(graph)

    def test_ages(self) -> None:
        """A line for each run, with its last and its greatest age as text."""
        graph = plot_ages({"merged": [(0.0, 0.1), (1.0, 3.0), (2.0, 2.5)], "none": []})
        assert repr(graph) == "merged: 3 messages, 2.50 s old at the end, at most 3.00 s\nnone: 0 messages, nothing"
        assert graph._repr_png_().startswith(PNG)
        (axes,) = graph._figure.axes
        assert [len(line.get_xdata()) for line in axes.lines] == [3, 0]
        assert len({line.get_linestyle() for line in axes.lines}) == 2
        assert plot_ages({})._repr_png_().startswith(PNG)

    def test_topology(self) -> None:
        """A box for Redis and each process, and a dot for each member."""
        graph = draw_topology([5, 0, 2], "machine")
        assert repr(graph) == "Redis, 3 processes with one connection each, and 7 members"
        assert graph._repr_png_().startswith(PNG)
        (axes,) = graph._figure.axes
        assert sorted(text.get_text() for text in axes.texts) == ["Redis", "machine 1", "machine 2", "machine 3"]
        assert len(axes.collections) == 7


def test_table() -> None:
    """A table shows every text literally, with one line for each row, also for a frontend without Markdown."""
    table = Table(("sent", "received"), [("a|b", "<b>*1*"), ("c", "HTTP 403")])
    assert table._repr_markdown_().splitlines() == [
        "| sent | received |",
        "| --- | --- |",
        "| a\\|b | \\<b\\>\\*1\\* |",
        "| c | HTTP 403 |",
    ]
    assert repr(table).splitlines() == ["sent  received", "a|b   <b>*1*", "c     HTTP 403"]


class TestTimeline:
    def test_bars(self) -> None:
        """A second begin or end changes nothing, and a bar that hasn't ended continues to the end."""
        timeline = Timeline()
        assert repr(timeline) == "Nothing has been recorded yet."
        assert timeline._repr_png_() is None
        for label in ("Ada", "<b>Grace"):
            timeline.begin(label)
            timeline.begin(label)
        timeline.end("Ada")
        timeline.end("Ada")
        timeline.end("Linus")
        timeline.begin("Ada")
        assert timeline._repr_png_().startswith(PNG)
        assert re.fullmatch(r"Ada: 0 ms to \d+ ms, \d+ ms to the end\n<b>Grace: \d+ ms to the end", repr(timeline))
