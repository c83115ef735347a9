-- The access journal: append-only, each line sealed with the one before.
CREATE TABLE journal (
    position   INTEGER NOT NULL PRIMARY KEY,           -- 1, 2, 3... without a gap
    at_us      INTEGER NOT NULL,
    dossier_id TEXT    NOT NULL,                       -- empty when no record is concerned
    line       TEXT    NOT NULL,                       -- the event, canonical JSON
    seal       BLOB    NOT NULL                        -- SHA-256 of the seal before, the position and the line
) STRICT;
CREATE INDEX journal_by_dossier ON journal (dossier_id, position);

CREATE TRIGGER journal_keeps_lines BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_loses_nothing BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
