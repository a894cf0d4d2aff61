-- @grantee, @datasource, @database, @user, @password, @addresses (comma-separated): notes the wanted accounts,
-- then makes them. What the grantee had before and is not wanted now is left to access-prune.sql.
-- Accounts are each server's own business, master or replicant.
SET SESSION sql_log_bin = 0;

START TRANSACTION;
UPDATE enstratus.access SET open = FALSE WHERE grantee = @grantee AND datasource = @datasource;
INSERT INTO enstratus.access (grantee, datasource, schema_name, user, address, open)
SELECT DISTINCT @grantee, @datasource, @database, @user, wanted.address, TRUE
FROM JSON_TABLE(
    CONCAT('["', REPLACE(@addresses, ',', '","'), '"]'),
    '$[*]' COLUMNS (address VARCHAR(60) PATH '$')) AS wanted
WHERE wanted.address <> ''
ON DUPLICATE KEY UPDATE schema_name = VALUES(schema_name), open = TRUE;
COMMIT;

DELIMITER //
BEGIN NOT ATOMIC
    FOR wanted IN (
        SELECT CONCAT(QUOTE(user), '@', QUOTE(address)) AS account
        FROM enstratus.access
        WHERE grantee = @grantee AND datasource = @datasource AND open)
    DO
        EXECUTE IMMEDIATE CONCAT('CREATE USER IF NOT EXISTS ', wanted.account, ' IDENTIFIED BY ', QUOTE(@password));
        -- The password may have changed since the account was made.
        EXECUTE IMMEDIATE CONCAT('ALTER USER ', wanted.account, ' IDENTIFIED BY ', QUOTE(@password));
        EXECUTE IMMEDIATE CONCAT(
            'GRANT SELECT, INSERT, UPDATE, DELETE ON `', REPLACE(@database, '_', '\\_'), '`.* TO ', wanted.account);
    END FOR;
END //
DELIMITER ;
