-- One deposit (lot de soumission) and who made it. Immutable.
CREATE TABLE submission_set (
    submission_set_uuid  TEXT    NOT NULL PRIMARY KEY, -- entryUUID, id of the FHIR List
    dossier_id           TEXT    NOT NULL REFERENCES dossier (dossier_id),
    unique_id            TEXT    NOT NULL UNIQUE,      -- urn:oid: or urn:uuid:
    source_id            TEXT    NOT NULL,             -- OID of the source application
    submission_text      TEXT    NOT NULL,             -- submissionTime, HL7 form in UTC
    content_type_system  TEXT    NOT NULL,
    content_type_code    TEXT    NOT NULL,
    content_type_display TEXT,
    title                TEXT,
    comments             TEXT,
    -- Who made it, as its source says:
    person_kind          TEXT,                         -- professional | patient | device; NULL without a person
    person_system        TEXT,
    person_id            TEXT,
    family               TEXT,
    given                TEXT,
    institution_system   TEXT,
    institution_id       TEXT,
    institution_name     TEXT,
    specialty_system     TEXT,
    specialty_code       TEXT,
    specialty_display    TEXT,
    roles                TEXT    NOT NULL,             -- one a line
    depositor_kind       TEXT    NOT NULL,             -- ps | struct | operator: from the certificate
    depositor            TEXT    NOT NULL,
    registered_us        INTEGER NOT NULL,
    digest               BLOB    NOT NULL              -- SHA-256 of the request, by which a resend is known
) STRICT;
CREATE INDEX submission_set_by_dossier ON submission_set (dossier_id, registered_us);

-- Metadata of one document (fiche), at its present version.
CREATE TABLE document_entry (
    entry_id             INTEGER NOT NULL PRIMARY KEY,
    dossier_id           TEXT    NOT NULL REFERENCES dossier (dossier_id),
    submission_set_uuid  TEXT    NOT NULL REFERENCES submission_set (submission_set_uuid),
    logical_id           TEXT    NOT NULL UNIQUE,      -- id of the FHIR DocumentReference
    unique_id            TEXT    NOT NULL UNIQUE,      -- urn:oid: or urn:uuid:
    ins_authority        TEXT    NOT NULL,             -- patientId as submitted
    ins_matricule        TEXT    NOT NULL,
    depositor_kind       TEXT    NOT NULL,             -- ps | struct | operator: from the certificate
    depositor            TEXT    NOT NULL,
    registered_us        INTEGER NOT NULL,
    class_system         TEXT    NOT NULL,
    class_code           TEXT    NOT NULL,
    class_display        TEXT,
    type_system          TEXT    NOT NULL,
    type_code            TEXT    NOT NULL,
    type_display         TEXT,
    format_system        TEXT    NOT NULL,
    format_code          TEXT    NOT NULL,
    format_display       TEXT,
    facility_system      TEXT    NOT NULL,             -- healthcareFacilityTypeCode
    facility_code        TEXT    NOT NULL,
    facility_display     TEXT,
    setting_system       TEXT    NOT NULL,             -- practiceSettingCode
    setting_code         TEXT    NOT NULL,
    setting_display      TEXT,
    title                TEXT    NOT NULL,
    comments             TEXT,
    language_code        TEXT    NOT NULL,
    mime_type            TEXT    NOT NULL,
    creation_text        TEXT    NOT NULL,             -- HL7 form in UTC, precision as sent
    creation_from_us     INTEGER NOT NULL,
    creation_to_us       INTEGER NOT NULL,             -- exclusive
    start_text           TEXT    NOT NULL,             -- serviceStartTime
    start_from_us        INTEGER NOT NULL,
    start_to_us          INTEGER NOT NULL,
    stop_text            TEXT,                         -- serviceStopTime
    stop_from_us         INTEGER,
    stop_to_us           INTEGER,
    source_id_system     TEXT,                         -- sourcePatientId
    source_id_value      TEXT,
    birth_family         TEXT,                         -- sourcePatientInfo, frozen at deposit
    usual_family         TEXT,
    given                TEXT,
    birth_text           TEXT,
    sex                  TEXT,
    confidentiality      TEXT    NOT NULL,             -- N | R | V
    -- The bytes, in their volume:
    sha1                 BLOB    NOT NULL,             -- 20 bytes
    sha256               BLOB    NOT NULL,             -- 32 bytes
    size_bytes           INTEGER NOT NULL,
    volume               INTEGER NOT NULL,
    volume_offset        INTEGER NOT NULL,             -- of the first byte
    -- What changes after the deposit:
    entry_uuid           TEXT    NOT NULL UNIQUE,      -- new at each metadata version
    version              INTEGER NOT NULL,
    updated_us           INTEGER NOT NULL,
    patient_seen_us      INTEGER,                      -- first disclosure to the patient or who acts for them; NULL: none
    status               TEXT    NOT NULL              -- approved | deprecated | archived | deleted
) STRICT;
CREATE INDEX document_entry_by_start ON document_entry (dossier_id, status, start_from_us);
CREATE INDEX document_entry_by_creation ON document_entry (dossier_id, creation_from_us);
CREATE INDEX document_entry_by_submission_set ON document_entry (submission_set_uuid);

-- Visibility labels that hide an entry from somebody.
CREATE TABLE document_entry_label (
    entry_id INTEGER NOT NULL REFERENCES document_entry (entry_id),
    label    TEXT    NOT NULL,                         -- MASQUE_PS | INVISIBLE_PATIENT | ...
    until_us INTEGER,                                  -- hides no more from then on (R1111-53); NULL: as long as it is there
    PRIMARY KEY (entry_id, label)
) STRICT, WITHOUT ROWID;

-- Authors, the legal authenticator and the custodian.
CREATE TABLE document_entry_author (
    entry_id           INTEGER NOT NULL REFERENCES document_entry (entry_id),
    position           INTEGER NOT NULL,
    part               TEXT    NOT NULL,               -- author | legal_authenticator | custodian
    person_kind        TEXT,                           -- professional | patient | device; NULL without a person
    person_system      TEXT,
    person_id          TEXT,
    family             TEXT,
    given              TEXT,
    family_folded      TEXT,                           -- without case and accents: what a search by name compares
    given_folded       TEXT,
    institution_system TEXT,
    institution_id     TEXT,
    institution_name   TEXT,
    specialty_system   TEXT,
    specialty_code     TEXT,
    specialty_display  TEXT,
    PRIMARY KEY (entry_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX document_entry_author_by_person ON document_entry_author (person_id, entry_id) WHERE person_id IS NOT NULL;

-- Lists of an entry: event codes, reference ids, author roles, slots that no rule knows.
CREATE TABLE document_entry_item (
    entry_id INTEGER NOT NULL REFERENCES document_entry (entry_id),
    kind     TEXT    NOT NULL,                         -- event | reference | role | slot
    position INTEGER NOT NULL,
    owner    INTEGER NOT NULL,                         -- role: position of its author; else 0
    name     TEXT    NOT NULL,                         -- event: system; reference: type URN; slot: its name
    value    TEXT    NOT NULL,
    extra    TEXT,                                     -- event: display; reference: authority
    PRIMARY KEY (entry_id, kind, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX document_entry_item_by_value ON document_entry_item (value, entry_id) WHERE kind = 'reference';

-- From a newer entry to an older one of the same record.
CREATE TABLE association (
    source_logical_id TEXT NOT NULL,
    kind              TEXT NOT NULL,                   -- replaces | appends | transforms | signs
    target_logical_id TEXT NOT NULL,
    PRIMARY KEY (source_logical_id, kind, target_logical_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX association_by_target ON association (target_logical_id);
