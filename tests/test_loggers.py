import json
import struct
import zlib

import pytest
import torch
from google.protobuf import json_format
from lightning.pytorch import LightningModule, Trainer
from tensorboard import context
from tensorboard.backend.event_processing import data_provider, event_accumulator, plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups
from tensorboard.util import tensor_util
from torch.utils.data import DataLoader

from mlplab.runs.events import flatten, image_size, read_events, split
from mlplab.runs.metrics import read
from mlplab.training.loggers import CSVLogger, TensorBoardLogger

GIF = bytes.fromhex("474946383961030002008000000000 00ffffff2c00000000030002000002038c8f05003b")


def png(width, height, shade):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes([shade]) * (3 * width)) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def accumulate(folder):
    everything = {kind: 0 for kind in ("scalars", "images", "tensors")}
    return event_accumulator.EventAccumulator(str(folder), size_guidance=everything).Reload()


def scalars(folder, tag):
    return [(event.step, event.value) for event in accumulate(folder).Scalars(tag)]


class HParams:
    """TensorBoard's own HPARAMS backend over a log folder."""

    def __init__(self, logdir):
        everything = {kind: 0 for kind in ("scalars", "tensors")}
        multiplexer = plugin_event_multiplexer.EventMultiplexer(tensor_size_guidance=everything)
        multiplexer.AddRunsFromDirectory(str(logdir))
        multiplexer.Reload()
        provider = data_provider.MultiplexerDataProvider(multiplexer, str(logdir))
        backend = backend_context.Context(base_plugin.TBContext(data_provider=provider))
        request = context.RequestContext()
        self.experiment = get_experiment.Handler(request, backend, "", api_pb2.GetExperimentRequest()).run()
        columns = [api_pb2.ColParams(hparam=info.name) for info in self.experiment.hparam_infos]
        columns += [api_pb2.ColParams(metric=info.name) for info in self.experiment.metric_infos]
        wanted = api_pb2.ListSessionGroupsRequest(
            start_index=0, slice_size=10_000, col_params=columns, allowed_statuses=list(api_pb2.Status.values())
        )
        response = list_session_groups.Handler(request, backend, "", wanted).run()
        self.rows = {group.name: group for group in response.session_groups}

    def metrics(self, name):
        values = self.rows[name].sessions[0].metric_values
        return {f"{v.name.group}:{v.name.tag}": (v.value, v.training_step) for v in values}


def test_train_and_val_are_sibling_runs_with_the_same_tags(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    for epoch in range(3):
        row = {"train/loss": epoch + 0.5, "val/loss": epoch + 0.25, "val/a/b": 1.0, "lr": 0.125}
        logger.log_metrics(row | {"epoch": epoch}, step=10 * epoch)
    assert list(tmp_path.iterdir()) == []
    logger.flush()
    assert scalars(tmp_path / "train", "loss") == [(0, 0.5), (10, 1.5), (20, 2.5)]
    assert scalars(tmp_path / "val", "loss") == [(0, 0.25), (10, 1.25), (20, 2.25)]
    assert scalars(tmp_path / "val", "a/b") == [(0, 1.0), (10, 1.0), (20, 1.0)]
    assert accumulate(tmp_path).Tags()["scalars"] == ["lr"]


def test_buffered_values_are_written_when_they_are_old(tmp_path):
    now = [100.0]
    logger = TensorBoardLogger(tmp_path, flush_every_s=5.0, clock=lambda: now[0])
    for seconds in (0.0, 4.9):
        now[0] = 100.0 + seconds
        logger.log_metrics({"lr": seconds}, step=0)
    assert list(tmp_path.iterdir()) == []
    now[0] = 105.0
    logger.log_metrics({"lr": 5.0}, step=1)
    assert len(scalars(tmp_path, "lr")) == 3
    assert [event.wall_time for event in accumulate(tmp_path).Scalars("lr")] == [100.0, 104.9, 105.0]


def test_every_image_is_retrievable(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    pictures = {step: png(5, 4, step) for step in range(40)}
    for step, picture in pictures.items():
        logger.log_image("decision_map", picture, step)
    logger.log_image("decision_map_animated", GIF, 39)
    logger.flush()
    found = accumulate(tmp_path)
    images = found.Images("decision_map")
    assert {image.step: image.encoded_image_string for image in images} == pictures
    assert {(image.width, image.height) for image in images} == {(5, 4)}
    (animation,) = found.Images("decision_map_animated")
    assert animation.encoded_image_string == GIF and (animation.width, animation.height) == (3, 2)


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"BM......", b"\xff\xd8\xff\xe0"])
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(ValueError, match="PNG or GIF"):
        image_size(data)


def test_the_config_is_text(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    logger.log_config("seed: 0\nname: é\n")
    logger.flush()
    found = accumulate(tmp_path)
    (event,) = found.Tensors("config")
    text = tensor_util.make_ndarray(event.tensor_proto).item().decode()
    assert text == "```yaml\nseed: 0\nname: é\n```"
    assert found.SummaryMetadata("config").plugin_data.plugin_name == "text"


CONFIG = {
    "seed": 0,
    "model": {"_target_": "mlplab.nn.mlp.MLP", "hidden": [100, 10], "width": 16, "depth": None, "bias": True},
    "optimizer": {"lr": 1e-3},
    "activation": "relu",
}


def run(folder, seed, accuracy, status="success", name=None):
    logger = TensorBoardLogger(folder / "tensorboard", name=name)
    logger.log_hyperparams(CONFIG | {"seed": seed})
    for epoch in range(3):
        logger.log_metrics({"train/loss": 1.0 / (epoch + 1), "val/loss": 2.0}, step=epoch)
    logger.log_final({"test/accuracy": accuracy, "fresh/accuracy_regret": 0.5}, step=2, status=status)


def test_n_runs_are_n_rows_with_their_final_metrics(tmp_path):
    for seed in range(12):
        run(tmp_path / f"seed={seed:02d}", seed, seed / 16, status="failed" if seed == 3 else "success")
    table = HParams(tmp_path)
    assert sorted(table.rows) == [f"seed={seed:02d}/tensorboard" for seed in range(12)]
    columns = {info.name for info in table.experiment.hparam_infos}
    model = {"model.hidden", "model.width", "model.depth", "model.bias"}
    assert columns == model | {"seed", "optimizer.lr", "activation"}
    metrics = {(info.name.group, info.name.tag) for info in table.experiment.metric_infos}
    final = {("", "test/accuracy"), ("", "fresh/accuracy_regret")}
    assert metrics == final | {("train", "loss"), ("val", "loss")}
    for seed in range(12):
        row = table.rows[f"seed={seed:02d}/tensorboard"]
        assert table.metrics(row.name)[":test/accuracy"] == (seed / 16, 2)
        assert table.metrics(row.name)["train:loss"] == (pytest.approx(1 / 3), 2)
        assert row.hparams["seed"].number_value == seed
        assert row.hparams["model.width"].number_value == 16
        assert row.hparams["model.hidden"].string_value == "[100, 10]"
        assert row.hparams["model.depth"].string_value == "none"
        assert row.hparams["model.bias"].bool_value is True
        (session,) = row.sessions
        assert session.status == (api_pb2.STATUS_FAILURE if seed == 3 else api_pb2.STATUS_SUCCESS)
        assert session.end_time_secs >= session.start_time_secs > 0


def test_a_diverged_run_does_not_take_the_page_down(tmp_path):
    logger = TensorBoardLogger(tmp_path / "a" / "tensorboard")
    logger.log_hyperparams({"lr": float("inf"), "noise": float("nan")})
    logger.log_metrics({"train/loss": float("nan")}, step=1)
    logger.log_final({"test/nll": float("nan"), "fresh/nll": float("inf")}, step=1, status="failed")
    (row,) = HParams(tmp_path).rows.values()
    text = json_format.MessageToJson(row)
    assert json.loads(text)["hparams"] == {"lr": "inf", "noise": "nan"}


def test_there_is_no_hp_metric_and_no_experiment_record(tmp_path):
    run(tmp_path / "a", 0, 0.5)
    found = accumulate(tmp_path / "a" / "tensorboard")
    assert sorted(found.Tags()["scalars"]) == ["fresh/accuracy_regret", "test/accuracy"]
    assert not any("experiment" in tag or "hp_metric" in tag for tag in found.Tags()["tensors"])


def test_a_run_folder_opened_by_itself_has_its_row(tmp_path):
    run(tmp_path, 7, 0.25)
    table = HParams(tmp_path)
    assert list(table.rows) == ["tensorboard"]
    assert table.metrics("tensorboard")[":test/accuracy"] == (0.25, 2)


def test_runs_of_one_name_in_two_folders_are_two_rows(tmp_path):
    run(tmp_path / "first" / "a", 0, 0.25)
    run(tmp_path / "second" / "a", 0, 0.75)
    assert sorted(HParams(tmp_path).rows) == ["first/a/tensorboard", "second/a/tensorboard"]
    run(tmp_path / "third" / "a", 0, 0.75, name="named")
    assert HParams(tmp_path).metrics("named")[":test/accuracy"] == (0.75, 2)


def test_a_run_that_goes_on_is_shown_as_running(tmp_path):
    logger = TensorBoardLogger(tmp_path / "a" / "tensorboard")
    logger.log_hyperparams(CONFIG)
    logger.log_metrics({"train/loss": 1.0}, step=0)
    logger.flush()
    (row,) = HParams(tmp_path).rows.values()
    assert row.sessions[0].status == api_pb2.STATUS_UNKNOWN


def log_epochs(logger, epochs):
    for epoch in epochs:
        logger.log_metrics({"train/loss": epoch / 8, "val/loss": epoch / 4, "lr": 0.5}, step=25 * epoch)
        if epoch in (1, 2, 4, 8):
            logger.log_image("decision_map", png(2, 2, epoch), 25 * epoch)


@pytest.mark.parametrize("stop", [-1, 0, 3, 4, 9])
@pytest.mark.parametrize("ended", [None, "failed", "final"])
def test_a_resumed_run_shows_each_step_once(tmp_path, stop, ended):
    whole = TensorBoardLogger(tmp_path / "whole" / "tensorboard")
    whole.log_hyperparams(CONFIG)
    log_epochs(whole, range(10))
    whole.log_final({"test/accuracy": 0.5}, step=225)

    folder = tmp_path / "resumed" / "tensorboard"
    first = TensorBoardLogger(folder)
    first.log_hyperparams(CONFIG)
    log_epochs(first, range(min(stop + 3, 10)))
    first.flush()
    if ended == "failed":
        first.finalize("failed")
    if ended == "final":
        first.log_final({"test/accuracy": 0.25}, step=25 * stop)
    second = TensorBoardLogger(folder)
    second.purge(25 * stop if stop >= 0 else -1)
    second.log_hyperparams(CONFIG)
    log_epochs(second, range(stop + 1, 10))
    second.log_final({"test/accuracy": 0.5}, step=225)

    for run_name, tag in (("train", "loss"), ("val", "loss"), ("", "lr"), ("", "test/accuracy")):
        expected = scalars(tmp_path / "whole" / "tensorboard" / run_name, tag)
        assert scalars(folder / run_name, tag) == expected
    pictures = accumulate(folder).Images("decision_map")
    assert [image.step for image in pictures] == [25, 50, 100, 200]
    starts = [
        event
        for path in folder.glob("events*")
        for event in read_events(path)
        if any(value.tag.endswith("session_start_info") for value in event.summary.value)
    ]
    assert len(starts) == 1
    table = HParams(tmp_path)
    assert table.metrics("resumed/tensorboard") == table.metrics("whole/tensorboard")
    assert table.rows["resumed/tensorboard"].sessions[0].status == api_pb2.STATUS_SUCCESS


@pytest.mark.parametrize("is_in_hparams", [False, True])
def test_a_row_of_hparams_is_ended_after_a_resume_where_one_was_begun(tmp_path, is_in_hparams):
    first = TensorBoardLogger(tmp_path)
    if is_in_hparams:
        first.log_hyperparams(CONFIG)
    log_epochs(first, range(3))
    first.flush()
    second = TensorBoardLogger(tmp_path)
    second.purge(25)
    second.finalize("failed")
    tags = [
        value.tag
        for path in tmp_path.glob("events*")
        for event in read_events(path)
        for value in event.summary.value
        if value.tag.startswith("_hparams_")
    ]
    assert tags == ["_hparams_/session_start_info", "_hparams_/session_end_info"] * is_in_hparams


def test_a_tensorboard_that_is_open_while_a_run_resumes_shows_each_step_once(tmp_path):
    first = TensorBoardLogger(tmp_path)
    log_epochs(first, range(6))
    first.flush()
    viewer = accumulate(tmp_path / "train")
    second = TensorBoardLogger(tmp_path)
    second.purge(75)
    log_epochs(second, range(4, 8))
    second.flush()
    viewer.Reload()
    assert [event.step for event in viewer.Scalars("loss")] == [25 * epoch for epoch in range(8)]


def test_csv_joins_what_lightning_logs_of_an_epoch(tmp_path):
    logger = CSVLogger(tmp_path)
    for epoch in range(3):
        logger.log_metrics({"val/loss": 0.5, "epoch": epoch}, step=25 * epoch)
        logger.save()
        logger.log_metrics({"train/loss": 0.25, "epoch": float(epoch)}, step=25 * epoch)
    logger.log_metrics({"lr": 1e-3}, step=3)
    assert not (tmp_path / "metrics.csv").exists()
    logger.finalize("success")
    assert read(tmp_path / "metrics.csv") == {
        "epoch": [0, 1, 2],
        "step": [0.0, 25.0, 50.0],
        "val/loss": [0.5] * 3,
        "train/loss": [0.25] * 3,
    }


def test_csv_rows_are_written_when_they_are_old_and_complete(tmp_path):
    now = [0.0]
    logger = CSVLogger(tmp_path, flush_every_s=5.0, clock=lambda: now[0])
    logger.log_metrics({"a": 1.0, "epoch": 0})
    now[0] = 6.0
    logger.log_metrics({"b": 1.0, "epoch": 0})
    assert not (tmp_path / "metrics.csv").exists()
    logger.log_metrics({"a": 2.0, "epoch": 1})
    assert (tmp_path / "metrics.csv").read_text() == "epoch,a,b\n0,1.0,1.0\n"


@pytest.mark.parametrize("stop", [-1, 0, 4])
def test_a_resumed_csv_has_the_bytes_of_an_uninterrupted_one(tmp_path, stop):
    def log(logger, epochs):
        for epoch in epochs:
            logger.log_metrics({"train/loss": 1 / (epoch + 1), "epoch": epoch}, step=epoch)
        logger.flush()

    log(CSVLogger(tmp_path / "whole"), range(6))
    log(CSVLogger(tmp_path / "resumed"), range(min(stop + 3, 6)))
    second = CSVLogger(tmp_path / "resumed")
    second.purge(stop)
    log(second, range(stop + 1, 6))
    whole, resumed = (tmp_path / name / "metrics.csv" for name in ("whole", "resumed"))
    assert whole.read_bytes() == resumed.read_bytes()


class Line(LightningModule):
    def __init__(self, slope=0.5):
        super().__init__()
        self.save_hyperparameters()
        self.weight = torch.nn.Parameter(torch.tensor(slope))

    def training_step(self, batch, index):
        loss = (self.weight * batch - 1).square().mean()
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, index):
        self.log("val/loss", self.weight * 0 + 3.0)

    def configure_optimizers(self):
        return torch.optim.SGD([self.weight], lr=0.1)


@pytest.mark.filterwarnings("ignore")
def test_the_loggers_work_under_a_plain_lightning_trainer(tmp_path):
    before = torch.get_rng_state()
    batches = DataLoader(torch.ones(4), batch_size=2)
    loggers = [TensorBoardLogger(tmp_path / "run" / "tensorboard"), CSVLogger(tmp_path / "run")]
    trainer = Trainer(
        max_epochs=3,
        logger=loggers,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(Line(), batches, batches)
    torch.set_rng_state(before)
    columns = read(tmp_path / "run" / "metrics.csv")
    assert columns["epoch"] == [0, 1, 2] and columns["val/loss"] == [3.0] * 3
    curve = scalars(tmp_path / "run" / "tensorboard" / "train", "loss")
    assert [value for _, value in curve] == pytest.approx(columns["train/loss"])
    table = HParams(tmp_path)
    assert table.rows["run/tensorboard"].hparams["slope"].number_value == 0.5
    assert table.rows["run/tensorboard"].sessions[0].status == api_pb2.STATUS_SUCCESS


def test_names_and_parameters_are_split_and_joined():
    assert split("train/loss") == ("train", "loss")
    assert split("test/accuracy") == ("", "test/accuracy")
    assert split("train") == ("", "train")
    assert flatten({"a": {"b": 1, "_target_": "x", "c": {}}, "d": [1]}) == {"a.b": 1, "d": [1]}


def test_nothing_is_written_before_a_flush_and_one_file_a_run_by_it(tmp_path):
    logger = TensorBoardLogger(tmp_path, flush_every_s=float("inf"))
    log_epochs(logger, range(100))
    assert list(tmp_path.iterdir()) == []
    logger.flush()
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 3
    logger.flush()
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 3
