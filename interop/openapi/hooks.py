"""What schemathesis must be told beyond the document."""

import hypothesis
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode

# schemathesis tells Hypothesis which requests were a success, and Hypothesis climbs towards more of them: good for products,
# but at ids of clients, which it has from answers, it climbs for a minute and sends nothing.
climb = hypothesis.target


def target(observation, label=""):
    return observation if "/v1/clients/{id}" in label else climb(observation, label=label)


hypothesis.target = target

# Imports take any bytes and answer for them line by line: some real lines, some broken ones, any bytes at all.
LINES = [
    b'{"sku":"F-1","name":"Fuzzed apple","price":{"amount":100,"currency":"INR"}}',
    b'{"sku":"F-2","name":"Fuzzed pear","price":{"amount":100,"currency":"INR"},"stock":3,"tags":["a","a"]}',
    b'{"sku":"F-1","name":"","price":{"amount":-1,"currency":"XXQ"}}',
    b'{"sku":"F-3"',
    b"",
]
NDJSON = st.one_of(st.lists(st.sampled_from(LINES), max_size=20).map(b"\n".join), st.binary(max_size=2000))
ROWS = [b"sku,name,price,currency", b"F-4,Fuzzed plum,100,INR", b'F-5,"quoted, ""twice""",1.5,EUR', b'F-6,"open', b",,,"]
CSV = st.one_of(st.lists(st.sampled_from(ROWS), max_size=20).map(b"\r\n".join), st.binary(max_size=2000))

schemathesis.openapi.media_type("application/x-ndjson", NDJSON)
schemathesis.openapi.media_type("text/csv", CSV)


@schemathesis.hook
def filter_case(context, case):
    """Leaves out what is right to refuse and OpenAPI cannot say so; the tests of crates/http cover both.

    If-Match and If-None-Match exclude each other. A `min_seq` that no write ever gave is waited for and then 503.
    """
    names = {name.lower() for name in case.headers or {}}
    min_seq = str((case.query or {}).get("min_seq", "")) if hasattr(case.query or {}, "get") else ""
    return not {"if-match", "if-none-match"} <= names and not (min_seq.isdigit() and int(min_seq) > 300)


@schemathesis.hook
def map_case(context, case):
    """Lets some clients come into being, so that there are ones to change, rotate and revoke.

    Left alone, valid ones are never drawn: the document says of scopes, grants and methods that they are texts.
    """
    positive = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    is_client = case.operation.path in ("/v1/clients", "/v1/clients/{id}")
    if positive and is_client and isinstance(case.body, dict):
        odd = ("id", "grants", "auth_method", "jwks", "jwks_uri", "audiences", "policy", "token_lifetime")
        case.body = {name: value for name, value in case.body.items() if name not in odd}
        case.body["scopes"] = ["products:write", "imports"]
        if case.operation.method.upper() == "POST":
            case.body.pop("enabled", None)
            case.body["name"] = case.body.get("name") or "Fuzzed"
    return case
