-- @user, @database: drops the accounts that are granted to no service any more, those of @user made by hand among them,
-- and takes the schema back from accounts that are still granted another one.
DELIMITER //
BEGIN NOT ATOMIC
    FOR stale IN (
        SELECT CONCAT(QUOTE(account.user), '@', QUOTE(account.host)) AS account
        FROM mysql.global_priv AS account
        WHERE (account.user = @user
               OR EXISTS (SELECT 1 FROM enstratus.access AS closed
                          WHERE closed.user = account.user AND closed.address = account.host AND NOT closed.open))
            AND NOT EXISTS (SELECT 1 FROM enstratus.access AS kept
                            WHERE kept.user = account.user AND kept.address = account.host AND kept.open))
    DO
        EXECUTE IMMEDIATE CONCAT('DROP USER IF EXISTS ', stale.account);
        -- Without this a connection that is open already would outlive its account.
        EXECUTE IMMEDIATE CONCAT('KILL CONNECTION USER ', stale.account);
    END FOR;
    FOR narrowed IN (
        SELECT CONCAT(QUOTE(privilege.user), '@', QUOTE(privilege.host)) AS account, privilege.db AS pattern
        FROM mysql.db AS privilege
        JOIN enstratus.access AS closed
            ON closed.user = privilege.user AND closed.address = privilege.host AND NOT closed.open
            AND REPLACE(closed.schema_name, '_', '\\_') = privilege.db
        WHERE NOT EXISTS (SELECT 1 FROM enstratus.access AS kept
                          WHERE kept.user = privilege.user AND kept.address = privilege.host AND kept.open
                              AND kept.schema_name = closed.schema_name))
    DO
        EXECUTE IMMEDIATE CONCAT('REVOKE ALL ON `', narrowed.pattern, '`.* FROM ', narrowed.account);
    END FOR;
END //
DELIMITER ;
DELETE FROM enstratus.access WHERE NOT open;
