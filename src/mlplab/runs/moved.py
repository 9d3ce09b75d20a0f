"""Classes that stood elsewhere in version 0.1: its run folders stay readable, and mean the same runs."""

# Name in version 0.1 -> name today.
MOVED = {
    "mlplab.core.currents.Constant": "mlplab.studies.lif.currents.Constant",
    "mlplab.core.currents.FileSamples": "mlplab.studies.lif.currents.FileSamples",
    "mlplab.core.currents.OrnsteinUhlenbeck": "mlplab.studies.lif.currents.OrnsteinUhlenbeck",
    "mlplab.core.currents.Poisson": "mlplab.studies.lif.currents.Poisson",
    "mlplab.core.currents.Ramp": "mlplab.studies.lif.currents.Ramp",
    "mlplab.core.currents.Sine": "mlplab.studies.lif.currents.Sine",
    "mlplab.core.currents.Step": "mlplab.studies.lif.currents.Step",
    "mlplab.core.lif.Neuron": "mlplab.studies.lif.neuron.Neuron",
    "mlplab.core.losses.CrossEntropy": "mlplab.nn.losses.CrossEntropy",
    "mlplab.core.mlp.MLP": "mlplab.nn.mlp.MLP",
    "mlplab.core.surrogate.SpikingMLP": "mlplab.studies.lif.surrogate.SpikingMLP",
    "mlplab.training.data.BlobsDataModule": "mlplab.data.modules.BlobsDataModule",
    "mlplab.training.data.CirclesDataModule": "mlplab.data.modules.CirclesDataModule",
    "mlplab.training.data.FileDataModule": "mlplab.data.modules.FileDataModule",
    "mlplab.training.data.MoonsDataModule": "mlplab.data.modules.MoonsDataModule",
    "mlplab.training.data.SpiralDataModule": "mlplab.data.modules.SpiralDataModule",
    "mlplab.training.data.XorDataModule": "mlplab.data.modules.XorDataModule",
    "mlplab.training.optimizers.Adam": "mlplab.population.optimizers.Adam",
    "mlplab.training.optimizers.AdamW": "mlplab.population.optimizers.AdamW",
    "mlplab.training.optimizers.SGD": "mlplab.population.optimizers.SGD",
}
_BEFORE = {today: before for before, today in MOVED.items()}


def name_today(target: object) -> object:
    """Give today's name of a class that a config names, whatever version recorded it."""
    return MOVED.get(target, target) if isinstance(target, str) else target


def name_for_digest(target: object) -> object:
    """Give the name by which a class enters a config's digest: that of version 0.1 where it had one."""
    return _BEFORE.get(target, target) if isinstance(target, str) else target
