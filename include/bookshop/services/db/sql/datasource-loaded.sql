-- @datasource, @database, @checksum: is this very dump there?
SELECT IF(
    EXISTS (
        SELECT 1 FROM enstratus.datasource
        WHERE name = @datasource AND schema_name = @database AND checksum = @checksum)
    AND EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = @database),
    'yes', 'no');
