"""Time to Bayes: CPU seconds of one core from start to an NLL regret of 0.03, 0.01 and 0.005, mean of five draws."""

import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mlplab.benchmarks.benchmark import Row, row
from mlplab.config.composition import compose
from mlplab.training.fit import fit

DRAWS = range(5)
QUICK = ["experiment=near_bayes_polar", "data.batch_size=64"]
# NLL regret to reach: the setting that reaches it soonest, so far.
RECORDS = {
    0.03: [*QUICK, "model.hidden=[64,64]", "model.dropout=0", "optimizer.lr=1e-2", "trainer.max_epochs=5"],
    0.01: [*QUICK, "model.dropout=0.05", "optimizer.lr=5e-3", "trainer.max_epochs=8"],
    0.005: [*QUICK, "model.dropout=0.05", "optimizer.lr=5e-3", "trainer.max_epochs=15"],
}
QUIET = ["logger=none", "figures=none", "callbacks.decision_maps=null", "callbacks.progress=null"]


def rows(repeats: int, logs: Path) -> Iterator[Row]:
    """Yield the rows of the benchmark ``speedrun``: one a finish line, without and with the start of the program.

    The data, their training and the measurement count; the finish line is the exact mean of KL(p || q) on 20,000
    fresh points.
    """
    start = cpu_of_a_start()
    for line, words in RECORDS.items():
        seconds, regrets = [], []
        for draw in DRAWS:
            before = time.process_time()
            config = compose("train", [*words, f"seed={draw}", f"data.seed={draw}", *QUIET])
            regrets.append(fit(config, None)["fresh"]["nll_regret"])
            seconds.append(time.process_time() - before)
        mean, error = statistics.mean(regrets), statistics.stdev(regrets) / math.sqrt(len(regrets))
        one = statistics.median(seconds)
        yield row(
            f"NLL regret {line:g}",
            f"mean of {len(regrets)} draws",
            one,
            target=f"at most {line:g}",
            ok=mean <= line,
            value=mean,
            error=error,
            seconds_with_start=one + start,
            setting=words,
            shown=f"{one:.2f} s CPU, {one + start:.2f} s with the start; {mean:.4f} ± {error:.4f}",
        )


def cpu_of_a_start() -> float:
    """Measure the CPU seconds of a process that imports what training needs and does nothing."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import mlplab.cli.train, mlplab.config.composition"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
