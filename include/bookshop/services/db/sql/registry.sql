-- What this instance was given, kept with the data so that both share one fate.
CREATE DATABASE IF NOT EXISTS enstratus CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS enstratus.datasource (
    name VARCHAR(64) NOT NULL PRIMARY KEY,
    schema_name VARCHAR(64) NOT NULL,
    checksum CHAR(64) NOT NULL COMMENT 'SHA-256 of the dump',
    loaded TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS enstratus.access (
    grantee VARCHAR(64) NOT NULL COMMENT 'the dependent service',
    datasource VARCHAR(64) NOT NULL,
    schema_name VARCHAR(64) NOT NULL,
    user VARCHAR(80) NOT NULL,
    address VARCHAR(60) NOT NULL,
    open BOOLEAN NOT NULL COMMENT 'false: to be taken back by access-prune.sql',
    PRIMARY KEY (grantee, datasource, user, address)
) COLLATE utf8mb4_bin;
