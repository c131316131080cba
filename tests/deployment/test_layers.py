"""The built layers: small, reproducible, whole, and able to do everything the untrimmed packages do."""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.deployment.commands import find_command
from tests.deployment.elf_file import SharedLibrary, loaded_bytes, newest, read_shared_library

from build_layers import Built, build_layer
from layer_build import bytecode, omissions, wheels
from layer_build.build import MB, ROOT, python_version
from layer_build.tree import files_of
from vision.draw import overlay
from vision.image import decode, open_photo
from vision.results import Detections
from vision.runner import OnnxRunner

pytestmark = pytest.mark.slow

MACHINES = {"x86_64": "EM_X86_64", "arm64": "EM_AARCH64"}
# Amazon Linux 2023: glibc 2.34, and libstdc++ of GCC 11 (https://gcc.gnu.org/onlinedocs/libstdc++/manual/abi.html).
NEWEST = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13), "GCC": (11, 0)}
# Those of glibc, GCC and zlib that Amazon Linux 2023 has in its smallest image, and so Lambda's Python.
SYSTEM = {
    *("libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0", "libutil.so.1"),
    *("ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libgcc_s.so.1", "libstdc++.so.6", "libz.so.1"),
}
PROBE = Path(__file__).with_name("layer_probe.py")
LAYERS = {"RuntimeLayer": "layers/runtime", "CoreLayer": "layers/core"}


@pytest.fixture(scope="module", params=MACHINES)
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("layers")


@pytest.fixture(scope="module")
def built(architecture: str, layers: Path) -> dict[str, Built]:
    return {name: build_layer(name, ROOT / source, architecture, layers) for name, source in LAYERS.items()}


@pytest.fixture
def packages(architecture: str, built: dict[str, Built], layers: Path) -> Path:
    return layers / architecture / "RuntimeLayer" / "python"


def test_the_runtime_layer_keeps_to_its_budget(built: dict[str, Built]) -> None:
    assert built["RuntimeLayer"].size < 100 * MB
    assert built["RuntimeLayer"].zipped < 40 * MB


def test_the_same_inputs_give_the_same_zip_elsewhere_and_under_another_umask(
    architecture: str, built: dict[str, Built], tmp_path: Path
) -> None:
    before = os.umask(0o077)
    try:
        again = {
            name: build_layer(name, ROOT / source, architecture, tmp_path / "a longer path with spaces")
            for name, source in LAYERS.items()
        }
    finally:
        os.umask(before)

    assert again == built


def test_sam_builds_the_same_files_with_the_same_modes_and_times(
    architecture: str, built: dict[str, Built], layers: Path, tmp_path: Path
) -> None:
    sam = find_command("sam", ".venv-sam")

    for name in LAYERS:
        subprocess.run(
            [sam, "build", name, "--template", ROOT / "template.yaml", "--build-dir", tmp_path / name],
            env={
                **os.environ,
                "ARCHITECTURE": architecture,
                "PYTHON": sys.executable,
                "SAM_CLI_TELEMETRY": "0",
            },
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )

        assert _listing(tmp_path / name / name) == _listing(layers / architecture / name)


def test_the_portal_is_built_the_same_elsewhere_and_by_sam(tmp_path: Path) -> None:
    sam = find_command("sam", ".venv-sam")
    first, again = (
        build_layer("PortalFunction", ROOT / "functions" / "portal", "x86_64", tmp_path / name)
        for name in ("one", "a longer path with spaces")
    )
    subprocess.run(
        [
            sam,
            "build",
            "PortalFunction",
            "--template",
            ROOT / "template.yaml",
            "--build-dir",
            tmp_path / "sam",
        ],
        env={
            **os.environ,
            "PYTHON": sys.executable,
            "SAM_CLI_TELEMETRY": "0",
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    built = tmp_path / "one" / "x86_64" / "PortalFunction"

    assert first == again
    assert _listing(tmp_path / "sam" / "PortalFunction") == _listing(built)
    assert first.size < 2 * MB
    assert (built / "docs" / "swagger-ui.LICENSE").read_text().lstrip().startswith("Apache License")
    assert (built / "openapi.json").read_bytes() == (ROOT / "functions/portal/openapi.json").read_bytes()


def test_every_library_is_for_the_processor_and_runs_on_amazon_linux_2023(
    architecture: str, packages: Path
) -> None:
    libraries = _libraries(packages)

    versions = [version for library in libraries.values() for version in library.versions]
    assert len(libraries) > 30
    assert {library.machine for library in libraries.values()} == {MACHINES[architecture]}
    assert {prefix: newest(versions, prefix) <= most for prefix, most in NEWEST.items()} == dict.fromkeys(
        NEWEST, True
    )
    assert newest(versions, "GLIBC") >= (2, 17)


def test_every_library_loads_the_same_bytes_as_that_of_the_wheel(
    architecture: str, packages: Path, tmp_path: Path
) -> None:
    wheels.install(
        ROOT / "layers" / "runtime" / "requirements.lock",
        tmp_path,
        python=python_version(),
        architecture=architecture,
    )

    for path in _shared_objects(packages):
        original = tmp_path / path.relative_to(packages)
        assert loaded_bytes(path.read_bytes()) == loaded_bytes(original.read_bytes()), path.name


def test_every_library_finds_those_it_is_linked_to_in_the_layer_or_the_system(packages: Path) -> None:
    missing = [
        f"{path.name} -> {name}"
        for path, library in _libraries(packages).items()
        for name in library.needed
        if name not in SYSTEM and not any((folder / name).is_file() for folder in library.search_path)
    ]

    assert missing == []


def test_no_library_in_the_layer_is_left_without_a_user(packages: Path) -> None:
    libraries = _libraries(packages)
    needed = {name for library in libraries.values() for name in library.needed}

    bundled = {path.name for path in libraries if path.parent.name.endswith(".libs")}

    assert bundled - needed == set()


def test_nothing_that_is_left_out_is_there(packages: Path) -> None:
    found = [
        pattern
        for patterns in omissions.OMISSIONS.values()
        for pattern in patterns
        if list(packages.glob(pattern))
    ]

    assert found == []


def test_every_package_carries_its_licence(packages: Path) -> None:
    installed = {path.name.split("-")[0] for path in packages.glob("*.dist-info")}
    licensed = {
        path.relative_to(packages).parts[0].split("-")[0]
        for pattern in ("*.dist-info/**/LICEN[CS]E*", "onnxruntime/LICENSE")
        for path in packages.glob(pattern)
    }

    assert {"numpy", "onnxruntime", "pillow", "aws_lambda_powertools", "pybase64"} <= installed
    assert installed - licensed == set()


def test_every_module_is_compiled_and_its_source_is_beside_it(
    architecture: str, built: dict[str, Built], layers: Path
) -> None:
    version = python_version()
    if bytecode.find_interpreter(version) is None:
        pytest.skip(f"no Python {version}: the layers are built without bytecode")
    tag = f"cpython-{version.replace('.', '')}"

    for name in LAYERS:
        modules = [path for path in files_of(layers / architecture / name) if path.suffix == ".py"]
        assert modules
        compiled = [path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc" for path in modules]
        assert [str(path) for path in compiled if not path.is_file()] == []
        # PEP 552: 1 = tied to a hash of the source, which nobody checks; then no stat, no time.
        assert {path.read_bytes()[4] for path in compiled} == {1}


# ------------------------------------------------------------------------------------- what the layers can do


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    ramp = np.linspace(0, 255, 120 * 160).reshape(120, 160).astype(np.uint8)
    rgb = Image.fromarray(np.stack([ramp, ramp[:, ::-1], 255 - ramp], axis=-1))
    turned = Image.Exif()
    turned[0x0112] = 6
    forms: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "photo.png": (rgb, {}),
        "gray16.png": (Image.fromarray(ramp.astype(np.uint16) * 257), {}),
        "turned.jpg": (rgb, {"quality": 90, "exif": turned}),
        "progressive.jpg": (rgb, {"progressive": True}),
        "cmyk.jpg": (rgb.convert("CMYK"), {}),
        "lossy.webp": (rgb, {"quality": 80}),
        "lossless.webp": (rgb.convert("RGBA"), {"lossless": True}),
        "palette.gif": (rgb.convert("P"), {}),
        "plain.bmp": (rgb, {}),
        "turned.avif": (rgb, {"exif": turned}),
        **{
            f"{name}.tiff": (rgb, {"compression": name})
            for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "zstd", "lzma", "packbits")
        },
    }
    for name, (image, options) in forms.items():
        image.save(folder / name, **options)
    return folder


@pytest.fixture(scope="module")
def probed(photos: Path, layers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What layer_probe.py left, run by Lambda's Python with the layers of this machine's processor alone."""
    version = python_version()
    interpreter = bytecode.find_interpreter(version)
    if interpreter is None:
        pytest.skip(f"no Python {version}, that of the functions: name one in LAMBDA_PYTHON")
    own = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine())
    if own is None or sys.platform != "linux":
        pytest.skip("the layers are for Linux on x86_64 and arm64")
    opt, results = tmp_path_factory.mktemp("opt"), tmp_path_factory.mktemp("results")
    for name, source in LAYERS.items():
        place = layers / own / name
        if not place.is_dir():
            build_layer(name, ROOT / source, own, layers)
        shutil.copytree(place, opt, dirs_exist_ok=True)
    ran = subprocess.run(
        [interpreter, "-I", "-S", "-B", PROBE, opt / "python", photos, ROOT / "models", results],
        env={"AWS_DEFAULT_REGION": "eu-central-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    (results / "stdout").write_text(ran.stdout)
    (results / "stderr").write_text(ran.stderr)
    return results


def test_every_format_is_decoded_as_by_the_untrimmed_packages(photos: Path, probed: Path) -> None:
    for path in sorted(photos.iterdir()):
        expected = decode(open_photo(path.read_bytes(), max_pixels=10**8)).rgb(10**8)
        assert _difference(np.load(probed / f"{path.name}.npy"), expected) < 1, path.name


def test_exif_orientation_is_applied(probed: Path) -> None:
    assert (
        np.load(probed / "turned.jpg.npy").shape == np.load(probed / "turned.avif.npy").shape == (160, 120, 3)
    )


@pytest.mark.parametrize(("name", "loss"), [("png", 0.01), ("jpeg", 8), ("webp", 8), ("avif", 8)])
def test_a_photo_is_encoded_so_that_it_can_be_read_again(
    photos: Path, probed: Path, name: str, loss: float
) -> None:
    encoded = (probed / f"encoded.{name}").read_bytes()

    with Image.open(io.BytesIO(encoded)) as image, Image.open(photos / "photo.png") as original:
        assert image.format == name.upper()
        assert _difference(np.asarray(image.convert("RGB")), np.asarray(original)) < loss


def test_what_image_transforms_need_is_there(probed: Path) -> None:
    transformed = np.load(probed / "transformed.npy")

    assert transformed.shape == (70, 90, 3)
    assert transformed.std() > 10


def test_every_model_gives_what_the_untrimmed_packages_give(probed: Path) -> None:
    models = sorted((ROOT / "models").glob("*/model.onnx"))
    assert models
    for path in models:
        runner = OnnxRunner(path, 1)
        with np.load(probed / f"{path.parent.name}.npz") as found:
            inputs = {name[3:]: found[name] for name in found.files if name.startswith("in ")}
            for name, expected in runner.run(inputs).items():
                np.testing.assert_allclose(found[f"out {name}"], expected, rtol=1e-3, atol=1e-3)


def test_a_box_is_drawn_with_its_label(probed: Path) -> None:
    drawn = np.load(probed / "overlay.npy")
    box = Detections(
        boxes=np.array([[20, 30, 90, 80]], np.float32),
        scores=np.array([0.9], np.float32),
        class_ids=np.array([0], np.int64),
    )
    photo = np.zeros((120, 160, 3), np.uint8)
    answer: Any = SimpleNamespace(result=box, rgb=photo, width=160, height=120, label=lambda _: "Hund")

    assert _difference(drawn, overlay(answer)) < 1
    assert _difference(drawn, photo) > 1


def test_powertools_logs_measures_and_reports_the_failures_of_a_batch(probed: Path) -> None:
    lines = [json.loads(line) for line in (probed / "stdout").read_text().splitlines()]

    log, metric, batch = lines
    assert (log["message"], log["count"], log["service"]) == ("a line", 1, "probe")
    assert metric["Photos"] == [3.0]
    assert batch == {"batchItemFailures": [{"itemIdentifier": "bad"}]}


def test_nothing_is_warned_of(probed: Path) -> None:
    assert (probed / "stderr").read_text() == ""


def _listing(folder: Path) -> list[tuple[str, int, float, bytes]]:
    return [
        (str(path.relative_to(folder)), path.stat().st_mode, path.stat().st_mtime, path.read_bytes())
        for path in files_of(folder)
    ]


def _libraries(packages: Path) -> dict[Path, SharedLibrary]:
    return {path: read_shared_library(path) for path in _shared_objects(packages)}


def _shared_objects(packages: Path) -> Iterator[Path]:
    return (path for path in packages.rglob("*.so*") if path.is_file())


def _difference(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Mean absolute difference of two pictures, 0..255."""
    assert found.shape == expected.shape
    return float(np.abs(found.astype(float) - expected.astype(float)).mean())
