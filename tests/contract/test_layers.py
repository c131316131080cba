"""How the layers are built: what is left out, what stays, and that the same inputs give the same bytes."""

from __future__ import annotations

import ast
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from PIL import _imaging
from samtranslator.yaml_helper import yaml_parse
from tests.deployment.elf_file import loaded_bytes

import build_layers
from layer_build import build, bytecode, models, omissions, symbols, tree, wheels
from layer_build.build import MB, ROOT

ONE = hashlib.sha256(b"1").hexdigest()
RUNTIME = ROOT / "layers" / "runtime"
RESOURCES = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))["Resources"]


def test_the_lock_pins_every_package_that_is_asked_for_within_what_is_asked_for() -> None:
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+) \\$", _lock(), re.MULTILINE))
    asked = [Requirement(line) for line in (RUNTIME / "requirements.txt").read_text().split()]

    assert asked
    assert [str(each) for each in asked if Version(pinned[each.name]) not in each.specifier] == []


def test_every_pin_has_hashes() -> None:
    lines = [line for line in _lock().splitlines() if not line.startswith("#")]

    assert all(re.match(r"[\w.-]+==\S+ \\$|    --hash=sha256:[0-9a-f]{64}( \\)?$", line) for line in lines)


def test_every_layer_of_the_template_can_be_built() -> None:
    assert {"RuntimeLayer", "CoreLayer", *build.MODEL_LAYERS} == build_layers.content_of_layers(
        RESOURCES
    ).keys()


def test_what_sam_build_runs_keeps_to_the_syntax_of_python_3_9() -> None:
    for path in (ROOT / "scripts" / "layer_build").glob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"), path.name, feature_version=(3, 9))


def test_every_omission_has_a_reason_and_is_named_once() -> None:
    patterns = [*itertools.chain.from_iterable(omissions.OMISSIONS.values())]

    assert all(len(reason.split()) > 1 for reason in omissions.OMISSIONS)
    assert len(patterns) == len(set(patterns))


def test_an_omission_that_matches_nothing_stops_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(omissions, "OMISSIONS", {"one reason": ("gone/*.h", "**/tests"), "another": ("old",)})
    (tmp_path / "kept" / "tests").mkdir(parents=True)

    with pytest.raises(ValueError, match=r"gone/\*\.h, old$"):
        omissions.omit(tmp_path)

    assert (tmp_path / "kept" / "tests").exists()


def test_an_omission_inside_of_another_is_left_out_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(omissions, "OMISSIONS", {"a folder": ("tools",), "types": ("**/*.pyi",)})
    for name in ("tools/a.pyi", "tools/a.py", "kept/b.pyi", "kept/b.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    omissions.omit(tmp_path)

    assert [str(path.relative_to(tmp_path)) for path in tree.files_of(tmp_path)] == ["kept/b.py"]


@pytest.fixture
def library() -> bytes:
    """A shared library of a wheel."""
    data = Path(_imaging.__file__).read_bytes()
    if data[:4] != b"\x7fELF":
        pytest.skip("wheels of this platform hold no ELF files")
    return data


def test_what_the_loader_maps_stays_byte_for_byte_and_symbols_go(library: bytes) -> None:
    lean = symbols.without_symbols(library)

    assert loaded_bytes(lean) == loaded_bytes(library)
    assert len(lean) < len(library)
    assert b".shstrtab" in library
    assert b".shstrtab" not in lean
    assert b".debug_info" not in lean


def test_dropping_symbols_twice_changes_nothing_more(library: bytes) -> None:
    lean = symbols.without_symbols(library)

    assert symbols.without_symbols(lean) == lean


@pytest.mark.parametrize(
    "damage", [b"", b"\x7fELF\x01\x01", b"#!/bin/sh\n" * 9, b"\x7fELF\x02\x01" + bytes(58)]
)
def test_a_file_that_is_no_shared_library_is_named(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "broken.so").write_bytes(damage)

    with pytest.raises(ValueError, match=r"^broken\.so "):
        symbols.drop_symbols(tmp_path)


def test_a_zip_tells_nothing_of_when_where_and_by_whom_it_was_built(tmp_path: Path) -> None:
    zips = []
    for name, mask, seconds in (("a", 0o022, 1_000_000_000), ("a longer name", 0o077, 1_500_000_000)):
        folder = tmp_path / name
        before = os.umask(mask)
        try:
            for file in ("b.py", "a/c.py", "a/b.so")[:: 1 if name == "a" else -1]:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_text(file)
                os.utime(folder / file, (seconds, seconds))
        finally:
            os.umask(before)
        tree.settle(folder)
        tree.write_zip(folder, tmp_path / f"{name}.zip")
        zips.append((tmp_path / f"{name}.zip").read_bytes())

    assert zips[0] == zips[1]


def test_a_zip_holds_what_the_folder_holds_readable_by_everybody(tmp_path: Path) -> None:
    (tmp_path / "opt" / "python").mkdir(parents=True)
    (tmp_path / "opt" / "python" / "module.py").write_text("A = 1\n")
    tree.settle(tmp_path / "opt")

    tree.write_zip(tmp_path / "opt", tmp_path / "layer.zip")

    with zipfile.ZipFile(tmp_path / "layer.zip") as archive:
        (entry,) = archive.infolist()
        assert archive.testzip() is None
        assert archive.read("python/module.py") == b"A = 1\n"
    assert entry.external_attr >> 16 == 0o100644
    assert (tmp_path / "opt" / "python").stat().st_mode & 0o777 == 0o755


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")

    with pytest.raises(ValueError, match="link"):
        tree.settle(tmp_path)


def test_python_takes_the_bytecode_whatever_the_time_of_the_source(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("ANSWER = 'compiled for the layer'\n")

    bytecode.compile_sources(tmp_path, sys.executable)
    (tmp_path / "module.py").write_text("ANSWER = 'compiled anew'\n")

    assert _run_python("import module; print(module.ANSWER)", tmp_path) == "compiled for the layer"


def test_bytecode_names_the_place_on_lambda_and_not_that_of_the_build(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("def function():\n    pass\n")

    bytecode.compile_sources(tmp_path, sys.executable)

    (compiled,) = tmp_path.glob("__pycache__/*.pyc")
    assert b"/opt/python/module.py" in compiled.read_bytes()
    assert str(tmp_path).encode() not in compiled.read_bytes()


def test_a_module_that_does_not_compile_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def f(:\n")

    with pytest.raises(ChildProcessError, match="could not compile"):
        bytecode.compile_sources(tmp_path, sys.executable)


def test_an_interpreter_is_taken_only_when_it_is_of_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    monkeypatch.delenv("LAMBDA_PYTHON", raising=False)

    assert bytecode.find_interpreter(own) == sys.executable
    assert bytecode.find_interpreter("3.99") is None

    monkeypatch.setenv("LAMBDA_PYTHON", sys.executable)
    with pytest.raises(ValueError, match=r"LAMBDA_PYTHON: .* is no CPython 3\.99"):
        bytecode.find_interpreter("3.99")


def test_a_free_threaded_interpreter_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = _script(tmp_path / "python3.99", "echo cpython 3.99 usual '/a place/python3.99'")
    monkeypatch.setenv("LAMBDA_PYTHON", str(usual))
    assert bytecode.find_interpreter("3.99") == "/a place/python3.99"

    threaded = _script(tmp_path / "python3.99t", "echo cpython 3.99 free-threaded /a/python3.99t")
    monkeypatch.setenv("LAMBDA_PYTHON", str(threaded))
    with pytest.raises(ValueError, match=r"python3\.99t is no CPython 3\.99"):
        bytecode.find_interpreter("3.99")


def test_an_interpreter_that_hangs_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bytecode, "_WAIT_S", 0.2)
    _script(tmp_path / "python3.99", "exec sleep 60")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("LAMBDA_PYTHON", raising=False)

    assert bytecode.find_interpreter("3.99") is None


def test_a_python_without_pip_is_told_in_one_sentence(tmp_path: Path) -> None:
    # Without its site-packages no Python has pip.
    ran = subprocess.run(
        [sys.executable, "-S", "-B", "-m", "layer_build", "RuntimeLayer", tmp_path / "opt"],
        cwd=RUNTIME,
        env={"PYTHONPATH": str(ROOT / "scripts")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"RuntimeLayer: {sys.executable} has no pip: install it")


def test_a_build_without_an_interpreter_goes_on_and_says_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bytecode, "find_interpreter", lambda _: None)
    (tmp_path / "core" / "vision").mkdir(parents=True)
    (tmp_path / "core" / "vision" / "module.py").touch()

    build.build("CoreLayer", tmp_path / "core", tmp_path / "opt", "x86_64")

    assert [path.name for path in tree.files_of(tmp_path / "opt")] == ["module.py"]
    said = capsys.readouterr().err
    assert "no Python 3.13 was found" in said
    assert "uv python install 3.13" in said


def test_a_model_layer_holds_what_serving_reads_and_no_more(tmp_path: Path) -> None:
    model = _model(
        tmp_path / "models", "m", "detection", external_data={"file": "weights.bin", "sha256": ONE}
    )
    for name in ("weights.bin", "report.html", "calibration.npz"):
        (model / name).write_bytes(b"1")

    build.build("DetectionModels", tmp_path / "models", tmp_path / "opt", "arm64")

    names = [str(path.relative_to(tmp_path / "opt")) for path in tree.files_of(tmp_path / "opt")]
    served = ["NOTICE", "card.json", "labels.txt", "model.onnx", "weights.bin"]
    assert names == [f"models/m/{name}" for name in served]


def test_a_model_layer_names_authors_licence_and_source_of_the_weights_and_holds_the_licence(
    tmp_path: Path,
) -> None:
    facts = {"licence": "Apache-2.0", "source": "pkg:npm/a-model@1.0.0", "attribution": "By A. Author."}
    _model(tmp_path / "models", "m", "detection", **facts)

    build.build("DetectionModels", tmp_path / "models", tmp_path / "opt", "arm64")

    notice = (tmp_path / "opt" / "models" / "m" / "NOTICE").read_text()
    assert all(fact in notice for fact in facts.values())
    assert "Apache License" in (tmp_path / "opt" / "models" / "m" / "LICENSE").read_text()


def test_a_model_that_is_not_the_one_of_its_card_stops_the_build(tmp_path: Path) -> None:
    (_model(tmp_path, "m", "detection") / "model.onnx").write_bytes(b"another")

    with pytest.raises(ValueError, match=r"model\.onnx: is not the file of its card"):
        models.copy_model(tmp_path / "m", tmp_path / "opt")


@pytest.mark.parametrize("fields", [{"sha256": None}, {"external_data": {"file": "weights.bin"}}])
def test_a_card_without_a_hash_stops_the_build_and_is_named(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    card = _model(tmp_path, "m", "detection", **fields) / "card.json"
    given = json.loads(card.read_text())
    card.write_text(json.dumps({name: value for name, value in given.items() if value is not None}))

    with pytest.raises(ValueError, match=r"^m/card\.json: the field 'sha256' is missing$"):
        models.copy_model(tmp_path / "m", tmp_path / "opt")


def test_a_model_whose_file_is_missing_stops_the_build(tmp_path: Path) -> None:
    (_model(tmp_path, "m", "detection") / "labels.txt").unlink()

    with pytest.raises(ValueError, match=r"labels\.txt: is missing"):
        models.copy_model(tmp_path / "m", tmp_path / "opt")


def test_the_default_models_of_all_tasks_share_the_room_of_the_portal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "MODELS_BUDGET", 3 * MB)
    for name, task, size in (("small", "detection", 1), ("large", "segmentation", 3)):
        (_model(tmp_path / "models", name, task) / "model.onnx").write_bytes(bytes(size * MB))

    with pytest.raises(
        ValueError, match="4 MB, and there is room for 3: serve the largest, large, from a bucket"
    ):
        build.build("DetectionModels", tmp_path / "models", tmp_path / "opt", "x86_64")


@pytest.mark.parametrize(
    ("layer", "architecture", "said"),
    [("RuntimeLayer", "riscv", "ARCHITECTURE is 'riscv'"), ("Other", "x86_64", "is no layer")],
)
def test_an_unknown_layer_or_processor_is_refused(
    tmp_path: Path, layer: str, architecture: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        build.build(layer, tmp_path, tmp_path / "opt", architecture)


def test_a_template_with_two_python_versions_is_refused(tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text("A:\n  Runtime: python3.13\nB:\n  Runtime: python3.14\n")

    with pytest.raises(ValueError, match="one Python version"):
        build.python_version(template)


def test_a_runtime_layer_over_its_budget_stops_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(_: Path, packages: Path, **__: str) -> None:
        packages.mkdir()
        (packages / "large").write_bytes(bytes(2 * MB))

    monkeypatch.setattr(wheels, "install", install)
    monkeypatch.setattr(omissions, "omit", lambda _: None)
    monkeypatch.setattr(build, "RUNTIME_BUDGET", MB)

    with pytest.raises(ValueError, match=r"takes 2\.0 MB, more than the 1 MB it has"):
        build.build("RuntimeLayer", tmp_path, tmp_path / "opt", "x86_64")


def test_a_zip_or_function_over_its_budget_is_named() -> None:
    built = {"RuntimeLayer": build_layers.Built(111 * MB, 41 * MB, "0")}
    totals = {"SmallFunction": 250 * MB, "LargeFunction": 250 * MB + 1}

    faults = build_layers.over_budget("arm64", built, totals)

    assert [fault.split(",")[0] for fault in faults] == [
        "arm64: RuntimeLayer has 41.0 MB zipped",
        "arm64: LargeFunction has 250.0 MB unzipped with its layers",
    ]


def test_a_function_is_as_large_as_its_code_and_every_layer_it_attaches() -> None:
    sizes = {name: 10 * MB**index for index, name in enumerate(build_layers.content_of_layers(RESOURCES))}

    totals = build_layers.sizes_of_functions(RESOURCES, sizes)

    attached = RESOURCES["PortalFunction"]["Properties"]["Layers"]
    code = sum(path.stat().st_size for path in (ROOT / "functions" / "portal").rglob("*") if path.is_file())
    assert totals["PortalFunction"] == code + sum(sizes[layer["Ref"]] for layer in attached)


def _lock() -> str:
    return (RUNTIME / "requirements.lock").read_text(encoding="utf-8")


def _model(folder: Path, name: str, task: str, **fields: object) -> Path:
    model = folder / name
    model.mkdir(parents=True)
    files = {"file": "model.onnx", "sha256": hashlib.sha256(b"").hexdigest(), "labels": "labels.txt"}
    card = {"task": task, **files, **fields}
    (model / "card.json").write_text(json.dumps(card))
    (model / "model.onnx").touch()
    (model / "labels.txt").touch()
    return model


def _script(path: Path, line: str) -> Path:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


def _run_python(code: str, path: Path) -> str:
    ran = subprocess.run(
        [sys.executable, "-B", "-c", code],
        env={"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.strip()
