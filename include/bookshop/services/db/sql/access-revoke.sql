-- @grantee, @datasource, @user, @addresses (comma-separated; empty: all of the grantee's): notes what is no
-- longer wanted. access-prune.sql takes it back.
SET SESSION sql_log_bin = 0;
UPDATE enstratus.access
SET open = FALSE
WHERE grantee = @grantee AND datasource = @datasource AND user = @user
    AND (@addresses = '' OR FIND_IN_SET(address, @addresses));
