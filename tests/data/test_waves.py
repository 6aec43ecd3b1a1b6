import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ardm.data import waves
from ardm.data.provenance import Refused

EVERY = np.arange(-32_768, 32_768).astype(np.int16)
RATE = 8000


def wav(samples, rate=RATE, subtype="PCM_16"):
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format="WAV", subtype=subtype)
    return out.getvalue()


def test_linear_classes_are_the_samples():
    values = waves.encode(EVERY, "linear")
    assert values.dtype == np.uint16
    np.testing.assert_array_equal(values, np.arange(65_536))
    np.testing.assert_array_equal(waves.decode(values, "linear"), EVERY)


def test_mu_law_keeps_its_classes_and_the_order_of_samples():
    classes = np.arange(256)
    decoded = waves.decode(classes, "mu-law")
    np.testing.assert_array_equal(waves.encode(decoded, "mu-law"), classes)
    assert (np.diff(decoded) > 0).all()
    values = waves.encode(EVERY, "mu-law")
    assert values.dtype == np.uint8
    assert (np.diff(values.astype(int)) >= 0).all()
    assert set(values.tolist()) == set(range(256))


def test_mu_law_errs_little_where_it_is_quiet():
    error = np.abs(waves.decode(waves.encode(EVERY, "mu-law"), "mu-law").astype(int) - EVERY)
    assert error[np.abs(EVERY.astype(int)) < 100].max() <= 6
    assert (error <= 0.025 * np.abs(EVERY.astype(int)) + 4).all()
    assert waves.encode(np.zeros(1, np.int16), "mu-law") == 128


NINE = wav(np.zeros(9, np.int16))


@given(arrays.arrays(np.int16, st.integers(1, 50)), st.sampled_from([8000, 44_100]))
def test_a_file_comes_back(samples, rate):
    found, own, bits = waves.read(waves.write(samples, rate))
    np.testing.assert_array_equal(found, samples)
    assert (own, bits) == (rate, 16)


def test_a_file_of_8_bits_comes_back_as_it_was():
    samples = (np.arange(-128, 128) << 8).astype(np.int16)
    content = wav(samples, subtype="PCM_U8")
    found, rate, bits = waves.read(content)
    np.testing.assert_array_equal(found, samples)
    assert waves.write(found, rate, bits) == content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (wav(np.zeros(9), subtype="FLOAT"), r"kind of samples \(FLOAT, expected 8 or 16 bit PCM\)"),
        (wav(np.zeros(9, np.int32), subtype="PCM_24"), "PCM_24"),
        (wav(np.zeros((9, 2), np.int16)), r"several channels \(2, expected one"),
        (wav(np.zeros(0, np.int16)), "no samples"),
        (b"RIFF", "damaged WAV file"),
        (b"", "damaged WAV file"),
        (b"\x89PNG" * 20, "damaged WAV file"),
        (NINE[:24] + struct.pack("<I", 0) + NINE[28:], "rate of 0|damaged WAV file"),
    ],
)
def test_other_files_are_refused_with_the_reason(content, reason):
    with pytest.raises(Refused, match=reason):
        waves.read(content)


@pytest.mark.parametrize(("rate", "wanted"), [(16_000, 8000), (8000, 16_000), (44_100, 16_000)])
def test_resampling_keeps_the_frequency_of_a_tone(rate, wanted):
    tone = np.rint(20_000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.int16)
    found = waves.resample(tone, rate, wanted)
    assert len(found) == pytest.approx(wanted, abs=2)
    loudest = np.abs(np.fft.rfft(found)).argmax() * wanted / len(found)
    assert loudest == pytest.approx(440, abs=1)
    assert np.abs(found).max() == pytest.approx(20_000, rel=0.02)


def test_frequencies_that_no_longer_fit_are_removed():
    tone = np.rint(20_000 * np.sin(2 * np.pi * 6000 * np.arange(16_000) / 16_000)).astype(np.int16)
    assert np.abs(waves.resample(tone, 16_000, 8000)[500:-500]).max() < 200


def test_a_sound_writes_what_it_decodes():
    sound = waves.Sound(RATE, "mu-law")
    values = np.arange(256, dtype=np.uint8).reshape(256, 1, 1)
    found, rate, _ = waves.read(sound.wav(values))
    assert rate == RATE
    np.testing.assert_array_equal(found, sound.samples(values).reshape(-1))
