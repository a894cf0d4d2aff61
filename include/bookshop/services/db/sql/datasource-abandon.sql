-- @database, @loader: nothing of a load stays behind, whether it worked or not.
EXECUTE IMMEDIATE CONCAT('DROP DATABASE IF EXISTS `', @database, '__loading`');
EXECUTE IMMEDIATE CONCAT('DROP USER IF EXISTS ', QUOTE(@loader), '@localhost');
