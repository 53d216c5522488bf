"""Makes people_bank.npz: `python -m faceanon.models.bank SCRATCH_DIR`. Not needed to use faceanon; ten minutes of a free CPU.

Sampled seeds are drawn and measured; ridge regression gives the five controls and rough guesses of sex, age, skin, glasses, fringe, hat and
childhood from a style alone. With these guesses thousands of seeds are screened without drawing them, evenly over sex, age and skin;
the shortlist is drawn as it will be used, looking into the camera with a closed mouth, and measured. What no measure sees was
found by eye on the contact sheets that the maker writes, and is listed in DROPPED.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.facecrop import box_of, points_of
from faceanon.core.picture import Image
from faceanon.core.ports import FaceAttributes, FaceEmbedder, FaceMesh
from faceanon.core.settings import ModelSettings
from faceanon.models import people, styles
from faceanon.models.bank_seen import DROPPED, SEEN
from faceanon.models.stylegan import StyleGan
from faceanon.models.styles import Bank

MEAN_OF = 4096  # seeds whose mean style is the mean
SAMPLES = 320  # seeds 0.., drawn as they are
SCREENED = 24_000  # seeds from SAMPLES on, judged by their style alone
IN_CELL = 14  # shortlisted for each of 2 sexes x 5 ages x 4 skins
AGE_SHARES = (0.0, 0.25, 0.5, 0.75, 0.94, 1.0)  # quantiles of the guessed age; the last ones are the few old people
LEAST_AGE = 18.0  # apparent years
KEPT_TRAITS = {"glasses": 0.22, "fringe": 0.3, "hat": 0.15, "child": 0.2}  # guesses above are not drawn at all
RIDGE, RIDGE_TRAITS = 10.0, 30.0

Rows = NDArray[np.float32]


def build(gan: StyleGan, mesh: FaceMesh, reader: FaceAttributes, embedder: FaceEmbedder, scratch: Path) -> Bank:
    """The whole way; drawn seeds are kept in `scratch` and not drawn again."""
    mean = gan.map(np.stack([styles.noise(seed) for seed in range(MEAN_OF)])).mean(0)
    seeds = np.arange(SAMPLES)
    offsets = offsets_of(gan, mean, seeds)
    drawn = [_drawn(gan.synthesize, offset[None] + mean, mesh, reader, scratch / f"raw_{seed:05d}") for seed, offset in zip(seeds, offsets, strict=True)]
    controls, rest = _ridge(offsets, np.stack([control_measures(one["mesh"]) for one in drawn]), RIDGE)
    empty = Bank(np.zeros(0, np.int64), nothing := np.zeros(0, np.float32), nothing, nothing, nothing, mean, controls, rest)
    short = shortlist(gan, mean, offsets, _traits(drawn))
    faces = [_neutral(gan, empty, mesh, reader, int(seed), scratch) for seed in short]
    keep = [row for row, face in enumerate(faces) if _is_usable(face) and int(short[row]) not in DROPPED]
    write_sheets(scratch, [(int(short[row]), scratch / f"face_{short[row]:05d}.png") for row in keep])
    looks = [_look(embedder, scratch / f"face_{short[row]:05d}.png", faces[row]["mesh"]) for row in keep]
    return _bank(empty, short[keep], [faces[row] for row in keep], looks)


def control_measures(mesh: Rows) -> Rows:
    """(5,) yaw, pitch, openness, smile and opening of the lids of a mesh: depths and heights over the distance of the outer eye corners."""
    eyes = np.linalg.norm(mesh[33, :2] - mesh[263, :2])
    smile = (mesh[13, 1] + mesh[14, 1] - mesh[61, 1] - mesh[291, 1]) / 2  # how far the corners lie above the lips
    turns = [mesh[234, 2] - mesh[454, 2], mesh[10, 2] - mesh[152, 2]]
    return np.array([*turns, np.linalg.norm(mesh[13, :2] - mesh[14, :2]), smile, people.lid_opening(mesh) * eyes], np.float32) / eyes


def cheek_light(image: Image, mesh: Rows) -> Rows:
    """(2, 3) mean CIE L*, a*, b* of the picture's left and right cheek."""
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    side = int(0.12 * np.linalg.norm(mesh[33, :2] - mesh[263, :2]))
    centres = [mesh[point, :2].astype(int) for point in (50, 280)]
    return np.stack([lab[y - side : y + side, x - side : x + side].mean((0, 1)) for x, y in centres])


def offsets_of(gan: StyleGan, mean: Rows, seeds: Iterable[int]) -> Rows:
    return styles.TRUNCATION * (gan.map(np.stack([styles.noise(int(seed)) for seed in seeds])) - mean)


def shortlist(gan: StyleGan, mean: Rows, offsets: Rows, traits: Rows) -> NDArray[np.int64]:
    """Seeds that promise to fill every cell of sex, age and skin evenly, without glasses, fringe, hat or childhood, turned little."""
    weights, rest = _ridge(offsets, traits, RIDGE_TRAITS)
    seeds = np.arange(SAMPLES, SCREENED)
    guesses = offsets_of(gan, mean, seeds) @ weights.T + rest
    clean = np.all(guesses[:, :4] < list(KEPT_TRAITS.values()), axis=1) & (np.abs(guesses[:, 4]) < 0.45)
    seeds, guesses = seeds[clean], guesses[clean]
    sex, age, tone = guesses[:, 5], guesses[:, 6], tone_of(guesses[:, 7:10])
    chosen: list[int] = []
    for female in (0, 1):
        own = np.flatnonzero((sex > 0.5) == female)
        for youngest, oldest in itertools.pairwise(np.quantile(age[own], AGE_SHARES)):
            rows = own[(age[own] >= youngest) & (age[own] < oldest)]
            edges = np.linspace(np.quantile(tone[rows], 0.005), np.quantile(tone[rows], 0.98), 5)  # even in tone, not in number
            for low, high in itertools.pairwise(edges):
                cell = rows[(tone[rows] >= low) & (tone[rows] < high)]
                chosen += [int(seeds[row]) for row in cell[np.argsort(-np.abs(sex[cell] - 0.5), kind="stable")][:IN_CELL]]
    return np.array(sorted(chosen))


def tone_of(skin: Rows) -> Rows:
    """Degrees from dark to light: the individual typology angle of Chardon et al., 1991."""
    return np.degrees(np.arctan2(skin[:, 0] - 50, np.maximum(skin[:, 2], 1)))


def write_sheets(folder: Path, faces: Sequence[tuple[int, Path]], *, columns: int = 8, side_px: int = 160) -> None:
    """sheet_<n>.png with 64 faces each and their seeds: to be looked at."""
    for start in range(0, len(faces), columns * columns):
        tiles = [_tile(seed, np.asarray(cv2.imread(str(path)), np.uint8), side_px) for seed, path in faces[start : start + columns * columns]]
        tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
        sheet = np.vstack([np.hstack(tiles[row : row + columns]) for row in range(0, len(tiles), columns)])
        cv2.imwrite(str(folder / f"sheet_{start // columns**2}.png"), sheet)


def _tile(seed: int, image: Image, side_px: int) -> Image:
    tile = np.asarray(cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8)
    cv2.rectangle(tile, (0, 0), (48, 15), (0, 0, 0), -1)
    cv2.putText(tile, str(seed), (2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1)
    return tile


def _drawn(synthesize, style: Rows, mesh: FaceMesh, reader: FaceAttributes, path: Path) -> dict[str, NDArray]:
    """Mesh, score and attributes of the picture of a style; from `path` if it was drawn before."""
    if not path.with_suffix(".npz").exists():
        image = synthesize(style)
        points = people.fit(mesh, image)
        female, age, skin = reader.read(image, points_of(points), box_of(points))
        cv2.imwrite(str(path.with_suffix(".png")), image)
        np.savez(path.with_suffix(".npz"), mesh=points, look=np.array([female, age, *skin], np.float32), light=cheek_light(image, points))
    with np.load(path.with_suffix(".npz")) as data:
        return dict(data)


def _neutral(gan: StyleGan, bank: Bank, mesh: FaceMesh, reader: FaceAttributes, seed: int, scratch: Path) -> dict[str, NDArray]:
    offset = offsets_of(gan, bank.mean, [seed])[0]
    style = styles.speaking(bank, styles.frontal(bank, offset), *people.VARIANTS[0])
    return _drawn(gan.synthesize, style, mesh, reader, scratch / f"face_{seed:05d}")


def _traits(drawn: Sequence[dict[str, NDArray]]) -> Rows:
    """(N, 10) glasses, fringe, hat, child (seen by eye, 0 or 1), yaw, female, age, L*, a*, b* of the samples."""
    seen = np.array([[seed in SEEN[trait] for trait in KEPT_TRAITS] for seed in range(SAMPLES)], np.float32)
    yaw = np.array([[control_measures(one["mesh"])[0]] for one in drawn])
    return np.concatenate([seen, yaw, np.stack([one["look"] for one in drawn])], axis=1)


def _ridge(offsets: Rows, wanted: Rows, strength: float) -> tuple[Rows, Rows]:
    """weights (K, STYLE) and rest (K,) such that wanted is about offsets @ weights.T + rest."""
    rest = wanted.mean(0)
    solved = np.linalg.solve(offsets @ offsets.T + strength * np.eye(len(offsets)), wanted - rest)
    return (offsets.T @ solved).T.astype(np.float32), rest.astype(np.float32)


def _is_usable(face: dict[str, NDArray]) -> bool:
    """Frontal, mouth closed, grown-up, and lit evenly by white light: a shadow or a coloured lamp would follow the person into every video."""
    yaw, _, opening, _, _ = control_measures(face["mesh"])
    lights, reds, yellows = face["light"].T
    lit = abs(lights[0] - lights[1]) < 15 and lights.min() > 25 and yellows.min() > 3 and reds.max() < 34
    return bool(abs(yaw) < 0.25 and opening < 0.05 and face["look"][1] >= LEAST_AGE and lit)


def _look(embedder: FaceEmbedder, picture: Path, mesh: Rows) -> Rows:
    return embedder.embed(cv2.imread(str(picture)), points_of(mesh), box_of(mesh))


def _bank(empty: Bank, seeds: NDArray[np.int64], faces: Sequence[dict[str, NDArray]], looks: Sequence[Rows]) -> Bank:
    traits = np.stack([face["look"] for face in faces]).astype(np.float32)  # (B, 5)
    return Bank(seeds.astype(np.int64), traits[:, 0], traits[:, 1], traits[:, 2:5], np.stack(looks).astype(np.float16), empty.mean, empty.controls, empty.rest)


def main() -> None:
    from faceanon.models.attributes import FaceReader
    from faceanon.models.embedders import DlibEmbedder
    from faceanon.models.mesh import TfliteMesh

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scratch", type=Path, help="folder for drawn faces and contact sheets")
    scratch = parser.parse_args().scratch
    scratch.mkdir(parents=True, exist_ok=True)
    settings = ModelSettings()
    bank = build(people.generator(settings), TfliteMesh(settings), FaceReader(settings), DlibEmbedder(settings), scratch)
    np.savez(Path(__file__).with_name("people_bank.npz"), **vars(bank))
    print(f"{bank.size} people, {np.mean(bank.female >= 0.5):.0%} women, ages {bank.age.min():.0f} to {bank.age.max():.0f}")


if __name__ == "__main__":
    main()
