-- The access journal: append-only. Each line is sealed with the one before it in its record, and with the one before it
-- among all (`domain::seal` says over what).
CREATE TABLE journal (
    position         INTEGER NOT NULL PRIMARY KEY,     -- 1, 2, 3... without a gap
    at_us            INTEGER NOT NULL,
    dossier_id       TEXT    NOT NULL,                 -- empty when no record is concerned
    dossier_position INTEGER NOT NULL,                 -- 1, 2, 3... without a gap, within the record
    line             TEXT    NOT NULL,                 -- the event, canonical JSON
    dossier_seal     BLOB    NOT NULL,                 -- SHA-256, in the chain of the record
    seal             BLOB    NOT NULL                  -- SHA-256, in the chain over all
) STRICT;
CREATE INDEX journal_by_dossier ON journal (dossier_id, position);

CREATE TRIGGER journal_keeps_lines BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_loses_nothing BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

-- One row: the end of the chain over all, as the last commit left it. A tail that is cut off shows against it.
CREATE TABLE journal_head (
    one       INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    position  INTEGER NOT NULL,                        -- of the last line
    seal      BLOB    NOT NULL,                        -- of the last line
    at_us     INTEGER NOT NULL,                        -- of the last line
    key_id    TEXT    NOT NULL,                        -- start of the SHA-256 of the public key, hexadecimal
    signature BLOB    NOT NULL                         -- Ed25519, of the head's statement
) STRICT;

CREATE TRIGGER journal_head_goes_forward BEFORE UPDATE ON journal_head WHEN NEW.position <= OLD.position
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_head_stays BEFORE DELETE ON journal_head
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

-- Heads that are kept for good, one in a while. Columns as above.
CREATE TABLE journal_signed_head (
    position  INTEGER NOT NULL PRIMARY KEY,
    seal      BLOB    NOT NULL,
    at_us     INTEGER NOT NULL,
    key_id    TEXT    NOT NULL,
    signature BLOB    NOT NULL
) STRICT;

CREATE TRIGGER journal_signed_head_stays BEFORE UPDATE ON journal_signed_head
BEGIN SELECT RAISE(ABORT, 'signed heads are evidence'); END;
CREATE TRIGGER journal_signed_head_is_not_lost BEFORE DELETE ON journal_signed_head
BEGIN SELECT RAISE(ABORT, 'signed heads are evidence'); END;
