
;
-- Run behind a dump, in its session: proof that the whole dump was understood.
CREATE TABLE enstratus_end_of_dump (reached BOOLEAN);
