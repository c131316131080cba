"""The file system of an execution environment: read-only but for /tmp, and nothing of this machine in it.

A mount namespace of its own, in which an unprivileged user may mount (Linux). Its root has what Lambda has:
the layers at /opt, the function at /var/task, AWS's packages at /var/runtime, Python at /var/lang without the
packages of this machine, and this machine's C library. /sys and /dev/shm are missing, as on Lambda.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# The process says that it is there and waits for a line: what comes before is no part of a function's start.
ON_LINE = 'echo && read -r line && exec "$@"'
_TOOLS = ("unshare", "mount", "chroot", "sh")
_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private")
# $1 the new root, $2 /opt, $3 /var/task, $4 /tmp, $5 Python's prefix, $6 AWS's packages; then the command.
_SCRIPT = """
set -e
given=$PATH
PATH=/usr/sbin:/usr/bin:/sbin:/bin
root=$1 opt=$2 task=$3 tmp=$4 python=$5 packages=$6
shift 6
mount -t tmpfs -o mode=755 root "$root"
# A recursive bind, for an unprivileged user may not leave out what is mounted below; then read-only.
show() {
    mkdir -p "$root$2"
    mount --rbind "$1" "$root$2"
    mount -o remount,bind,ro,nosuid "$root$2" || mount -o remount,bind,ro,nosuid,nodev "$root$2"
}
for folder in /usr /lib /lib64 /bin /sbin; do
    if [ -L "$folder" ]; then cp -P "$folder" "$root$folder"
    elif [ -d "$folder" ]; then show "$folder" "$folder"; fi
done
show /etc /etc
show "$opt" /opt
show "$task" /var/task
show "$python" /var/lang
show "$packages" /var/runtime
for folder in lib/python%(version)s/site-packages lib/python3/dist-packages local/lib/python%(version)s; do
    if [ -d "$root/var/lang/$folder" ]; then mount -t tmpfs -o ro none "$root/var/lang/$folder"; fi
done
mkdir -p "$root/proc" "$root/dev" "$root/tmp"
mount --rbind /proc "$root/proc"
for device in null zero random urandom; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mount --bind "$tmp" "$root/tmp"
mount -o remount,ro "$root"
exec chroot "$root" /bin/sh -c 'PATH=$1; shift; cd /var/task && %(start)s' sh "$given" "$@"
"""


@dataclass(frozen=True, slots=True)
class Places:
    """Folders of this machine, and what they are inside.

    Attributes:
        root: an empty folder, to mount on.
        opt: the merged layers.
        task: the function's code.
        tmp: the only one that can be written to.
        python: prefix of Python 3.13.
        packages: of AWS's runtime, with boto3.
    """

    root: Path
    opt: Path
    task: Path
    tmp: Path
    python: Path
    packages: Path


@functools.cache
def missing() -> str:
    """Why there can be no such file system here; empty where there can."""
    if not sys.platform.startswith("linux"):
        return f"namespaces are of Linux, and this is {sys.platform}"
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if absent:
        return f"{', '.join(absent)} of util-linux and coreutils is not installed"
    tried = subprocess.run(
        [*_NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/tmp"], capture_output=True, text=True, check=False
    )
    return f"this machine allows no user namespaces: {tried.stderr.strip()}" if tried.returncode else ""


def wrapped(command: list[str], places: Places, version: str) -> list[str]:
    """The command that runs a command inside; it becomes that command, with the same process id."""
    script = _SCRIPT % {"version": version, "start": ON_LINE}
    folders = [places.root, places.opt, places.task, places.tmp, places.python, places.packages]
    tool = shutil.which(_NAMESPACE[0]) or _NAMESPACE[0]  # the PATH of the function need not lead to it
    return [tool, *_NAMESPACE[1:], "/bin/sh", "-c", script, "sandbox", *map(str, folders), *command]
