"""Rows of results: the same work by Lodge and by a peer."""
import statistics


class Row:
    """`better`: "less" or "more"; `target`: the ratio Lodge aims at; `limit`: instead, what Lodge's figure may be at most."""

    def __init__(self, what, unit, better, target, lodge, peer, limit=None):
        self.what, self.unit, self.better, self.target, self.limit = what, unit, better, target, limit
        self.lodge, self.peer = lodge, peer

    def ratio(self):
        lodge, peer = statistics.median(self.lodge), statistics.median(self.peer)
        return lodge / peer if peer else 1.0 if lodge == 0 else float("inf")

    def met(self):
        if self.limit is not None:
            return statistics.median(self.lodge) <= self.limit
        return self.ratio() <= self.target if self.better == "less" else self.ratio() >= self.target


def spread(values):
    middle = statistics.median(values)
    return f"{middle:10.2f} ({min(values):.2f} to {max(values):.2f})"


def show(row):
    if not row.lodge or not row.peer:
        raise RuntimeError(f"{row.what}: no result")
    aim = f"{'<=' if row.better == 'less' else '>='} {row.target}" if row.limit is None else f"Lodge <= {row.limit} {row.unit}"
    print(f"  {row.what} [{row.unit}]\n    Lodge {spread(row.lodge)}\n    peer  {spread(row.peer)}\n"
          f"    ratio {row.ratio():.3f}, target {aim} {'met' if row.met() else 'MISSED'}", flush=True)
