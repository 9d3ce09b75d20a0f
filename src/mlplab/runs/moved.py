"""Classes that stood elsewhere in version 0.1: its run folders stay readable, and mean the same runs."""

# Name in version 0.1 -> name today.
MOVED = {
    "mlplab.training.schedules.Constant": "mlplab.population.schedules.Constant",
    "mlplab.training.schedules.Cosine": "mlplab.population.schedules.Cosine",
    "mlplab.training.schedules.OneCycle": "mlplab.population.schedules.OneCycle",
    "mlplab.training.schedules.Step": "mlplab.population.schedules.Step",
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
    "mlplab.training.optimizers.Adam": "torch.optim.Adam",
    "mlplab.training.optimizers.AdamW": "torch.optim.AdamW",
    "mlplab.training.optimizers.SGD": "torch.optim.SGD",
}
# Keys that version 0.1 did not have -> what it did. They enter no digest where they say so.
ADDED = {
    "module": {"_target_": "mlplab.training.classifier.Classifier"},
    "monitor": "val/nll",
    "mode": "min",
    "init_from": None,
    "trainer.engine": "auto",
    "data.with_ends": True,
}
# Keys of single classes that came later still: null, they enter no digest.
LATER = ("callbacks.decision_maps.pair", "data.validation_sha256", "data.test_sha256")
_BEFORE = {today: before for before, today in MOVED.items()}


def name_today(target: object) -> object:
    """Give today's name of a class that a config names, whatever version recorded it."""
    return MOVED.get(target, target) if isinstance(target, str) else target


def name_for_digest(target: object) -> object:
    """Give the name by which a class enters a config's digest: that of version 0.1 where it had one."""
    return _BEFORE.get(target, target) if isinstance(target, str) else target


def with_added(config: dict) -> dict:
    """Complete a recorded config of ``train`` by the keys that version 0.1 did not have."""
    if not {"data", "model", "trainer"} <= config.keys():
        return config
    whole = dict(config)
    for key, value in ADDED.items():
        group, _, name = key.partition(".")
        if key == "data.with_ends" and not str(whole["data"].get("_target_", "")).endswith(".SpiralDataModule"):
            continue
        if name:
            if isinstance(whole[group], dict) and name not in whole[group]:
                whole[group] = whole[group] | {name: value}
        else:
            whole.setdefault(group, value)
    return whole
