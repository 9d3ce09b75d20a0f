"""What a promise of so many seconds means on the machine at hand."""

import sys
import time

REFERENCE_S = 0.008  # of the loop below, on the machine that the promises were measured on


def slowness() -> float:
    """How many times as long as there plain Python takes here and now, tracing for coverage included; at least 1."""
    best = float("inf")
    for _ in range(5):
        begin = time.process_time()
        total = 0
        for number in range(200_000):
            total += number * number
        best = min(best, time.process_time() - begin)
    return max(1.0, best / REFERENCE_S) * (3.0 if sys.gettrace() is not None else 1.0)
