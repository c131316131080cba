"""Runs the whole service on this machine: `make run`, or `python scripts/serve.py`.

Routes, triggers, limits and environment come from template.yaml. Each function runs in processes of its own,
as on Lambda, and S3, SQS and DynamoDB come from moto in this process: nothing is kept when it stops.

Environment:
    PORT, HOST: where it listens; 3000 and 127.0.0.1 unless given. PORT=0 takes a free one.
    LOG: `json` writes everything the functions log.
    RETRY_S: seconds after which a failed message is tried again; 5 unless given. On AWS it is what is left of
        the queue's visibility timeout, up to three minutes.
    VISION_API_KEY: the key that is asked for, where keys are; one is made and printed unless it is given.
    VISION_*: the settings of the service, such as VISION_MODELS; see layers/core/vision/settings.py.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from types import FrameType

REPOSITORY = Path(__file__).resolve().parents[1]


def main(argv: list[str] | None = None) -> int:
    """Serves until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description="Runs the whole service on this machine.")
    parser.add_argument(
        "--template",
        type=Path,
        default=REPOSITORY / "template.yaml",
        help="a SAM template (default: template.yaml)",
    )
    parser.add_argument(
        "--parameter-overrides",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="parameters of the template, as for `sam deploy`; Auth is NONE on loopback unless given",
    )
    arguments = parser.parse_args(argv)
    # Until it serves; SIGINT too, because a shell starts background jobs with it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    models = os.environ.get("VISION_MODELS", "")
    if models.startswith("s3://"):
        print(
            f"VISION_MODELS={models}: the local service has an S3 of its own, which is empty. Copy the "
            f"models and name the folder: aws s3 cp --recursive {models} FOLDER",
            file=sys.stderr,
        )
        return 2
    host, port = os.environ.get("HOST", "127.0.0.1"), os.environ.get("PORT", "3000")
    try:
        # Before anything slow, so that a taken port is told at once.
        listener = _listen(host, port)
    except (OSError, ValueError, OverflowError) as error:
        print(f"Cannot listen on {host}:{port}: {error}. Another port: PORT=3001 make run", file=sys.stderr)
        return 1
    try:
        _run(arguments.template.resolve(), listener, _parameters(arguments.parameter_overrides, host))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        # Before it served: processes that were started end by themselves when this one does.
        return 130
    return 0


def _parameters(overrides: list[str], host: str) -> dict[str, str]:
    """Gives the parameters of the template; without Auth, only this machine is let in without a key."""
    given = dict(override.partition("=")[::2] for override in overrides)
    return {"Auth": "NONE" if _is_loopback(host) else "API_KEY", **given}


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _run(template: Path, listener: socket.socket, parameters: dict[str, str]) -> None:
    print("Starting ...", flush=True)
    user_environment = dict(os.environ)
    _forget_aws()
    # Here, because they take seconds to import: Ctrl-C and a taken port are answered before.
    from local.log import Log  # noqa: PLC0415
    from local.models import describe_models  # noqa: PLC0415
    from local.service import Service  # noqa: PLC0415
    from vision.errors import VisionError  # noqa: PLC0415

    print(f"\n{describe_models(user_environment)}\n", flush=True)
    log = Log(as_json=user_environment.get("LOG") == "json")
    try:
        service = Service(
            template,
            listener,
            log=log,
            retry_s=int(user_environment.get("RETRY_S", "5")),
            user_environment=user_environment,
            parameters=parameters,
        )
    except VisionError as error:
        raise ValueError(error.detail) from error
    failures = service.start()
    stopped = _stop_on_signals()
    bucket = service.stack.outputs.get("InputBucket")
    credentials = _CREDENTIALS[parameters["Auth"]].format(key=service.api_key)
    print(_welcome(listener, service.clients.endpoint, bucket, credentials), flush=True)
    if warning := _warning(parameters["Auth"], listener.getsockname()[0]):
        print(warning, flush=True)
    for name, reason in failures.items():
        log.note(f"{name} does not start: {reason}")
    stopped.wait()
    print("Stopping ...", flush=True)
    service.stop()


# Options of curl, by the template's parameter Auth.
_CREDENTIALS = {
    "NONE": "",
    "API_KEY": "-H 'x-api-key: {key}' ",
    "JWT": '-H "Authorization: Bearer $TOKEN" ',
    "IAM": "--aws-sigv4 aws:amz:us-east-1:execute-api --user local:local ",
}


def _warning(auth: str, host: str) -> str:
    """What to say of a service that others reach and anybody may use; empty where that is not so."""
    if _is_loopback(host) or auth not in ("NONE", "IAM"):
        return ""
    why = "asks nobody who calls" if auth == "NONE" else "takes signatures with the key local, which all know"
    return f"WARNING  Others reach {host}, and Auth={auth} {why}: Auth=API_KEY keeps them out.\n"


def _welcome(listener: socket.socket, s3: str, bucket: str | None, credentials: str) -> str:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    photo = "samples/cat.png" if (REPOSITORY / "samples" / "cat.png").is_file() else "photo.png"
    job = json.dumps({"task": "detection", "filename": "photo.png", "content_type": "image/png"})
    return f"""\
The service is at {url}   Ctrl-C stops it; nothing is kept.
Page     the same address in a browser; the API is described at {url}/docs
S3       {s3}, uploads to {bucket}/uploads/<task>/

Try      curl -s {credentials}--data-binary @{photo} -H 'Content-Type: image/png' '{url}/v1/classify?top_k=5'
Upload   curl -s -T {photo} '{s3}/{bucket}/uploads/detection/photo.png'
   or    curl -s {credentials}-H 'Content-Type: application/json' -d '{job}' {url}/v1/jobs
         and post the photo to the address, with the fields, that this answers.
"""


def _stop_on_signals() -> threading.Event:
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    return stopped


def _listen(host: str, port: str) -> socket.socket:
    family = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][0]
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, int(port)))
    return listener


def _forget_aws() -> None:
    """Keeps this process away from a real account, and its loopback traffic away from a proxy."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"


if __name__ == "__main__":
    sys.exit(main())
