"""What schemathesis must be told beyond the document."""

import schemathesis
from hypothesis import strategies as st

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
