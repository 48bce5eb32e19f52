"""Feedback reports, and a gateway's signatures of them: what schemathesis can't make of the document alone (tests/api_as_described.rs)."""

import hashlib
import hmac
import os
import time

import schemathesis
from hypothesis import strategies as st

GATEWAY, KEY = os.environ["GATEWAY"], os.environ["GATEWAY_KEY"]
PATH = "/v1/inbound/arf/{gateway}"
# RFC 5965; its parts may be missing, and its fields may say anything that fits into a line.
REPORT = """Message-ID: <{id}@mail.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: message/feedback-report

Feedback-Type: {kind}
Original-Mail-From: <news@acme.example>
Original-Rcpt-To: <{who}>

--b
Content-Type: text/rfc822-headers

From: <news@acme.example>
List-Unsubscribe: <https://example.com/u/{token}>

--b--
"""


def report(number, kind, who, token):
    """A report as octets."""
    return REPORT.format(id=number, kind=kind, who=who, token=token).encode()


line = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40)
reports = st.builds(
    report,
    st.integers(0, 10**9),
    st.sampled_from(["abuse", "opt-out", "opt-out-list", "fraud"]) | line,
    st.integers(0, 999).map("person-{}@example.com".format) | line,
    line,
)
schemathesis.openapi.media_type("message/rfc822", reports | st.binary(max_size=2_000))


@schemathesis.hook
def before_call(context, case, kwargs):
    """Signs what is a report as the gateway; other bodies go as they are, by the gateway of their path."""
    if case.operation.path == PATH and isinstance(case.body, bytes) and case.body.startswith(b"Message-ID:"):
        moment = int(time.time())
        mac = hmac.new(KEY.encode(), f"{moment}.".encode() + case.body, hashlib.sha256).hexdigest()
        case.path_parameters["gateway"] = GATEWAY
        case.headers["X-Tamis-Signature"] = f"t={moment},v1={mac}"
