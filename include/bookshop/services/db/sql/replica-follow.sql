-- @host, @port, @user, @password: follows that master from where the copy (or the last look) ended.
STOP SLAVE;
-- A second is long for a master that is only restarted; the usual pause is a minute.
EXECUTE IMMEDIATE CONCAT(
    'CHANGE MASTER TO MASTER_HOST = ', QUOTE(@host), ', MASTER_PORT = ', CAST(@port AS UNSIGNED),
    ', MASTER_USER = ', QUOTE(@user), ', MASTER_PASSWORD = ', QUOTE(@password),
    ', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1');
START SLAVE;
