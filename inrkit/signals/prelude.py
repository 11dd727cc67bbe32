"""The opening of Bach's first cello suite, BWV 1007, from its notes: a sound that needs no file."""

import numpy as np

# Two bars of semiquavers, and the bass note that opens the third.
NOTES = (
    *("G2", "D3", "B3", "A3", "B3", "D3", "B3", "D3") * 2,
    *("G2", "E3", "C4", "B3", "C4", "E3", "C4", "E3") * 2,
    "G2",
)
SEMIQUAVER = 0.205  # seconds: 73 crotchets a minute
LENGTH = 7.0  # seconds
ACCENTS = (1.0, 0.58, 0.62, 0.58, 0.72, 0.55, 0.62, 0.55)  # the bass of each half bar leads
STEPS = {"C": -9, "D": -7, "E": -5, "F": -4, "G": -2, "A": 0, "B": 2}  # semitones from A
HARMONICS = 40

# Resonances of the body, as (frequency in Hz, width in octaves, gain): the air, the wood, the
# bridge.
BODY = ((105, 0.5, 1.0), (190, 0.5, 1.2), (420, 0.7, 0.9), (950, 0.6, 0.5), (2100, 0.7, 0.35))


def pitch(note: str) -> float:
    """Frequency of a note in Hz: equal temperament, A4 at 440 Hz."""
    return 440.0 * 2 ** (STEPS[note[0]] / 12 + int(note[1:]) - 4)


def bach_prelude(rate: int) -> np.ndarray:
    """Two bars of the prelude, bowed, as samples ``(7 * rate,)`` at any rate.

    A tone is a sum of harmonics below half the rate, so that nothing is folded back whatever the
    rate: those of a sawtooth, as a bowed string has, weighed by the body's resonances, the higher
    ones later at the onset, with a vibrato that grows. Each tone rings on into the next.

    Args:
        rate: samples a second.
    """
    samples = np.zeros(round(LENGTH * rate))
    chance = np.random.default_rng(1007)
    begin = 0.03
    for i, note in enumerate(NOTES):
        last = i == len(NOTES) - 1
        held = LENGTH - begin - 0.25 if last else SEMIQUAVER
        loudness = ACCENTS[i % 8] * chance.uniform(0.93, 1.07)  # a bow is never quite even
        tone = loudness * _tone(pitch(note), held, rate, chance)
        first = round(begin * rate)
        part = samples[first : first + len(tone)]
        part += tone[: len(part)]
        begin += SEMIQUAVER * (1.06 if i % 8 == 0 else 0.99) * chance.uniform(0.99, 1.01)
    fade = np.minimum(1, np.arange(len(samples), 0, -1) / (0.1 * rate))
    return samples * fade


def _tone(frequency: float, held: float, rate: int, chance: np.random.Generator) -> np.ndarray:
    """One bowed tone, and how it dies away once the bow has left it."""
    ring = 0.28 if frequency < 150 else 0.16  # open strings ring longer
    t = np.arange(round((held + 3 * ring) * rate)) / rate
    turns = frequency * (t + _vibrato(t))
    bowed = np.where(t < held, 1 - 0.25 * t / held, 0.75 * np.exp(-(t - held) / ring))
    phases, delays = chance.uniform(0, 1, HARMONICS), chance.uniform(0.8, 1.2, HARMONICS)
    tone = np.zeros_like(t)
    for k in range(1, HARMONICS + 1):
        if k * frequency * 1.01 >= rate / 2:  # vibrato included
            break
        onset = 1 - np.exp(-t / (0.012 * delays[k - 1] * (1 + 0.15 * k)))
        damped = np.where(t < held, 1, np.exp(-0.12 * k * np.maximum(t - held, 0) / ring))
        amplitude = _body(k * frequency) / k
        tone += amplitude * onset * damped * np.sin(2 * np.pi * (k * turns + phases[k - 1]))
    return bowed * tone


def _vibrato(t: np.ndarray) -> np.ndarray:
    """How far ahead of time a tone is, in seconds: 5.4 times a second, up to 0.3% sharp or flat."""
    turning = 2 * np.pi * 5.4
    return 0.003 / turning * np.minimum(t / 0.3, 1) * np.sin(turning * t)


def _body(frequency: float) -> float:
    """Gain of the instrument's body."""
    octaves = [(np.log2(frequency / centre) / width, gain) for centre, width, gain in BODY]
    return 0.25 + sum(gain * np.exp(-(x**2)) for x, gain in octaves)
