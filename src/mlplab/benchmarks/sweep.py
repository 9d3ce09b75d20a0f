"""The 64-run sweep against ordinary ways: whole, in training alone, in bookkeeping and in scale."""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from mlplab.benchmarks.benchmark import Row, installed, row
from mlplab.benchmarks.peers import EPOCHS, bare_loop, jax_trainer
from mlplab.config.composition import compose
from mlplab.data.modules import SpiralDataModule
from mlplab.training.fit import fit_members

WIDTHS, DEPTHS, SEEDS = (16, 32, 64, 128), (1, 2, 3, 4), (0, 1, 2, 3)
JOBS = len(WIDTHS) * len(DEPTHS) * len(SEEDS)
SWEEP = ("model.width=16,32,64,128", "model.depth=1,2,3,4", "seed=0,1,2,3")
QUIET = ("logger=none", "figures=none", "callbacks.decision_maps=null", "callbacks.progress=null", "trainer=cpu")
MOST_ROUNDS = 3
NOT_INSTALLED = "not installed: pip install 'mlplab[bench]'"


def rows(repeats: int, logs: Path) -> Iterator[Row]:
    """Yield the rows of the benchmark ``sweep``: of at most three rounds, the work of one is minutes."""
    torch.set_num_threads(1)
    rounds = min(repeats, MOST_ROUNDS)
    yield from whole_rows(rounds)
    yield from training_rows(rounds)
    yield from bookkeeping_rows()
    yield from scale_rows()
    yield from composing_rows()
    yield from gpu_rows()


def whole_rows(rounds: int) -> Iterator[Row]:
    """Time the whole sweep from the shell, and the ordinary way on four of its jobs, in turn."""
    work = f"the {JOBS}-run sweep, {EPOCHS} epochs, all folders, maps and TensorBoard files"
    folder = Path(tempfile.mkdtemp())
    owns, ordinaries, reports = [], [], []
    try:
        for number in range(rounds):
            logs = folder / str(number)
            owns.append(timed(["-m", "mlplab.cli.app", "train", "-m", *SWEEP, f"paths.logs={logs}"]))
            (sweep,) = (logs / "sweep").iterdir()
            multiply(sweep, logs / "thousand", 16)
            reports.append(timed(["-m", "mlplab.cli.app", "report", str(logs / "thousand")]))
            few = timed(
                [
                    "-m",
                    "mlplab.benchmarks.ordinary",
                    "-m",
                    "width=16,128",
                    "depth=1,4",
                    f"hydra.sweep.dir={logs}/ordinary",
                ]
            )
            none = timed(["-c", "import hydra, lightning, matplotlib.figure, tensorboard"])
            # The four corners of the grid cost on average what the grid does; imports are paid once.
            ordinaries.append(none + (few - none) / 4 * JOBS)
            print(f"  whole sweep, round {number + 1}/{rounds}", file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    own, ordinary, report = map(statistics.median, (owns, ordinaries, reports))
    yield row(
        work,
        "mlplab train -m",
        own,
        ratio=ordinary / own,
        target="at least 30x the ordinary way",
        ok=ordinary >= 30 * own,
    )
    yield row(work, "Hydra's basic launcher, ordinary LightningModule (from 4 jobs)", ordinary, ratio=1.0)
    yield row(
        "report on 1,024 runs, figures included, from the shell",
        "mlplab report",
        report,
        target="under 2 s",
        ok=report < 2,
    )


def multiply(sweep: Path, target: Path, times: int) -> None:
    """Make a sweep folder of many seeds from one of few: the same files under other names, linked and not copied."""
    record = json.loads((sweep / "sweep.json").read_text())
    entries = []
    for entry in record["jobs"]:
        for copy in range(times):
            name = f"{entry['name']}-{copy}"
            shutil.copytree(sweep / entry["name"], target / name, copy_function=os.link)
            seed = entry["swept"]["seed"] + len(SEEDS) * copy
            digest = f"{copy:02d}{entry['config_digest'][2:]}"
            entries.append({**entry, "name": name, "config_digest": digest, "swept": {**entry["swept"], "seed": seed}})
    (target / "sweep.json").write_text(json.dumps({**record, "name": target.name, "jobs": entries}))


def timed(words: list[str]) -> float:
    """Run a Python command and give its seconds.

    Raises:
        RuntimeError: it failed.
    """
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"}
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed: {done.stderr[-2000:]}")
    return time.perf_counter() - start


def settings() -> Iterator[list[int]]:
    """Yield the hidden widths of the sweep's settings."""
    for depth in DEPTHS:
        for width in WIDTHS:
            yield [width] * depth


def training_rows(rounds: int) -> Iterator[Row]:
    """Time the training of the 64 networks alone, on one core each way: the systems in turn at each setting."""
    work = f"training alone, the same {JOBS}, one core"
    data = SpiralDataModule()
    data.setup()
    peer = JaxPeer() if installed("jax") else None
    taken: dict[str, dict[str, list[float]]] = {"own": {}, "bare": {}, "jax": {}}
    compiling = 0.0
    for number in range(rounds):
        for hidden in settings():
            configs = [
                compose("train", [f"model.hidden={hidden}", f"seed={seed}", f"trainer.max_epochs={EPOCHS}", *QUIET])
                for seed in SEEDS
            ]
            own = fit_members(configs, [None] * len(configs))[0]["seconds"]["fit"]
            start = time.perf_counter()
            bare_loop(hidden, *data.train)
            found = {"own": own, "bare": (time.perf_counter() - start) * len(SEEDS)}
            if peer is not None:
                if number == 0:
                    compiling += peer.seconds(hidden)
                found["jax"] = peer.seconds(hidden)
            for system, seconds in found.items():
                taken[system].setdefault(str(hidden), []).append(seconds)
            print(f"  training {hidden}, round {number + 1}/{rounds}", file=sys.stderr, flush=True)
    own, bare, jax = (sum(map(statistics.median, times.values())) for times in taken.values())
    yield row(
        work,
        "mlplab, validation each epoch included",
        own,
        ratio=bare / own,
        target="at least 3x the bare loop",
        ok=bare >= 3 * own,
    )
    yield row(work, "bare torch loop per run (autograd, fused Adam; one seed of four)", bare, ratio=1.0)
    for name, seconds, target, ok in (
        ("JAX vmap and scan, compiling included", compiling, "slower than mlplab", own < compiling),
        ("JAX vmap and scan, compiled before", jax, "mlplab within 1.3x", own <= 1.3 * jax),
    ):
        if peer is None:
            yield row(work, name, None, target=target, note=NOT_INSTALLED)
        else:
            yield row(work, name, seconds, ratio=bare / seconds, target=target, ok=ok, own_over_peer=own / seconds)


class JaxPeer:
    """JAX on one core, in a process of its own: whole trainings jitted, four seeds stacked by vmap."""

    def __init__(self) -> None:
        program = "from mlplab.benchmarks.sweep import jax_main; jax_main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def seconds(self, hidden: list[int]) -> float:
        """Train networks of some hidden widths; the first time they are compiled too."""
        self.process.stdin.write(json.dumps(hidden) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"JAX failed at {hidden}")
        return float(answer)


def jax_main() -> None:
    """Print JAX's seconds for each line of hidden widths that comes in."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    data = SpiralDataModule()
    data.setup()
    trainers: dict[str, Any] = {}
    for line in sys.stdin:
        if line not in trainers:
            trainers[line] = jax_trainer(json.loads(line), data.train.x.numpy(), data.train.y.numpy(), len(SEEDS))
        train, keys = trainers[line]
        start = time.perf_counter()
        train(keys)
        print(time.perf_counter() - start, flush=True)


def bookkeeping_rows() -> Iterator[Row]:
    """Time all that is not training: folders, files, TensorBoard, the map; of members that train one epoch."""
    count = 32
    with tempfile.TemporaryDirectory() as place:
        options = ["trainer.max_epochs=1", "figures=map", "callbacks.progress=null", "trainer=cpu"]
        configs = [compose("train", [f"seed={seed}", *options]) for seed in range(count)]
        folders = [Path(place) / str(seed) for seed in range(count)]
        for path in folders:
            path.mkdir()
        fit_members(configs[:1], [None])  # what the first fit of a process pays once
        start = time.process_time()
        fit_members(configs, folders)
        seconds = (time.process_time() - start) / count
    yield row(
        "bookkeeping of a run: folder, files, TensorBoard, map",
        "mlplab, CPU time, one epoch included",
        seconds,
        target="at most 0.15 s a run",
        ok=seconds <= 0.15,
    )


def scale_rows() -> Iterator[Row]:
    """Train 1,000 and 10,000 members, each count in a process of its own, for time and memory."""
    figures = {}
    for members in (1000, 10000):
        program = f"from mlplab.benchmarks.sweep import scale_main; scale_main({members})"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        figures[members] = json.loads(done.stdout.splitlines()[-1])
    small, large = figures[1000], figures[10000]
    growth = large["seconds"] / small["seconds"]
    work = "members of 2-32-32-4 for 5 epochs"
    for members, found in figures.items():
        grown = members == 10000
        yield row(
            f"{members:,} {work}",
            f"mlplab, peak memory {found['bytes'] / 2**30:.2f} GiB",
            found["seconds"],
            ratio=growth if grown else 1.0,
            target="time grows no faster than members (10x)" if grown else "",
            ok=growth <= 10 if grown else None,
            bytes=found["bytes"],
        )


def scale_main(members: int) -> None:
    """Print seconds of fit and peak bytes of one population."""
    from omegaconf import OmegaConf

    base = OmegaConf.to_container(
        compose("train", ["model.hidden=[32,32]", "trainer.max_epochs=5", "data.fresh_points=0", *QUIET])
    )
    configs = [{**base, "seed": seed, "data": {**base["data"], "order_seed": seed}} for seed in range(members)]
    results = fit_members(configs, [None] * members)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": results[0]["seconds"]["fit"], "bytes": peak}))


def composing_rows() -> Iterator[Row]:
    """Time the composing of 1,000 jobs as the launcher does it."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from mlplab.config.composition import check_plain, conf_folder, resolved
    from mlplab.sweeps.composer import Composer

    with initialize_config_dir(str(conf_folder()), version_base="1.3", job_name="mlplab"):
        loader = GlobalHydra.instance().config_loader()
        from hydra.types import RunMode

        master = loader.load_configuration("train", [], RunMode.MULTIRUN)
        start = time.perf_counter()
        composer = Composer(loader, master, resolved, check_plain)
        for number in range(1000):
            composer.compose(
                [f"model.width={4 + number % 50}", f"seed={number}", f"optimizer.lr={1e-3 * (1 + number % 7)}"]
            )
        seconds = time.perf_counter() - start
    yield row("composing 1,000 jobs", "mlplab", seconds, target="under 30 s", ok=seconds < 30)


def gpu_rows() -> Iterator[Row]:
    """Train 10,000 members of 2-64-64-4 for 100 epochs on a GPU, where there is one."""
    work, target = "10,000 members of 2-64-64-4 for 100 epochs on a GPU", "20 s of fit on one H100"
    if not torch.cuda.is_available():
        yield row(work, "mlplab trainer=gpu", None, target=target, note="no GPU here")
        return
    from omegaconf import OmegaConf

    options = [word for word in QUIET if word != "trainer=cpu"] + ["trainer=gpu", "data.fresh_points=0"]
    base = OmegaConf.to_container(compose("train", ["model.hidden=[64,64]", "trainer.max_epochs=100", *options]))
    configs = [{**base, "seed": seed, "data": {**base["data"], "order_seed": seed}} for seed in range(10000)]
    seconds = statistics.median(fit_members(configs, [None] * 10000)[0]["seconds"]["fit"] for _ in range(1))
    yield row(work, f"mlplab on {torch.cuda.get_device_name()}", seconds, target=target, ok=seconds <= 20)
