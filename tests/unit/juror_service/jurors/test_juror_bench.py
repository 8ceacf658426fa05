"""What `juror bench` counts and compares: operations an image, the device's peak, and the share of it."""

import numpy as np
import pytest
import torch
from tiny_releases import write_release
from torch.utils.flop_counter import FlopCounterMode

from juror_service.jurors import bench
from juror_service.jurors.bench import Bench, device_peak, measure
from juror_service.jurors.laion import RELEASES
from juror_service.jurors.pocket_network import load_pocket_network
from juror_service.jurors.registry import load_juror


class Free:
    """Says how many operations it takes, and takes none."""

    size, fingerprint, flops_per_image, threads = 8, "free", 1000, 1

    def score(self, images):
        return np.zeros(len(images), np.float32)


class Silent:
    """Says nothing."""

    size, fingerprint = 8, "silent"

    def score(self, images):
        return np.zeros(len(images), np.float32)


def test_the_operations_of_an_onnx_juror_are_those_pytorch_counts_in_the_same_network():
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        load_pocket_network()(torch.zeros(1, 3, 64, 64))
    assert Bench(load_juror("pocket", threads=1)).flops_per_image == counter.get_total_flops() > 1e7


def test_a_juror_that_says_its_operations_is_believed():
    assert Bench(Free()).flops_per_image == 1000


def test_the_share_is_operations_a_second_over_the_peak():
    measured = Bench(Free())
    speed = measured.measure(4, seconds=0.05)
    assert speed.share_of_peak == pytest.approx(speed.images_per_s * 1000 / measured.peak.flops_per_s)
    assert speed.ms_p95 >= speed.ms_p50 > 0


def test_of_a_juror_that_says_nothing_the_share_is_unknown():
    assert [speed.share_of_peak for speed in measure(Silent(), (1, 2), seconds=0.02)] == [None, None]


def test_the_peak_of_a_cpu_is_measured_in_the_jurors_threads_and_leaves_pytorchs_as_they_were():
    before = torch.get_num_threads()
    peak = device_peak("cpu", "torch.float32", threads=1)
    assert torch.get_num_threads() == before
    assert peak.flops_per_s > 1e8
    assert peak.source == "measured: 512×512 matrix product in float32"


@pytest.mark.parametrize(
    ("card", "flops_per_s"),
    [
        ("NVIDIA H100 80GB HBM3", 989.5e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA A10G", 70e12),
    ],
)
def test_the_peak_of_a_known_card_is_its_data_sheets(monkeypatch, card, flops_per_s):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: card)  # no such card is needed to look it up
    peak = device_peak("cuda:0", "torch.bfloat16")
    assert peak.flops_per_s == flops_per_s
    assert card in peak.source


def test_the_peak_of_an_unknown_card_or_of_float32_is_measured(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A1000")
    monkeypatch.setattr(bench, "matmul_flops_per_s", lambda device, dtype, side, threads: 7.0)
    assert device_peak("cuda", "torch.bfloat16").flops_per_s == 7.0
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA L4")
    assert device_peak("cuda", "torch.float32").flops_per_s == 7.0


def test_a_vision_juror_has_its_share_too(tmp_path):
    write_release(tmp_path, RELEASES["mlp"])
    (speed,) = measure(load_juror("laion", weights=tmp_path), (2,), seconds=0.05)
    assert speed.share_of_peak > 0
