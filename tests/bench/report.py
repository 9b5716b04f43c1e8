"""One line a measurement: what, figure, bar, and the raw rate of the same run beside it."""

import statistics
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """`value` and `bar` are in `unit`; lower is better. `note` is what to read beside it."""

    what: str
    value: float
    bar: float | None
    unit: str = "s"
    note: str = ""

    @property
    def met(self) -> bool:
        return self.bar is None or self.value <= self.bar


@dataclass
class Report:
    console: Console = field(default_factory=Console)
    figures: list[Figure] = field(default_factory=list)

    def add(self, figure: Figure) -> None:
        self.figures.append(figure)
        mark = "✔" if figure.met else "✗"
        self.console.print(f"{mark} {figure.what}: {figure.value:.3g} {figure.unit} {figure.note}")

    def show(self) -> None:
        table = Table("measurement", "figure", "bar", "", "beside it")
        for figure in self.figures:
            bar = "" if figure.bar is None else f"{figure.bar:g} {figure.unit}"
            met = "" if figure.bar is None else "✔" if figure.met else "✗"
            table.add_row(figure.what, f"{figure.value:.3g} {figure.unit}", bar, met, figure.note)
        self.console.print(table)

    @property
    def all_met(self) -> bool:
        return all(figure.met for figure in self.figures)


def spread(seconds: list[float]) -> str:
    """Smallest and largest of what a median stands for."""
    return f"median of {len(seconds)}, {min(seconds):.2f} to {max(seconds):.2f}"


def median(seconds: list[float]) -> float:
    return statistics.median(seconds)
