"""Deposits a document, finds it and reads it back with nothing but the standard library: deposit.py DEMO FIXTURES."""
import base64
import http.client
import json
import pathlib
import re
import ssl
import sys
import urllib.parse
import uuid

demo, fixtures = map(pathlib.Path, sys.argv[1:])
facts = json.loads((demo / "demo.json").read_text())
base = urllib.parse.urlsplit(facts["base_url"])
token = facts["records"][0]["token"]
system, matricule = token.split("|")


def connection(name):
    context = ssl.create_default_context(cafile=demo / facts["server_ca"])
    caller = next(caller for caller in facts["callers"] if caller["name"] == name)
    context.load_cert_chain(demo / caller["certificate"], demo / caller["key"])
    return http.client.HTTPSConnection(base.hostname, base.port, context=context, timeout=20)


def ask(via, method, path, body=None, headers=None):
    via.request(method, base.path + path, body, headers or {})
    answer = via.getresponse()
    return answer.status, answer.headers, answer.read()


unique_id = f"2.25.{uuid.uuid4().int}"
cda = (fixtures / "cda/ldl-ses.xml").read_bytes()
cda = re.sub(rb'(<(id|setId) root=")2\.25\.2168\d+"', rb"\g<1>" + unique_id.encode() + b'"', cda)
reference = {
    "resourceType": "DocumentReference",
    "status": "current",
    "type": {"coding": [{"system": "http://loinc.org", "code": "11490-0"}]},
    "subject": {"identifier": {"system": system, "value": matricule}},
    "content": [{"attachment": {"contentType": "text/xml", "data": base64.b64encode(cda).decode()}}],
}

hospital, martin = connection("hospital"), connection("martin")
fhir = {"Content-Type": "application/fhir+json"}
status, headers, body = ask(hospital, "POST", "/DocumentReference", json.dumps(reference), fhir)
assert status == 201, body
logical_id = headers["Location"].rsplit("/", 1)[1]
again, headers, _ = ask(hospital, "POST", "/DocumentReference", json.dumps(reference), fhir)
assert (again, headers["Location"].rsplit("/", 1)[1]) == (201, logical_id), "a resend is the same deposit"
changed = json.loads(json.dumps(reference))
changed["content"][0]["attachment"]["data"] = base64.b64encode(cda + b"\n").decode()
status, _, body = ask(hospital, "POST", "/DocumentReference", json.dumps(changed), fhir)
assert status == 409, "the same uniqueId with other bytes is refused"
assert matricule not in body.decode(), "an INS in full in a refusal"

query = urllib.parse.urlencode({"patient.identifier": token, "identifier": f"urn:oid:{unique_id}"})
form = {"Content-Type": "application/x-www-form-urlencoded"}
for found in [ask(martin, "GET", f"/DocumentReference?{query}"), ask(martin, "POST", "/DocumentReference/_search", query, form)]:
    bundle = json.loads(found[2])
    assert (found[0], bundle["total"]) == (200, 1), bundle
    assert bundle["entry"][0]["resource"]["id"] == logical_id

status, headers, body = ask(martin, "GET", f"/Binary/{logical_id}")
assert (status, body) == (200, cda), "not the bytes that were deposited"
status, _, body = ask(martin, "GET", f"/Binary/{logical_id}", headers={"If-None-Match": headers["ETag"]})
assert (status, body) == (304, b"")
parts = b""
for start in range(0, len(cda), 4096):
    status, _, body = ask(martin, "GET", f"/Binary/{logical_id}", headers={"Range": f"bytes={start}-{start + 4095}"})
    assert status == 206
    parts += body
assert parts == cda, "the ranges do not add up to the document"
status, _, body = ask(martin, "GET", f"/Binary/{logical_id}", headers={"Accept": "application/fhir+json"})
assert base64.b64decode(json.loads(body)["data"]) == cda
