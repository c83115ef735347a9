-- Who acted, read out of the line itself, so that it cannot say otherwise: `ps NUMBER`, `struct NUMBER` (whom the act is
-- imputed to), or empty.
ALTER TABLE journal ADD COLUMN actor TEXT GENERATED ALWAYS AS (
    CASE WHEN json_valid(line)
         THEN COALESCE('ps ' || (line ->> '$.actor.ps_id'), 'struct ' || (line ->> '$.actor.struct_id'), '')
         ELSE '' END) VIRTUAL;
CREATE INDEX journal_by_actor ON journal (actor, at_us) WHERE actor <> '';

-- One row: how far the journal went out to the audit repository (ATNA), and which gateway sends.
CREATE TABLE syslog_cursor (
    position INTEGER NOT NULL,                         -- of the last line that the receiver took
    holder   TEXT    NOT NULL,                         -- UUID of a gateway's run; empty when nobody sends
    until_us INTEGER NOT NULL                          -- the end of its lease: from then on another one may send
) STRICT;
INSERT INTO syslog_cursor (position, holder, until_us) VALUES (0, '', 0);
