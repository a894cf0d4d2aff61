-- @user, @password, @addresses (comma-separated): notes which replicants may come, and makes their accounts. Those
-- of replicants that are gone are left to access-prune.sql.
-- Accounts are each server's own business: what is done here is not repeated by the replicants.
SET SESSION sql_log_bin = 0;

START TRANSACTION;
UPDATE enstratus.access SET open = FALSE WHERE grantee = '' AND datasource = '';
INSERT INTO enstratus.access (grantee, datasource, schema_name, user, address, open)
SELECT DISTINCT '', '', '', @user, wanted.address, TRUE
FROM JSON_TABLE(
    CONCAT('["', REPLACE(@addresses, ',', '","'), '"]'),
    '$[*]' COLUMNS (address VARCHAR(60) PATH '$')) AS wanted
WHERE wanted.address <> ''
ON DUPLICATE KEY UPDATE open = TRUE;
COMMIT;

DELIMITER //
BEGIN NOT ATOMIC
    FOR wanted IN (
        SELECT CONCAT(QUOTE(user), '@', QUOTE(address)) AS account
        FROM enstratus.access
        WHERE grantee = '' AND datasource = '' AND open)
    DO
        EXECUTE IMMEDIATE CONCAT('CREATE USER IF NOT EXISTS ', wanted.account, ' IDENTIFIED BY ', QUOTE(@password));
        -- The password may have changed since the account was made.
        EXECUTE IMMEDIATE CONCAT('ALTER USER ', wanted.account, ' IDENTIFIED BY ', QUOTE(@password));
        -- To follow what is done, and to read all that there is for the first copy.
        EXECUTE IMMEDIATE CONCAT(
            'GRANT REPLICATION SLAVE, BINLOG MONITOR, SELECT, SHOW VIEW ON *.* TO ', wanted.account);
    END FOR;
END //
DELIMITER ;
