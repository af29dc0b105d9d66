"""The picture of the benchmark, drawn with matplotlib."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure


def draw_bars(file: Path, title: str, values: dict[str, float]) -> None:
    """Draw a bar for each value, and write the picture.

    Args:
        file: the file to write. Its ending determines the format.
        title: the title above the bars.
        values: the length of each bar, by its label.
    """
    figure = Figure(figsize=(8, 0.8 + 0.35 * len(values)), layout="constrained")
    axes = figure.subplots()
    axes.bar_label(axes.barh(list(values), list(values.values())), fmt=" %.2f")
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_title(title, fontsize="medium")
    # Keep the texts of an SVG as text.
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(file)
