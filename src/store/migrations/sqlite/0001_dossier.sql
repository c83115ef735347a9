-- One row: the name under which the volumes of documents know their database.
CREATE TABLE store (
    identity TEXT NOT NULL                    -- UUID
) STRICT;
INSERT INTO store (identity)
SELECT substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-4' || substr(h, 14, 3) || '-8' || substr(h, 18, 3) || '-' || substr(h, 21)
FROM (SELECT lower(hex(randomblob(16))) AS h);

-- One row per patient's record (dossier). The INS numbers of the patient are aliases of it.
CREATE TABLE dossier (
    dossier_id TEXT    NOT NULL PRIMARY KEY,  -- UUID, internal key
    opened_us  INTEGER NOT NULL,              -- instant, microseconds UTC
    state      TEXT    NOT NULL,              -- open_not_activated | activated | closed
    closed_us  INTEGER                        -- instant of closing; NULL while open
) STRICT;

-- Every INS that ever named a patient.
CREATE TABLE dossier_ins (
    authority  TEXT    NOT NULL,              -- OID of the assigning authority
    matricule  TEXT    NOT NULL,              -- 15 characters, key checked
    dossier_id TEXT    NOT NULL REFERENCES dossier (dossier_id),
    position   INTEGER NOT NULL,              -- 0 is the current one
    PRIMARY KEY (authority, matricule)
) STRICT, WITHOUT ROWID;
CREATE INDEX dossier_ins_by_dossier ON dossier_ins (dossier_id, position);

-- The patient's list: authorisations, blocks, médecin traitant, oppositions, what is masked, who acts for the patient.
CREATE TABLE consent (
    consent_id       TEXT    NOT NULL PRIMARY KEY, -- UUID, id of the FHIR Consent
    dossier_id       TEXT    NOT NULL REFERENCES dossier (dossier_id),
    kind             TEXT    NOT NULL,        -- authorisation | block | medecin_traitant | opposition_* | mask* | role of a delegate
    grantee_kind     TEXT    NOT NULL,        -- ps | struct | delegate | none
    grantee          TEXT    NOT NULL,        -- PS_IdNat, Struct_IdNat, id of a delegate; empty for none
    declared_by_kind TEXT    NOT NULL,        -- patient | ps
    declared_by      TEXT    NOT NULL,        -- PS_IdNat; empty for the patient
    declared_at      TEXT,                    -- Struct_IdNat where a professional declared it; NULL when nobody vouched
    since_us         INTEGER NOT NULL,        -- in force from
    until_us         INTEGER,                 -- in force until (exclusive); NULL without end
    is_secret        INTEGER NOT NULL         -- 1: said over a secret connection, not shown to who acts for the patient
) STRICT;
CREATE INDEX consent_by_dossier ON consent (dossier_id);
CREATE INDEX consent_by_grantee ON consent (grantee, kind, since_us);
CREATE INDEX consent_by_structure ON consent (declared_at, kind, since_us) WHERE declared_at IS NOT NULL;
