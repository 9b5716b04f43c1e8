"""Many things wrong, told in one message: a line each, as many as a condition has room for."""

from collections.abc import Iterable

ROOM = 30_000  # bytes; the rest of a condition's 32 KiB is for what others say around it


def listed(problems: Iterable[str]) -> str:
    lines: list[str] = []
    left, more = ROOM, 0
    for problem in problems:
        left -= len(problem.encode()) + 1
        if left < 0 and lines:
            more += 1
        else:
            lines.append(problem)
    return "\n".join([*lines, f"and {more} more"] if more else lines)
