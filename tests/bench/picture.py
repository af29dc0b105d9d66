"""Bars, as SVG."""

import html

LEFT, WIDTH, ROW = 200, 720, 30


def bars(title: str, values: dict[str, float]) -> str:
    """A bar for each value, with its number.

    Args:
        title: above the bars.
        values: by label.
    """
    scale = (WIDTH - LEFT - 60) / max(values.values())
    parts = [f'<text x="10" y="20" font-weight="bold">{html.escape(title)}</text>']
    for row, (label, value) in enumerate(values.items()):
        y = 36 + ROW * row
        parts.append(f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end">{html.escape(label)}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{value * scale:.1f}" height="22" fill="#1558b0"/>')
        parts.append(f'<text x="{LEFT + value * scale + 6:.1f}" y="{y + 16}">{value:.2f}</text>')
    height = 46 + ROW * len(values)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>'
    )
