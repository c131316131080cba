"""Whatever the secret holds and a call brings, nobody is let in but by a key of the secret."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from vision.authorizer import Authorizer
from vision.errors import InvalidSettings
from vision.keys import KeyRing, read_keys

_KEYS = st.text(min_size=20, max_size=40)
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | _KEYS,
    lambda part: st.lists(part) | st.dictionaries(st.text() | st.just("keys") | _KEYS, part),
    max_leaves=20,
)
_HEADERS = st.dictionaries(
    st.sampled_from(("x-api-key", "Authorization", "X-Api-Key", "other")), st.text() | _KEYS
)


@given(document=_JSON)
def test_any_secret_is_read_or_refused(document: object) -> None:
    try:
        keys = read_keys(json.dumps(document))
    except InvalidSettings:
        assert not isinstance(document, dict)
    else:
        assert all(len(key.digest) == 32 and key.requests_per_second > 0 for key in keys)


@given(document=_JSON, headers=_HEADERS, keys=st.lists(_KEYS, max_size=3))
def test_only_a_key_of_the_secret_names_a_caller(
    document: object, headers: dict[str, str], keys: list[str]
) -> None:
    text = json.dumps({"web": keys} if keys else document)
    authorizer = Authorizer(KeyRing(lambda: text, lambda: 0.0), lambda: 0.0)
    sent = {value.removeprefix("Bearer ").strip() for value in headers.values()} | set(headers.values())

    context = authorizer.answer({"headers": headers})["context"]

    assert context.keys() <= {"caller", "denied"}
    assert context
    if "caller" in context:
        assert any(value in text or json.dumps(value)[1:-1] in text for value in sent)
    for key in keys:
        if not key.startswith("sha256:"):
            assert authorizer.answer({"headers": {"x-api-key": key}})["context"] == {"caller": "web"}
