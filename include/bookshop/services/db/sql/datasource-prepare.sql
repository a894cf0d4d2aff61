-- @database, @loader: a fresh schema beside the real one, and an account that can do nothing but fill it.
SET @loading = CONCAT(@database, '__loading');
EXECUTE IMMEDIATE CONCAT('DROP DATABASE IF EXISTS `', @loading, '`');
EXECUTE IMMEDIATE CONCAT('CREATE DATABASE `', @loading, '` CHARACTER SET utf8mb4');
-- Replicants repeat what is loaded; the account is this server's own.
SET SESSION sql_log_bin = 0;
EXECUTE IMMEDIATE CONCAT('CREATE OR REPLACE USER ', QUOTE(@loader), '@localhost IDENTIFIED VIA unix_socket');
-- An underscore in a grant stands for any character unless it is escaped.
EXECUTE IMMEDIATE CONCAT('GRANT ALL ON `', REPLACE(@loading, '_', '\\_'), '`.* TO ', QUOTE(@loader), '@localhost');
