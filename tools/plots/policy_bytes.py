"""Chapter 5: bytes held by the tokens seen, of the catalogue's configurations: the text is a prompt."""
from __future__ import annotations

from . import policy_time

NEEDS = policy_time.NEEDS
SHOWS = ["held, KB (2^10 bytes)", "window 256"]


def draw(reports: dict[str, list[dict]], figure) -> None:
    policy_time.draw_lines(figure, reports, lambda row: row["bytes_held"] / 1024, "held, KB (2^10 bytes)")
