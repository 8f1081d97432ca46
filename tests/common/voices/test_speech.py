from dataclasses import replace
from functools import cache

import librosa
import numpy as np
import pytest

from common.voices.emotion import DIMENSIONS, EFFECTS, SPREAD, Expression, express
from common.voices.glottis import pulses
from common.voices.phones import HOP, Array, write_script
from common.voices.prosody import melody
from common.voices.speech import speak
from common.voices.tract import FREQUENCIES, RATE, STEP, analyse, resonances, synthesise, tilt
from common.voices.voice import Voice, draw_voice
from simulations.synthesis.room import PEAK, pink_noise, record, reverberation

UNIFORM = (1.0,) * len(DIMENSIONS)


def plain_voice(gender: str = "female") -> Voice:
    return replace(draw_voice(np.random.default_rng(3), gender), expressiveness=1.0, habits=UNIFORM, level=0.0)


@cache
def measure(emotion: str) -> dict[str, float]:
    """Means over utterances of one voice: F0 in semitones, level and brightness in dB, seconds."""
    pitch, level, bright, seconds = [], [], [], []
    for take in range(16):
        signal = speak(np.random.default_rng(take), plain_voice(), emotion)
        track = librosa.yin(signal, fmin=80, fmax=600, sr=RATE)
        loud = librosa.feature.rms(y=signal)[0] > np.sqrt(np.mean(signal**2))
        power = np.abs(np.fft.rfft(signal)) ** 2
        frequency = np.fft.rfftfreq(len(signal), 1 / RATE)
        pitch.append(12 * np.log2(np.median(track[loud])))
        level.append(10 * np.log10(np.mean(signal**2)))
        bright.append(10 * np.log10(power[frequency > 1000].sum() / power[frequency <= 1000].sum()))
        seconds.append(len(signal) / RATE)
    return {
        "pitch": float(np.mean(pitch)),
        "level": float(np.mean(level)),
        "bright": float(np.mean(bright)),
        "seconds": float(np.mean(seconds)),
    }


@pytest.mark.parametrize(
    ("more", "less", "what"),
    [
        ("anger", "neutral", "pitch"),
        ("happiness", "neutral", "pitch"),
        ("neutral", "sadness", "level"),
        ("anger", "sadness", "pitch"),
        ("anger", "sadness", "level"),
        ("anger", "happiness", "level"),
        ("anger", "happiness", "bright"),
        ("anger", "sadness", "bright"),
        ("sadness", "anger", "seconds"),
        ("sadness", "neutral", "seconds"),
    ],
)
def test_emotions_move_the_sound_as_the_literature_says(more: str, less: str, what: str) -> None:
    assert measure(more)[what] > measure(less)[what]


def test_pitch_is_the_pitch_that_was_meant() -> None:
    pitch = np.full(RATE, 150.0)
    derivative, _ = pulses(np.random.default_rng(0), pitch, RATE, open_quotient=0.6, jitter=0.005, shimmer=0.05)
    assert np.median(librosa.yin(derivative, fmin=60, fmax=400, sr=RATE)) == pytest.approx(150, rel=0.01)


def test_jitter_makes_cycles_irregular() -> None:
    def deviation(jitter: float) -> float:
        pitch = np.full(RATE, 100.0)
        derivative, _ = pulses(np.random.default_rng(0), pitch, RATE, open_quotient=0.6, jitter=jitter, shimmer=0)
        peaks = np.flatnonzero((derivative[1:] > -0.5) & (derivative[:-1] <= -0.5))
        return float(np.std(np.diff(peaks)))

    assert deviation(0.0) < 1 < deviation(0.03)  # in samples


def test_resonances_peak_at_the_formants_scaled_by_the_tract() -> None:
    response = np.abs(resonances(np.array([[500.0, 1500.0, 2500.0]]), 1.1))[0]
    peaks = FREQUENCIES[1:-1][(response[1:-1] > response[:-2]) & (response[1:-1] > response[2:])]
    assert peaks[:3] == pytest.approx([550, 1650, 2750], abs=20)
    assert response[0] == pytest.approx(1)


def test_analysis_and_synthesis_return_the_signal() -> None:
    signal = np.random.default_rng(0).normal(size=100 * STEP)
    inside = slice(4 * STEP, -4 * STEP)
    assert synthesise(analyse(signal))[inside] == pytest.approx(signal[inside])


def test_tilt_falls_by_so_many_decibels_an_octave_above_500_hz() -> None:
    decibels = 20 * np.log10(tilt(-6.0))
    at = [int(np.argmin(np.abs(FREQUENCIES - hertz))) for hertz in (250, 500, 1000, 2000)]
    assert decibels[at] == pytest.approx([0, 0, -6, -12], abs=0.1)


def test_a_script_speaks_at_its_rate() -> None:
    def rate(asked: float) -> float:
        scripts = [write_script(np.random.default_rng(i), rate=asked, pause=0.0) for i in range(40)]
        seconds = sum(len(script.voice) * HOP - 0.2 for script in scripts)  # 0.1 s of silence at each end
        return sum(len(script.nuclei) for script in scripts) / seconds

    assert rate(4.0) == pytest.approx(4.0, rel=0.1)
    assert rate(6.0) == pytest.approx(6.0, rel=0.1)


def test_melody_lies_around_the_voice_and_rises_where_it_should() -> None:
    script = write_script(np.random.default_rng(0), rate=5.0, pause=0.0)

    def course(expression: Expression) -> Array:
        generator = np.random.default_rng(1)
        return 12 * np.log2(melody(generator, script, plain_voice(), expression)[0] / plain_voice().pitch)

    calm = course(Expression())
    assert calm.mean() == pytest.approx(0, abs=1)
    assert course(Expression(pitch=4.0)) == pytest.approx(calm + 4)
    rise = course(Expression(slope=6.0)) - calm
    assert rise[-1] - rise[0] == pytest.approx(6)
    assert course(Expression(span=1.0)).std() > calm.std()


def test_strength_scales_the_mean_effect_and_nothing_else() -> None:
    def pitches(strength: float) -> Array:
        draws = range(400)
        return np.array(
            [express(np.random.default_rng(i), "anger", strength=strength, habits=UNIFORM).pitch for i in draws]
        )

    assert pitches(0.0).mean() == pytest.approx(0, abs=0.3)
    assert pitches(0.0).std() == pytest.approx(SPREAD.pitch, rel=0.1)
    assert pitches(2.0).mean() - pitches(0.0).mean() == pytest.approx(2 * EFFECTS["anger"].pitch, rel=0.1)


def test_women_speak_higher_and_with_shorter_tracts() -> None:
    women = [draw_voice(np.random.default_rng(i), "female") for i in range(20)]
    men = [draw_voice(np.random.default_rng(i), "male") for i in range(20)]
    assert all(a.pitch > b.pitch and a.tract > b.tract for a, b in zip(women, men, strict=True))
    assert len({voice.pitch for voice in women}) == 20


def test_reverberation_decays_by_60_db() -> None:
    response = reverberation(np.random.default_rng(0), RATE, seconds=0.4, below=10)
    energy = np.cumsum(response[:0:-1] ** 2)[::-1]
    decay = 10 * np.log10(energy / energy[0])
    assert decay[0] - decay[round(0.2 * RATE)] == pytest.approx(30, abs=2)  # half of T60, half of 60 dB
    assert energy[0] == pytest.approx(0.1)
    assert response[0] == 1


def test_pink_noise_falls_by_three_decibels_an_octave() -> None:
    noise = pink_noise(np.random.default_rng(0), 4 * RATE)
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequency = np.fft.rfftfreq(len(noise), 1 / RATE)
    low, high = (power[(frequency >= f) & (frequency < 2 * f)].mean() for f in (500, 1000))
    assert 10 * np.log10(low / high) == pytest.approx(3.01, abs=0.5)
    assert np.mean(noise**2) == pytest.approx(1)


def test_a_recording_is_turned_down_before_it_clips() -> None:
    loud = 5 * np.sin(np.arange(RATE) / 10)
    assert np.abs(record(np.random.default_rng(0), loud, RATE)).max() == pytest.approx(PEAK)
    quiet = record(np.random.default_rng(0), loud / 100, RATE)
    assert 0.03 < np.abs(quiet).max() < 0.2
