-- @source (the master's id): what is to be done to be a copy of it. One word: copy; follow (it is one already);
-- other (it is a copy of another instance); own (it has data that came from no master).
SELECT CASE
    -- A copy that broke off is worth nothing.
    WHEN EXISTS (SELECT 1 FROM enstratus.replica WHERE NOT complete) THEN 'copy'
    WHEN EXISTS (SELECT 1 FROM enstratus.replica WHERE source = @source) THEN 'follow'
    WHEN EXISTS (SELECT 1 FROM enstratus.replica) THEN 'other'
    WHEN EXISTS (SELECT 1 FROM enstratus.datasource) THEN 'own'
    ELSE 'copy'
END;
