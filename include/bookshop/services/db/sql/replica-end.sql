-- @source: the copy of that master is complete.
REPLACE INTO enstratus.replica (the_only, source, complete) VALUES (TRUE, @source, TRUE);
