import pytest
from tensorboard.compat.tensorflow_stub import pywrap_tensorflow

from mlplab.runs.crc32c import crc32c, crc32c_each


def data(size):
    return bytes((i * i * 7 + i // 3 + size) % 256 for i in range(size))


@pytest.mark.parametrize("size", [0, 1, 4, 63, 4095, 4096, 4097, 4160, 8191, 8192, 10_001, 40_000])
def test_the_checksum_is_that_of_tensorboard(size):
    assert crc32c(data(size)) == pywrap_tensorflow.crc32c(data(size))


def test_the_checksum_of_the_standard():
    # RFC 3720, appendix B.4.
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(4096)) == pywrap_tensorflow.crc32c(bytes(4096))


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 200])
def test_many_strings_are_summed_as_each_alone(count):
    sizes = [(i * i * 11) % 400 for i in range(count)] + [4095, 4096, 5000][: count // 30]
    strings = [data(size) for size in sizes]
    assert crc32c_each(strings) == [pywrap_tensorflow.crc32c(string) for string in strings]


def test_strings_of_one_length_and_of_none():
    assert crc32c_each([data(8)] * 50) == [pywrap_tensorflow.crc32c(data(8))] * 50
    assert crc32c_each([b""] * 50) == [0] * 50
    assert crc32c_each([b"\xff" * size for size in range(8)] * 9) == [
        pywrap_tensorflow.crc32c(b"\xff" * size) for size in range(8)
    ] * 9
