-- @database, @loader: nothing of a load stays behind, whether it worked or not.
EXECUTE IMMEDIATE CONCAT('DROP DATABASE IF EXISTS `', @database, '__loading`');
SET SESSION sql_log_bin = 0;
EXECUTE IMMEDIATE CONCAT('DROP USER IF EXISTS ', QUOTE(@loader), '@localhost');
