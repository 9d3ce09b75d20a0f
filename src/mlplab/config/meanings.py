"""What a person means who types a key of another tool: epochs, lr, width, batch, gpu."""

import re
from collections.abc import Collection

# Word (lower case, without - and _) -> the override that means it; =... where it is one of several.
MEANINGS = {
    **dict.fromkeys(("epoch", "epochs", "nepochs", "numepochs", "maxepochs"), "trainer.max_epochs"),
    **dict.fromkeys(("steps", "step", "maxsteps", "iterations", "iters", "niter"), "trainer.max_steps"),
    **dict.fromkeys(("lr", "learningrate", "eta", "stepsize"), "optimizer.lr"),
    **dict.fromkeys(("wd", "weightdecay", "l2"), "optimizer.weight_decay"),
    **dict.fromkeys(("width", "units", "hiddenunits", "hiddensize", "neurons", "hiddendim"), "model.width"),
    **dict.fromkeys(("depth", "layers", "nlayers", "numlayers", "hiddenlayers"), "model.depth"),
    **dict.fromkeys(("hidden", "hiddenlayersizes", "hiddensizes", "widths"), "model.hidden"),
    **dict.fromkeys(("batch", "batchsize", "bs", "minibatch"), "data.batch_size"),
    **dict.fromkeys(("gpu", "cuda", "usegpu", "gpus"), "trainer.accelerator=gpu"),
    **dict.fromkeys(("cpu", "usecpu", "nocuda"), "trainer.accelerator=cpu"),
    "mps": "trainer.accelerator=mps",
    **dict.fromkeys(("device", "accelerator"), "trainer.accelerator"),
    **dict.fromkeys(("seed", "randomseed", "randomstate", "rng"), "seed"),
    "dataseed": "data.seed",
    **dict.fromkeys(("noise", "sigma", "std"), "data.noise"),
    **dict.fromkeys(("arms", "classes", "nclasses"), "data.arms"),
    **dict.fromkeys(("points", "samples", "n", "nsamples"), "data.points_per_arm"),
    **dict.fromkeys(("dataset", "problem"), "data"),
    "csv": "data=file data.path",
    **dict.fromkeys(("act", "activation", "nonlinearity"), "model.activation"),
    **dict.fromkeys(("dropout", "droprate", "pdrop"), "model.dropout"),
    **dict.fromkeys(("init", "initialisation", "initializer"), "model.initialization"),
    **dict.fromkeys(("optim", "optimiser", "opt", "solver"), "optimizer"),
    **dict.fromkeys(("scheduler", "lrscheduler", "lrschedule"), "schedule"),
    **dict.fromkeys(("criterion", "lossfn", "lossfunction"), "loss"),
    **dict.fromkeys(("network", "net", "arch", "architecture"), "model"),
    **dict.fromkeys(("clip", "gradclip", "gradientclip", "clipgrad", "maxgradnorm"), "trainer.gradient_clip_val"),
    **dict.fromkeys(("precision", "dtype", "double", "float64"), "trainer.precision"),
    **dict.fromkeys(("threads", "numthreads", "nthreads"), "trainer.threads"),
    **dict.fromkeys(("workers", "numworkers", "jobs", "njobs", "processes"), "launcher.workers"),
    **dict.fromkeys(("patience", "earlystopping", "earlystop"), "callbacks=early_stopping"),
    **dict.fromkeys(("out", "output", "outputdir", "outdir", "logdir", "savedir", "logs", "log"), "paths.logs"),
    **dict.fromkeys(("trials", "ntrials"), "search.trials"),
    **dict.fromkeys(("checkpoint", "ckpt", "ckptpath", "restore", "continue"), "resume"),
}


def meaning(key: str, known: Collection[str] | None = None) -> str | None:
    """Give the override that a key of another tool stands for, or None.

    Args:
        key: as it was typed, such as ``"num-epochs"`` or ``"model.lr"``.
        known: the keys that there are; None to believe the table.
    """
    found = MEANINGS.get(re.sub(r"[^a-z0-9]", "", key.rpartition(".")[2].lower()))
    if found is None or found == key:
        return None
    first = re.split(r"[= ]", found)[0]
    return found if known is None or first in (*known, "resume") else None


def meant(key: str, value: str = "", known: Collection[str] | None = None) -> str:
    """Give "; did you mean trainer.max_epochs=20?" for a key of another tool, or nothing.

    Args:
        key: as it was typed.
        value: what was given for it.
        known: the keys that there are.
    """
    found = meaning(key, known)
    if found is None:
        return ""
    ready = "=" in found.rpartition(" ")[2]
    return f"; did you mean {found}{f'={value}' if value and len(value) < 40 and not ready else ''}?"
