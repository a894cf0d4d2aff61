-- @source: notes that a copy of that master has begun, and throws away what an earlier one has left.
STOP SLAVE;
RESET SLAVE ALL;
REPLACE INTO enstratus.replica (the_only, source, complete) VALUES (TRUE, @source, FALSE);

DELIMITER //
BEGIN NOT ATOMIC
    FOR stale IN (
        SELECT schema_name AS name
        FROM information_schema.schemata
        WHERE schema_name NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema', 'enstratus'))
    DO
        EXECUTE IMMEDIATE CONCAT('DROP DATABASE `', REPLACE(stale.name, '`', '``'), '`');
    END FOR;
END //
DELIMITER ;
