"""Rows of results: the same work by Lodge and by a peer."""
import statistics


class Row:
    """`better`: "less" or "more"; `target`: the ratio Lodge aims at."""

    def __init__(self, what, unit, better, target, lodge, peer):
        self.what, self.unit, self.better, self.target = what, unit, better, target
        self.lodge, self.peer = lodge, peer

    def ratio(self):
        return statistics.median(self.lodge) / statistics.median(self.peer)

    def met(self):
        return self.ratio() <= self.target if self.better == "less" else self.ratio() >= self.target


def spread(values):
    middle = statistics.median(values)
    return f"{middle:10.2f} ({min(values):.2f} to {max(values):.2f})"


def show(row):
    if not row.lodge or not row.peer:
        print(f"  {row.what}: no result", flush=True)
        return
    sign = "<=" if row.better == "less" else ">="
    print(f"  {row.what} [{row.unit}]\n    Lodge {spread(row.lodge)}\n    peer  {spread(row.peer)}\n"
          f"    ratio {row.ratio():.3f}, target {sign} {row.target} {'met' if row.met() else 'MISSED'}", flush=True)
