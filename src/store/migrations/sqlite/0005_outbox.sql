-- What somebody is to be told by mail, and whether they were. A row is written with the journal line of what it is about.
CREATE TABLE outbox (
    notice_id      TEXT    NOT NULL PRIMARY KEY,       -- UUID; the left side of the Message-ID, at every attempt
    dossier_id     TEXT    NOT NULL REFERENCES dossier (dossier_id),
    kind           TEXT    NOT NULL,                   -- bris_de_glace | centre_15 | invisible_document
    occasion       TEXT    NOT NULL,                   -- hour since 1970 and PS_IdNat of the caller; logicalId of the document
    addressee_kind TEXT    NOT NULL,                   -- patient | ps
    addressee      TEXT    NOT NULL,                   -- dossier_id or PS_IdNat
    at_us          INTEGER NOT NULL,                   -- instant of what it tells
    due_us         INTEGER NOT NULL,                   -- not sent before
    secret         INTEGER NOT NULL,                   -- 1 where what it tells came over a secret connection, else 0
    -- What changes:
    state          TEXT    NOT NULL,                   -- waiting | unaddressed | sending | sent | cancelled
    next_us        INTEGER,                            -- waiting: of the next attempt; sending: end of the lease; else NULL
    lease          TEXT,                               -- sending: UUID of the claim
    attempts       INTEGER NOT NULL,
    last_failure   TEXT,                               -- code of the relay's reply, or what broke; NULL before any
    ended_us       INTEGER,                            -- sent or cancelled
    UNIQUE (addressee_kind, addressee, dossier_id, kind, occasion)
) STRICT;
CREATE INDEX outbox_by_turn ON outbox (next_us) WHERE next_us IS NOT NULL;
CREATE INDEX outbox_by_state ON outbox (state);

CREATE TRIGGER outbox_loses_nothing BEFORE DELETE ON outbox WHEN old.state NOT IN ('sent', 'cancelled')
BEGIN SELECT RAISE(ABORT, 'a notice is sent or cancelled before it goes'); END;

-- Where somebody is told.
CREATE TABLE contact (
    addressee_kind TEXT    NOT NULL,                   -- patient | ps
    addressee      TEXT    NOT NULL,                   -- dossier_id or PS_IdNat
    mail           TEXT    NOT NULL,
    since_us       INTEGER NOT NULL,
    PRIMARY KEY (addressee_kind, addressee)
) STRICT, WITHOUT ROWID;
