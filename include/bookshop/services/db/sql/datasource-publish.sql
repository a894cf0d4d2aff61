-- @datasource, @database, @checksum: moves the loaded tables to their place, and those that were there before
-- to SCHEMA__previous, in one atomic statement.
SET @loading = CONCAT(@database, '__loading');
SET @previous = CONCAT(@database, '__previous');
SET SESSION group_concat_max_len = 16777216;

DELIMITER //
BEGIN NOT ATOMIC
    IF NOT EXISTS (
        SELECT 1 FROM information_schema.tables
        WHERE table_schema = @loading AND table_name = 'enstratus_end_of_dump') THEN
        SIGNAL SQLSTATE '45000'
            SET MESSAGE_TEXT = 'the dump ends within a string, a comment or a DELIMITER: is it cut off?';
    END IF;
    EXECUTE IMMEDIATE CONCAT('DROP TABLE `', @loading, '`.enstratus_end_of_dump');
    IF EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = @loading AND table_type <> 'BASE TABLE')
        OR EXISTS (SELECT 1 FROM information_schema.triggers WHERE trigger_schema = @loading)
        OR EXISTS (SELECT 1 FROM information_schema.routines WHERE routine_schema = @loading)
        OR EXISTS (SELECT 1 FROM information_schema.events WHERE event_schema = @loading) THEN
        SIGNAL SQLSTATE '45000'
            SET MESSAGE_TEXT = 'the dump holds more than tables (views, triggers, routines or events)';
    END IF;
    IF NOT EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = @loading) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the dump makes no table';
    END IF;
END //
DELIMITER ;

EXECUTE IMMEDIATE CONCAT('CREATE DATABASE IF NOT EXISTS `', @database, '` CHARACTER SET utf8mb4');
EXECUTE IMMEDIATE CONCAT('DROP DATABASE IF EXISTS `', @previous, '`');
EXECUTE IMMEDIATE CONCAT('CREATE DATABASE `', @previous, '` CHARACTER SET utf8mb4');

SELECT CONCAT('RENAME TABLE ', GROUP_CONCAT(
    '`', table_schema, '`.`', REPLACE(table_name, '`', '``'), '` TO `',
    IF(table_schema = @loading, @database, @previous), '`.`', REPLACE(table_name, '`', '``'), '`'
    ORDER BY table_schema = @loading SEPARATOR ', '))
INTO @move
FROM information_schema.tables
WHERE table_schema IN (@loading, @database) AND table_type = 'BASE TABLE';
EXECUTE IMMEDIATE @move;

REPLACE INTO enstratus.datasource (name, schema_name, checksum) VALUES (@datasource, @database, @checksum);

DELIMITER //
BEGIN NOT ATOMIC
    IF NOT EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = @previous) THEN
        EXECUTE IMMEDIATE CONCAT('DROP DATABASE `', @previous, '`');
    END IF;
END //
DELIMITER ;
