"""The commands, and which study each of them runs."""

# Command -> (root config, study). Composed studies are called as study(config, folder); the others, without
# a config of their own, as study(words) with what follows on the command line. Imported late.
COMMANDS: dict[str, tuple[str | None, str]] = {
    "train": ("train", "mlplab.cli.train:train"),
    "evaluate": (None, "mlplab.cli.app:evaluate"),
    "limits": (None, "mlplab.cli.limits:limits"),
    "predict": (None, "mlplab.cli.another_file:predict"),
    "reproduce": (None, "mlplab.cli.app:reproduce"),
    "report": (None, "mlplab.report.report:report"),
    "runs": (None, "mlplab.cli.runs:runs"),
    "compare": (None, "mlplab.cli.compare:compare"),
    "redraw": (None, "mlplab.cli.redraw:redraw"),
    "relu_approximation": ("relu_approximation", "mlplab.studies.relu.study:relu_approximation"),
    "lif": ("lif", "mlplab.studies.lif.study:lif"),
    "spiking": ("spiking", "mlplab.studies.lif.spiking_study:spiking"),
    "benchmark": (None, "mlplab.benchmarks.benchmark:benchmark"),
    "playground": (None, "mlplab.cli.playground:write_playground"),
    "faults": (None, "mlplab.faults.campaign:faults"),
    "tensorboard": (None, "mlplab.cli.tensorboard:tensorboard"),
}

# Commands whose first words may be run folders.
TAKES_RUNS = ("spiking",)

# Commands that answer --help themselves.
OWN_HELP = ("runs", "compare", "redraw", "tensorboard")
