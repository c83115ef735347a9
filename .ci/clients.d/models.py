"""Reads the gateway's answers with the FHIR R4 models of fhirclient, which refuse what they do not know: models.py DEMO."""
import json
import pathlib
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

from fhirclient.models import auditevent, binary, bundle, capabilitystatement, documentreference, operationoutcome

demo = pathlib.Path(sys.argv[1])
facts = json.loads((demo / "demo.json").read_text())
token = urllib.parse.quote(facts["records"][0]["token"])
context = ssl.create_default_context(cafile=demo / facts["server_ca"])
context.load_cert_chain(demo / "certs/clients/martin.pem", demo / "certs/clients/martin.key")


def get(path):
    request = urllib.request.Request(facts["base_url"] + path, headers={"Accept": "application/fhir+json"})
    try:
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        return json.load(refusal)


capabilitystatement.CapabilityStatement(get("/metadata"), strict=True)
found = get(f"/DocumentReference?patient.identifier={token}&_count=2")
while True:
    page = bundle.Bundle(found, strict=True)
    assert page.entry and all(isinstance(entry.resource, documentreference.DocumentReference) for entry in page.entry)
    onwards = [link.url for link in page.link if link.relation == "next"]
    if not onwards:
        break
    found = get(onwards[0].removeprefix(facts["base_url"]))
one = page.entry[0].resource
documentreference.DocumentReference(get(f"/DocumentReference/{one.id}"), strict=True)
binary.Binary(get(f"/Binary/{one.id}"), strict=True)
bundle.Bundle(get(f"/Patient?identifier={token}"), strict=True)
bundle.Bundle(get(f"/Consent?patient.identifier={token}"), strict=True)
traces = bundle.Bundle(get(f"/AuditEvent?patient.identifier={token}"), strict=True)
assert traces.entry and all(isinstance(entry.resource, auditevent.AuditEvent) for entry in traces.entry)
assert all("Le " in entry.resource.text.div for entry in traces.entry)
for path in ["/DocumentReference?patiant=1", "/DocumentReference/none", "/Nothing", "/DocumentReference"]:
    outcome = operationoutcome.OperationOutcome(get(path), strict=True)
    assert outcome.issue[0].severity == "error", path
