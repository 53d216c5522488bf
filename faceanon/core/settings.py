"""Every setting, as one frozen class per step; loaded strictly from TOML, digested into provenance.

`RunSettings` and `StoreSettings` change where and how fast work is done, `LedgerSettings` and `EvidenceSettings` what is written down beside it, never a
published byte; all other sections enter the digest, which is part of an output's id: change one and videos are published anew.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path

from faceanon.core.errors import SettingsError
from faceanon.core.ids import digest


def _setting(default, note: str, choices: tuple = ()):
    """A field with a note for `faceanon settings`."""
    return field(default=default, metadata={"note": note, "choices": choices})


SCHEMES = frozenset({"abfs", "adl", "az", "gcs", "gs", "hdfs", "memory", "oci", "oss"})  # object stores; never http, never a chain, never this machine's files
_ENDPOINT = re.compile(r"(https?://[A-Za-z0-9.\-]+(:\d+)?/?)?")
ASIDE = ("run", "store", "ledger", "evidence")  # sections that never change a published byte
ENGINES = ("swap", "blur", "pixelate", "fill", "deepprivacy", "cleanir")
VARIANTS = {"deepprivacy": ("best", "keypoints", "paper"), "cleanir": ("best", "vae")}
INPAINTING = tuple(VARIANTS)  # paint from a code, into a hole
DETECTORS = ("centerface", "mtcnn", "yunet")  # in the order in which they are taken as auditors


@dataclass(frozen=True)
class PlanSettings:
    segment_seconds: float = _setting(30.0, "about how long a segment is; starts at keyframes")
    max_width_px: int = _setting(16384, "wider or higher videos are quarantined")
    max_streams: int = _setting(64, "more streams in a file than this: quarantined")
    max_duration_s: float = _setting(7 * 86400.0, "longer videos are quarantined")
    max_packets: int = _setting(50_000_000, "files of more packets, of all streams together, are quarantined")
    max_packet_bytes: int = _setting(1 << 28, "files with a larger packet are quarantined")


@dataclass(frozen=True)
class ShotSettings:
    detector: str = _setting("content", "how shots are found; transnet sees gradual changes too, at 13 ms a frame", ("content", "transnet"))
    content_threshold: float = _setting(27.0, "PySceneDetect's content score that proposes a cut")
    adaptive_ratio: float = _setting(3.0, "PySceneDetect's adaptive ratio that proposes a cut")


@dataclass(frozen=True)
class DetectSettings:
    detector: str = _setting("yunet", "yunet, centerface, mtcnn, or a union such as yunet+centerface")
    threshold: float = _setting(0.3, "scores below are not faces")
    sure: float = _setting(0.6, "scores at or above are faces without further proof")
    every: int = _setting(8, "frames between looks of the detector where tracking is sure; a power of two, at most 16")
    width_px: int = _setting(640, "width of the picture that the quick look sees")
    far_width_px: int = _setting(1920, "width of the picture that the look for small faces sees")
    far_every: int = _setting(16, "frames between looks for small faces")


@dataclass(frozen=True)
class TrackSettings:
    min_iou: float = _setting(0.2, "overlap that joins sightings of one face in neighbouring looks")
    max_gap_frames: int = _setting(48, "longest gap between two sightings of one track")
    hold_frames: int = _setting(5, "frames covered before the first and after the last sighting, within the shot")
    pad: float = _setting(0.18, "share of a face's size added on each side of its cover")
    min_track_sightings: int = _setting(2, "fewer sightings than this, with low scores: obscured, not swapped")


@dataclass(frozen=True)
class IdentitySettings:
    scope: str = _setting("video", "how far a person keeps the same new face", ("video", "collection", "archive"))
    link_distance: float = _setting(0.5, "average embedding distance below which tracklets are one person")
    min_face_px: int = _setting(32, "narrower faces are not embedded; they become people of their own")


@dataclass(frozen=True)
class RenderSettings:
    engine: str = _setting("swap", "what is painted over a face", ENGINES)
    variant: str = _setting("best", "net of deepprivacy (keypoints, paper) or cleanir (vae); the others are baselines", ("best", "keypoints", "paper", "vae"))
    weights: str = _setting("", "file of weights for deepprivacy or cleanir, ours or of the published layouts; for cleanir's, the folder of encoder.h5 and decoder.h5")
    weights_sha256: str = _setting("", "digest that the weights must have; worked out when a run starts")
    mask: str = _setting("face", "what of the painted crop is shown; box is the whole square, as the original systems show it", ("face", "box"))
    angle_degrees: float = _setting(120.0, "how far cleanir turns a person's code; from 90 down people are recognised, 180 could be turned back without the key")
    min_face_px: int = _setting(24, "narrower faces are obscured, not swapped")
    tries: int = _setting(12, "synthetic people that swap tries on somebody at most, until one stays steady; 1 takes the first: one and a half seconds less for each")
    beta: float = _setting(0.7, "how far the face's shape moves to the synthetic person's, 0..1")
    min_mesh_score: float = _setting(0.5, "mesh fits below this are obscured")
    max_yaw_deg: float = _setting(50.0, "profiles beyond this are obscured")
    check_every: int = _setting(12, "frames between comparisons of the new face with the original")
    strength: float = _setting(1.0, "scale of blur radius, pixel size and noise, 1 = cannot be recognised")


@dataclass(frozen=True)
class EncodeSettings:
    quality: int = _setting(20, "constant quality in x264's scale; mapped for other encoders")
    preset: str = _setting("superfast", "x264 and x265 preset")
    threads: int = _setting(2, "encoder threads; x264, x265 and VP9 bytes change with it")
    copy_clean: bool = _setting(True, "segments without faces are copied, packet by packet, where the container allows")
    audio: str = _setting("copy", "what becomes of audio", ("copy", "mute"))
    subtitles: str = _setting("copy", "what becomes of subtitles", ("copy", "drop"))


@dataclass(frozen=True)
class VerifySettings:
    auditor: str = _setting("auto", "detector that looks at the output; auto = the first that the run itself does not use", ("auto", "centerface", "mtcnn", "yunet"))
    every_s: float = _setting(1.0, "seconds between sampled output frames")
    threshold: float = _setting(0.5, "auditor scores below are not faces")
    width_px: int = _setting(640, "width of the picture that the auditor sees")
    max_repairs: int = _setting(2, "renderings after leaks, before a video is quarantined")


@dataclass(frozen=True)
class RunSettings:
    workers: int = _setting(0, "actors per phase; 0 = from the machine's resources")
    device: str = _setting("auto", "auto, cpu or cuda", ("auto", "cpu", "cuda"))
    max_attempts: int = _setting(3, "attempts at one segment before its video is quarantined")
    unit_limit_s: float = _setting(3600.0, "longest that one try at a unit of work may take, for up to a minute of video; more in proportion")
    wave_videos: int = _setting(256, "videos in work at a time")
    kept_pictures_mb: int = _setting(1024, "memory in which --local keeps a short video's pictures between looking and painting; 0 = it is decoded for each")
    scratch_dir: str = _setting("", "private working space; empty = the system's temporary folder")
    scratch_gb: float = _setting(64.0, "most that scratch may hold")
    media_memory_gb: float = _setting(8.0, "most memory of a process that reads a video's bytes")
    media_stall_s: float = _setting(120.0, "seconds without a packet or a frame after which reading a video is given up")
    media_cpu_s: float = _setting(86400.0, "CPU seconds after which one reading of a video is given up")


@dataclass(frozen=True)
class StoreSettings:
    buckets: str = _setting("", "the only buckets that may be named, separated by commas; empty = any")
    schemes: str = _setting("", "further schemes that sources may be read from, separated by commas, such as gs or abfs; their fsspec package must be installed")
    endpoint: str = _setting("", "address of the S3 service; empty = AWS_ENDPOINT_URL, or Amazon's own")
    whole_mb: float = _setting(64.0, "larger objects are read in parts where their container allows; changing it names objects of sizes in between anew")


@dataclass(frozen=True)
class ModelSettings:
    licences: str = _setting("any", "commercial refuses weights that may not be used commercially", ("any", "commercial"))
    threads: int = _setting(1, "threads of each model on CPU")


@dataclass(frozen=True)
class C2paSettings:
    sign: bool = _setting(False, "write signed content credentials into mp4 and mov outputs: faces were replaced by synthetic ones (needs faceanon[c2pa])")
    certificate: str = _setting("", "file of the signer's certificate chain, PEM, on every node; empty = a chain of its own that follows from the keystore")
    key: str = _setting("", "file of the signer's key, PEM, Ed25519 or EC P-256; empty with the certificate")


@dataclass(frozen=True)
class LedgerSettings:
    boxes_days: int = _setting(30, "days for which the ledger keeps where each face was, frame by frame; 0 = it is never written")
    compact_files: int = _setting(64, "files of one table and day beyond which they are made into one at the end of a run; 0 = never")


@dataclass(frozen=True)
class EvidenceSettings:
    key: str = _setting("", "file of the key that signs the ledger's checkpoints, made once; empty = a key that follows from the keystore")
    mirror: str = _setting("", "second place for signed checkpoints, out of reach of whoever can write OUT: a folder or s3:// prefix; empty = none")
    lock_days: int = _setting(0, "days for which the mirror's store must refuse to delete a checkpoint (Object Lock, compliance mode); 0 = none")


@dataclass(frozen=True)
class Settings:
    plan: PlanSettings = PlanSettings()
    shots: ShotSettings = ShotSettings()
    detect: DetectSettings = DetectSettings()
    track: TrackSettings = TrackSettings()
    identity: IdentitySettings = IdentitySettings()
    render: RenderSettings = RenderSettings()
    encode: EncodeSettings = EncodeSettings()
    verify: VerifySettings = VerifySettings()
    models: ModelSettings = ModelSettings()
    run: RunSettings = RunSettings()
    store: StoreSettings = StoreSettings()
    c2pa: C2paSettings = C2paSettings()
    ledger: LedgerSettings = LedgerSettings()
    evidence: EvidenceSettings = EvidenceSettings()

    def digest(self) -> str:
        """64 hex digits over every section that can change a published byte: settings of equal digest give equal output."""
        aside = {*ASIDE} if self.c2pa.sign else {*ASIDE, "c2pa"}
        return digest("settings", json.dumps({k: v for k, v in dataclasses.asdict(self).items() if k not in aside}, sort_keys=True))

    def with_values(self, **values: object) -> Settings:
        """A copy with `section__key=value` changed; None leaves a value as it is. Raises SettingsError."""
        table: dict[str, dict[str, object]] = {}
        for name, value in values.items():
            if value is not None:
                section, key = name.split("__")
                table.setdefault(section, {})[key] = value
        return from_table(table, base=self)


def names(text: str) -> frozenset[str]:
    """The words of a setting that lists some, separated by commas."""
    return frozenset(word.strip() for word in text.split(",") if word.strip())


def auditor_of(settings: Settings) -> str:
    """The detector that looks at the output: never one that the run itself looked with."""
    if settings.verify.auditor != "auto":
        return settings.verify.auditor
    return next(name for name in DETECTORS if name not in settings.detect.detector.split("+"))


def detectors_used(settings_json: str) -> frozenset[str]:
    """Every detector that a run with these settings looked with, its auditor too; read from any version's settings. All there are where they do not say."""
    values = json.loads(settings_json)
    looked = str(values.get("detect", {}).get("detector", "+".join(DETECTORS))).split("+")
    auditor = values.get("verify", {}).get("auditor", "auto")
    if auditor == "auto":
        auditor = next((name for name in DETECTORS if name not in looked), "")
    return frozenset({*looked, auditor} - {""})


def load(path: Path) -> Settings:
    """Settings from a TOML file; what it leaves out keeps its default. Raises SettingsError naming file, section and key."""
    return from_table(read_toml(path), source=str(path))


def read_toml(path: Path) -> dict:
    """Raises SettingsError where there is no such file, or it is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror}", source=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"is not TOML: {error}", source=str(path)) from error


def from_table(table: dict, *, base: Settings | None = None, source: str = "") -> Settings:
    """`base` (or the defaults) with the values of a nested dict. Unknown names and wrong types are errors, not ignored."""
    settings = base or Settings()
    changed = {}
    for section, values in table.items():
        if section not in {f.name for f in dataclasses.fields(Settings)}:
            raise SettingsError(f"no such section: [{section}]; there are {', '.join(f.name for f in dataclasses.fields(Settings))}", source=source)
        if not isinstance(values, dict):
            raise SettingsError(f"[{section}] is not a table", source=source)
        changed[section] = _section(getattr(settings, section), section, values, source)
    settings = dataclasses.replace(settings, **changed)
    _check(settings, source)
    return settings


def _section(current, section: str, values: dict, source: str):
    known = {f.name: f for f in dataclasses.fields(current)}
    hints = typing.get_type_hints(type(current))
    for key, value in values.items():
        if key not in known:
            raise SettingsError(f"no such setting: {section}.{key}; there are {', '.join(known)}", source=source)
        wanted = hints[key]
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            value = values[key] = float(value)
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise SettingsError(f"{section}.{key} must be {wanted.__name__}: got {value!r}", source=source)
        choices = known[key].metadata["choices"]
        if choices and value not in choices:
            raise SettingsError(f"{section}.{key} must be one of {', '.join(choices)}: got {value!r}", source=source)
    return dataclasses.replace(current, **values)


def _check(settings: Settings, source: str) -> None:
    detectors = settings.detect.detector.split("+")
    rules = [
        (0 < settings.plan.segment_seconds < math.inf, "plan.segment_seconds must be above 0 and finite"),
        (settings.run.workers >= 0, "run.workers must be 0 or more"),
        (set(detectors) <= set(DETECTORS), f"detect.detector must be made of {', '.join(DETECTORS)}, joined by +: got {settings.detect.detector!r}"),
        (set(detectors) < set(DETECTORS), "detect.detector uses every detector there is; one must be left to audit the output"),
        (settings.detect.every in (1, 2, 4, 8, 16), "detect.every must be 1, 2, 4, 8 or 16"),
        (settings.detect.far_every in (1, 2, 4, 8, 16), "detect.far_every must be 1, 2, 4, 8 or 16"),
        (0 < settings.detect.threshold <= settings.detect.sure < 1, "detect.threshold must be above 0 and at most detect.sure, which is below 1"),
        (settings.track.hold_frames >= 0, "track.hold_frames must be 0 or more"),
        (settings.track.pad >= 0, "track.pad must be 0 or more"),
        (0 <= settings.encode.quality <= 51, "encode.quality must be 0 to 51"),
        (settings.encode.threads >= 1, "encode.threads must be 1 or more"),
        (settings.render.strength >= 1, "render.strength must be 1 or more"),
        (1 <= settings.render.tries <= 16, "render.tries must be 1 to 16"),
        (100 <= settings.render.angle_degrees <= 170, "render.angle_degrees must be 100 to 170: less hides nobody, and nearer to 180 the key hides nothing"),
        (settings.render.variant in VARIANTS.get(settings.render.engine, ("best",)), f"render.variant {settings.render.variant} is not one of {settings.render.engine}"),
        (not settings.render.weights or settings.render.engine in INPAINTING, f"render.weights are for {' and '.join(INPAINTING)}"),
        (settings.render.mask == "face" or settings.render.engine in INPAINTING, f"render.mask box is for {' and '.join(INPAINTING)}; others have their own shapes"),
        (settings.verify.every_s > 0, "verify.every_s must be above 0"),
        (settings.verify.max_repairs >= 0, "verify.max_repairs must be 0 or more"),
        (settings.verify.auditor not in detectors, f"verify.auditor must differ from detect.detector: both are {settings.verify.auditor!r}"),
        (settings.run.max_attempts >= 1, "run.max_attempts must be 1 or more"),
        (0 < settings.run.unit_limit_s <= 1e6, "run.unit_limit_s must be above 0 and at most 1e6"),
        (settings.run.kept_pictures_mb >= 0, "run.kept_pictures_mb must be 0 or more"),
        (settings.run.wave_videos >= 1, "run.wave_videos must be 1 or more"),
        (bool(_ENDPOINT.fullmatch(settings.store.endpoint)), "store.endpoint must be http(s)://host or http(s)://host:port, without a path and without credentials"),
        (names(settings.store.schemes) <= SCHEMES, f"store.schemes must be some of {', '.join(sorted(SCHEMES))}: got {settings.store.schemes!r}"),
        (settings.store.whole_mb >= 0, "store.whole_mb must be 0 or more"),
        (bool(settings.c2pa.certificate) == bool(settings.c2pa.key), "c2pa.certificate and c2pa.key go together"),
        (settings.ledger.boxes_days >= 0, "ledger.boxes_days must be 0 or more"),
        (settings.ledger.compact_files >= 0, "ledger.compact_files must be 0 or more"),
        (not settings.evidence.lock_days or settings.evidence.mirror.startswith("s3://"), "evidence.lock_days needs an evidence.mirror on s3://"),
        (0 <= settings.evidence.lock_days <= 36500, "evidence.lock_days must be 0 to 36500"),
        (settings.run.media_memory_gb >= 0.5, "run.media_memory_gb must be 0.5 or more"),
        (settings.run.media_stall_s > 0, "run.media_stall_s must be above 0"),
        (settings.run.media_cpu_s >= 1, "run.media_cpu_s must be 1 or more"),
    ]
    for holds, rule in rules:
        if not holds:
            raise SettingsError(rule, source=source)


def describe(settings: Settings) -> str:
    """Every setting with its value and meaning, as TOML that `load` takes back."""
    lines = []
    for section in dataclasses.fields(settings):
        lines.append(f"[{section.name}]")
        for f in dataclasses.fields(getattr(settings, section.name)):
            value = getattr(getattr(settings, section.name), f.name)
            note = f.metadata["note"] + (f" ({' | '.join(f.metadata['choices'])})" if f.metadata["choices"] else "")
            lines.append(f"{f.name} = {json.dumps(value)}  # {note}")
        lines.append("")
    return "\n".join(lines)
