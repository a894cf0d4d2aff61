-- One line: OK, or what is amiss.
SELECT CASE
    WHEN @@skip_networking THEN 'MariaDB answers on its socket only: not configured, or not restarted since'
    WHEN NOT EXISTS (SELECT 1 FROM enstratus.datasource) THEN 'no datasource has been loaded'
    ELSE COALESCE(
        (SELECT CONCAT('datasource missing: ', GROUP_CONCAT(name ORDER BY name SEPARATOR ', '))
         FROM enstratus.datasource AS wanted
         WHERE NOT EXISTS (
             SELECT 1 FROM information_schema.tables AS present
             WHERE present.table_schema = wanted.schema_name)),
        'OK')
END;
