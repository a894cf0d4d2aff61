-- What this instance was given, kept with the data so that both share one fate.
-- Each instance makes these by itself: a replicant is not to repeat it.
SET SESSION sql_log_bin = 0;

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

CREATE TABLE IF NOT EXISTS enstratus.instance (
    id CHAR(36) NOT NULL COMMENT 'of the master; a copy has the id of what it is a copy of'
) COLLATE utf8mb4_bin;
INSERT INTO enstratus.instance (id) SELECT UUID() FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM enstratus.instance);

CREATE TABLE IF NOT EXISTS enstratus.replica (
    the_only BOOLEAN NOT NULL PRIMARY KEY CHECK (the_only),
    source CHAR(36) NOT NULL COMMENT 'the id of the master that this is a copy of',
    complete BOOLEAN NOT NULL
) COLLATE utf8mb4_bin COMMENT 'a row on replicants only';
