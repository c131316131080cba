"""What the runtime layer leaves out of the installed packages, and why: the one place where files go.

Licence texts stay, for what is passed on must carry them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

# Reason -> patterns relative to the folder of packages; "**" is any number of folders.
OMISSIONS: dict[str, tuple[str, ...]] = {
    # What pip leaves behind.
    "commands for a shell, which a function has not": ("bin",),
    "records of the installation: they name files that are gone, and the path of the Python that installed": (
        "*.dist-info/INSTALLER",
        "*.dist-info/RECORD",
        "*.dist-info/REQUESTED",
        "*.dist-info/WHEEL",
        "*.dist-info/entry_points.txt",
        "*.dist-info/top_level.txt",
    ),
    # Of any package.
    "tests of the packages": ("**/tests", "numpy/conftest.py", "numpy/_core/*_tests.*.so"),
    "types, for a type checker": ("**/*.pyi", "**/py.typed"),
    "headers, sources and archives, to compile extensions": (
        "**/*.pxd",
        "numpy/_core/include",
        "numpy/_core/lib",
        "numpy/random/_examples",
        "numpy/random/lib",
    ),
    # Of ONNX Runtime. The 15 KB of libonnxruntime_providers_shared.so stay: without them it logs a warning.
    "a second copy of the runtime, for C programs: the Python extension has its own and links to no other": (
        "onnxruntime/capi/libonnxruntime.so.*",
    ),
    "tools that change models before they are served": (
        "onnxruntime/quantization",
        "onnxruntime/tools",
        "onnxruntime/transformers",
        "onnxruntime/capi/convert_npz_to_onnx_adapter.py",
    ),
    "the interface of the package onnx, which is not installed": ("onnxruntime/backend",),
    "sample models": ("onnxruntime/datasets",),
    "a report on CUDA, which Lambda has not": ("onnxruntime/capi/onnxruntime_collect_build_info.py",),
    "imported only by those tools: a session reads its model with the protobuf and flatbuffers built in": (
        "flatbuffers",
        "flatbuffers-*.dist-info",
        "google",
        "protobuf-*.dist-info",
        "packaging",
        "packaging-*.dist-info",
    ),
    # Of NumPy.
    "the Fortran compiler's front end, packagers' hooks, the command numpy-config": (
        "numpy/f2py",
        "numpy/_pyinstaller",
        "numpy/_configtool.py",
    ),
    "assertions for tests, and the two modules that import them": (
        "numpy/testing",
        "numpy/ma/testutils.py",
        "numpy/matlib.py",
    ),
    "SIMD primitives, exposed to NumPy's own tests": ("numpy/_core/_simd.*.so",),
    "a plug-in for mypy": ("numpy/typing/mypy_plugin.py",),
    # Of Pillow.
    "formats that are refused by their first bytes (vision/formats.py)": (
        "PIL/BlpImagePlugin.py",
        "PIL/BufrStubImagePlugin.py",
        "PIL/CurImagePlugin.py",
        "PIL/DcxImagePlugin.py",
        "PIL/DdsImagePlugin.py",
        "PIL/EpsImagePlugin.py",
        "PIL/FitsImagePlugin.py",
        "PIL/FliImagePlugin.py",
        "PIL/FpxImagePlugin.py",
        "PIL/FtexImagePlugin.py",
        "PIL/GbrImagePlugin.py",
        "PIL/GdImageFile.py",
        "PIL/GribStubImagePlugin.py",
        "PIL/Hdf5StubImagePlugin.py",
        "PIL/IcnsImagePlugin.py",
        "PIL/IcoImagePlugin.py",
        "PIL/ImImagePlugin.py",
        "PIL/ImtImagePlugin.py",
        "PIL/IptcImagePlugin.py",
        "PIL/Jpeg2KImagePlugin.py",
        "PIL/McIdasImagePlugin.py",
        "PIL/MicImagePlugin.py",
        "PIL/MpegImagePlugin.py",
        "PIL/MspImagePlugin.py",
        "PIL/PalmImagePlugin.py",
        "PIL/PcdImagePlugin.py",
        "PIL/PcxImagePlugin.py",
        "PIL/PdfImagePlugin.py",
        "PIL/PdfParser.py",
        "PIL/PixarImagePlugin.py",
        "PIL/PpmImagePlugin.py",
        "PIL/PsdImagePlugin.py",
        "PIL/QoiImagePlugin.py",
        "PIL/SgiImagePlugin.py",
        "PIL/SpiderImagePlugin.py",
        "PIL/SunImagePlugin.py",
        "PIL/TgaImagePlugin.py",
        "PIL/WalImageFile.py",
        "PIL/WmfImagePlugin.py",
        "PIL/XVThumbImagePlugin.py",
        "PIL/XbmImagePlugin.py",
        "PIL/XpmImagePlugin.py",
    ),
    "screens, printers and windows, which Lambda has not": (
        "PIL/ImageGrab.py",
        "PIL/ImageQt.py",
        "PIL/ImageShow.py",
        "PIL/ImageTk.py",
        "PIL/ImageWin.py",
        "PIL/PSDraw.py",
        "PIL/_imagingtk.*.so",
        "PIL/_tkinter_finder.py",
    ),
    "fonts of X11": ("PIL/BdfFontFile.py", "PIL/FontFile.py", "PIL/PcfFontFile.py"),
    # Of Powertools.
    "routers: vision/edge.py routes": ("aws_lambda_powertools/event_handler",),
    "utilities that nothing uses, half of which need packages that are not installed": (
        "aws_lambda_powertools/metrics/provider/datadog",
        "aws_lambda_powertools/utilities/auth_alpha",
        "aws_lambda_powertools/utilities/circuit_breaker",
        "aws_lambda_powertools/utilities/data_masking",
        "aws_lambda_powertools/utilities/feature_flags",
        "aws_lambda_powertools/utilities/idempotency",
        "aws_lambda_powertools/utilities/kafka",
        "aws_lambda_powertools/utilities/metadata",
        "aws_lambda_powertools/utilities/parser",
        "aws_lambda_powertools/utilities/streaming",
        "aws_lambda_powertools/utilities/validation",
    ),
}


def omit(packages: Path) -> None:
    """Deletes what the table names from a folder of installed packages.

    Raises:
        ValueError: when a pattern finds nothing: then the table no longer fits the packages.
    """
    # All are looked up before any is deleted: a pattern may lie inside what another one takes.
    found = {pattern: list(packages.glob(pattern)) for patterns in OMISSIONS.values() for pattern in patterns}
    idle = [pattern for pattern, paths in found.items() if not paths]
    if idle:
        raise ValueError(f"omissions.py names what no package has (any more): {', '.join(idle)}")
    for path in (path for paths in found.values() for path in paths):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
