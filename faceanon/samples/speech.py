"""Speech that nobody said: how far a mouth is open over time, and a sound of vowels and hisses that follows it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SOUND_RATE = 24000  # samples a second
_SYLLABLES = 4.6  # a second
_FORMANTS = ((730, 1090, 2440), (270, 2290, 3010), (530, 1840, 2480), (570, 840, 2410), (300, 870, 2240))  # Hz; Peterson and Barney, 1952

Spans = tuple[tuple[float, float], ...]  # (start_s, stop_s) in which somebody speaks


def openness(moments_s: NDArray[np.float64], spans: Spans, seed: int) -> NDArray[np.float64]:
    """0 closed to 1 open at each moment."""
    strength = np.random.default_rng(seed).uniform(0.35, 1.0, 4096)
    phase = moments_s * _SYLLABLES + 0.35 * np.sin(moments_s * 2.3 + seed % 7)
    syllable = np.floor(phase).astype(int) % len(strength)
    wave = np.sin(np.pi * (phase % 1)) ** 1.3 * strength[syllable]
    pause = np.clip(6 * np.sin(moments_s * 1.9 + seed % 5) + 4.5, 0, 1)  # a breath every three seconds or so
    return wave * pause * _gate(moments_s, spans)


def _gate(moments_s: NDArray[np.float64], spans: Spans) -> NDArray[np.float64]:
    inside = [np.clip(np.minimum(moments_s - start, stop - moments_s) / 0.12, 0, 1) for start, stop in spans]
    return np.max(inside, axis=0) if inside else np.zeros_like(moments_s)


def voice(duration_s: float, spans: Spans, seed: int, pitch_hz: float) -> NDArray[np.float32]:
    """(n,) float32 -1..1: harmonics of a gliding pitch, louder near the formants of each syllable's vowel, and noise where the mouth closes."""
    t = np.arange(int(duration_s * SOUND_RATE)) / SOUND_RATE
    rng = np.random.default_rng(seed)
    vowel = np.array(_FORMANTS)[rng.integers(0, len(_FORMANTS), 4096)][np.floor(t * _SYLLABLES).astype(int)]  # (n, 3) Hz
    glide = pitch_hz * (1 + 0.12 * np.sin(1.7 * t + seed % 3) + 0.05 * np.sin(5.1 * t))
    phase = 2 * np.pi * np.cumsum(glide) / SOUND_RATE
    total = np.zeros_like(t)
    for harmonic in range(1, int(3400 / pitch_hz)):
        near = np.exp(-(((harmonic * glide)[:, None] - vowel) / np.array([90, 120, 170])) ** 2) @ np.array([1.0, 0.6, 0.3])
        total += np.sin(harmonic * phase) * near
    loud = openness(t, spans, seed)
    hiss = rng.standard_normal(len(t)) * 0.05 * _gate(t, spans) * np.clip(0.4 - loud, 0, 1)
    return (0.25 * total * loud + hiss + 0.002 * rng.standard_normal(len(t))).astype(np.float32)
