"""Lists, adds and revokes the keys of the callers of a deployed service: `make keys`.

The secret holds the SHA-256 of a key that is added here, and the key itself is printed once. A change takes
effect within a minute, or AuthorizerCacheSeconds later than that where the stack sets it.
"""

from __future__ import annotations

import argparse
import json
import math
import secrets
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from vision.keys import Key, digest_of, is_name, read_keys

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

SAMCONFIG = Path(__file__).resolve().parents[1] / "samconfig.toml"
_FINGERPRINT_LENGTH = 8
Document = dict[str, Any]


class KeysError(Exception):
    """What cannot be done, in a sentence."""


def main(argv: list[str] | None = None) -> int:
    """Does what the arguments say; gives the exit status."""
    arguments = _parser().parse_args(argv)
    session = boto3.Session(region_name=arguments.region)
    try:
        name = _secret_name(session, arguments.stack_name)
        client = session.client("secretsmanager")
        before = _read(client, name)
        if arguments.verb == "list":
            print(describe(before))
            return 0
        if arguments.verb == "add":
            key = secrets.token_urlsafe(32)
            after = with_key(before, arguments.caller, key, arguments.requests_per_second)
        else:
            after = without_keys(before, arguments.caller)
        client.put_secret_value(SecretId=name, SecretString=json.dumps(after))
    except NoRegionError:
        print(
            "No region is set: name it in AWS_DEFAULT_REGION, with `aws configure`, or with --region.",
            file=sys.stderr,
        )
        return 1
    except (KeysError, ClientError, BotoCoreError) as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.verb == "add":
        print(key)
        print(f"It is {_named(arguments.caller, key)}, and is shown this once.", file=sys.stderr)
    else:
        print(
            f"{arguments.caller} is revoked; calls fail within a minute, or AuthorizerCacheSeconds later "
            "than that where the stack sets it.",
            file=sys.stderr,
        )
    return 0


def describe(document: Document) -> str:
    """A line a key: the caller, the first digits of the key's SHA-256, the rate where there is one."""
    lines = []
    for key in read_keys(json.dumps(document)):
        rate = "" if math.isinf(key.requests_per_second) else f"  {key.requests_per_second:g} a second"
        lines.append(f"{key.caller}/{_fingerprint(key)}{rate}")
    return "\n".join(lines) or "No caller has a key: nobody is let in."


def with_key(document: Document, caller: str, key: str, requests_per_second: float | None) -> Document:
    """Gives the secret with one more key of a caller, who may be new, and their rate if one is given.

    Raises:
        KeysError: the name or the rate will not do.
    """
    if not is_name(caller):
        raise KeysError(f"{caller!r}: a name has 1 to 64 letters, digits, or . _ @ -")
    fields = _fields(document.get(caller))
    fields["keys"] = [*fields["keys"], f"sha256:{digest_of(key).hex()}"]
    if requests_per_second is not None:
        if not 0 < requests_per_second < math.inf:
            raise KeysError("the rate must be above 0")
        fields["requests_per_second"] = requests_per_second
    return {**document, caller: fields}


def without_keys(document: Document, wanted: str) -> Document:
    """Gives the secret without a caller, or without one of their keys.

    Args:
        document: the secret.
        wanted: the caller's name, or name/fingerprint as `describe` gives it.

    Raises:
        KeysError: there is none, or a slash without a fingerprint, which may have meant one key or all.
    """
    caller, slash, fingerprint = wanted.partition("/")
    if slash and not fingerprint:
        raise KeysError(
            f"{wanted!r} names no key: add its digits, or leave out the slash to revoke all of {caller}'s"
        )
    fields = _fields(document.get(caller))
    given = fields["keys"]
    kept = [text for text in given if fingerprint and _fingerprint_of(caller, text) != fingerprint]
    if len(kept) == len(given):
        raise KeysError(f"no key {wanted!r}; there are:\n{describe(document)}")
    rest = {name: entry for name, entry in document.items() if name != caller}
    return {**rest, caller: {**fields, "keys": kept}} if kept else rest


def _fields(entry: Any) -> dict[str, Any]:
    fields = dict(entry) if isinstance(entry, dict) else {"keys": entry or []}
    keys = fields.get("keys", [])
    return {**fields, "keys": list(keys) if isinstance(keys, list) else [keys]}


def _fingerprint(key: Key) -> str:
    return key.digest.hex()[:_FINGERPRINT_LENGTH]


def _fingerprint_of(caller: str, text: str) -> str:
    return "".join(_fingerprint(key) for key in read_keys(json.dumps({caller: text})))


def _named(caller: str, key: str) -> str:
    return f"{caller}/{digest_of(key).hex()[:_FINGERPRINT_LENGTH]}"


def _secret_name(session: boto3.Session, stack_name: str) -> str:
    cloudformation = session.client("cloudformation")
    (stack,) = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    outputs: Mapping[str, str] = {
        output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])
    }
    if "ApiKeys" not in outputs:
        raise KeysError(f"the stack {stack_name} asks for no keys: it is deployed with another Auth")
    return outputs["ApiKeys"]


def _read(client: SecretsManagerClient, name: str) -> Document:
    try:
        document = json.loads(client.get_secret_value(SecretId=name)["SecretString"])
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise KeysError(f"the secret {name} is not a JSON object: nobody is let in. Mend it by hand")
    return document


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Lists, adds and revokes the keys of callers.")
    parser.add_argument("--stack-name", default=_stack_name(), help="default: that of samconfig.toml")
    parser.add_argument("--region", help="default: that of the AWS profile")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="the callers, with the first digits of the SHA-256 of their keys")
    add = verbs.add_parser("add", help="makes a key and prints it once")
    add.add_argument("caller", help="new, or one that is to have a further key")
    add.add_argument("--requests-per-second", type=float, metavar="N", help="the caller may ask so often")
    revoke = verbs.add_parser("revoke", help="takes a caller's keys away, or one of them")
    revoke.add_argument("caller", metavar="caller[/digits]")
    return parser


def _stack_name() -> str:
    # `sam deploy --guided` writes the name that was chosen under deploy.
    tables = tomllib.loads(SAMCONFIG.read_text(encoding="utf-8")).get("default", {})
    names = [tables.get(verb, {}).get("parameters", {}).get("stack_name") for verb in ("deploy", "global")]
    return str(next(filter(None, names), "vision"))


if __name__ == "__main__":
    sys.exit(main())
