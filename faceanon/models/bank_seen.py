"""What the eye saw on contact sheets of the generator's faces; used only to make the bank."""

from __future__ import annotations

# among the samples, seeds 0 to 319
SEEN: dict[str, frozenset[int]] = {
    "glasses": frozenset((
        0, 10, 15, 16, 26, 39, 46, 48, 54, 56, 60, 71, 72, 85, 86, 92, 104, 134, 135, 138, 140, 141, 158, 160, 163, 175, 195, 206, 209, 214, 215, 218, 224, 226,
        227, 238, 239, 242, 249, 269, 271, 274, 286, 302, 303, 309,
    )),
    "fringe": frozenset((
        3, 10, 11, 12, 14, 19, 23, 28, 35, 38, 43, 46, 57, 59, 63, 65, 70, 77, 89, 92, 100, 101, 102, 104, 112, 114, 116, 126, 130, 146, 156, 174, 186, 188, 192,
        205, 216, 229, 245, 246, 252, 258, 283, 285, 292, 299, 302, 309,
    )),
    "hat": frozenset((5, 47, 105, 111, 133, 144, 183, 237, 256, 258, 272, 275, 307)),
    "child": frozenset((
        12, 19, 28, 35, 38, 67, 88, 108, 115, 117, 130, 146, 153, 156, 157, 171, 186, 188, 190, 205, 216, 221, 222, 235, 243, 245, 246, 259, 277, 282, 295, 300,
        308,
    )),
}

# of the shortlist, by what was wrong with them
_REASONS: dict[str, tuple[int, ...]] = {
    "hair over the brows or in the face": (1481, 2490, 2698, 4042, 4466, 7398, 7953, 21744, 22298, 23702),
    "a hat, a scarf or a shawl": (1016, 9775, 23377, 23460),
    "patches of sun or shadow, or coloured light": (3578, 5443, 7122, 7458, 10318, 13991, 14713, 14831, 16862, 17342, 19521, 20705, 21626, 22655),
    "reads as the other sex than the classifier says, or as either": (3952, 12974, 14317, 16052, 19714, 19748),
    "a stain on the chin, bared teeth": (3156, 22062),
}
DROPPED: dict[int, str] = {seed: reason for reason, seeds in _REASONS.items() for seed in seeds}
