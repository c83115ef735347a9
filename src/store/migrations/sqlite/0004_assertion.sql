-- Assertions that were presented: what is known comes in no second time, over whichever gateway on this database.
CREATE TABLE assertion_seen (
    assertion_key BLOB    NOT NULL PRIMARY KEY,        -- SHA-256 of the signer's key and the id of the assertion
    until_us      INTEGER NOT NULL                     -- from then on no gateway would take it anyway
) STRICT, WITHOUT ROWID;
CREATE INDEX assertion_seen_by_end ON assertion_seen (until_us);

-- The assertions by which a structure vouched for a professional (AIR), as they were sent: evidence (EX_AIR-070).
CREATE TABLE assertion_kept (
    assertion_key BLOB    NOT NULL PRIMARY KEY,
    at_us         INTEGER NOT NULL,
    text          TEXT    NOT NULL
) STRICT;

CREATE TRIGGER assertion_kept_stays BEFORE UPDATE ON assertion_kept
BEGIN SELECT RAISE(ABORT, 'kept assertions are evidence'); END;
CREATE TRIGGER assertion_kept_is_not_lost BEFORE DELETE ON assertion_kept
BEGIN SELECT RAISE(ABORT, 'kept assertions are evidence'); END;
