-- @database: the names of its views, a line each.
SELECT table_name FROM information_schema.tables
WHERE table_schema = @database AND table_type <> 'BASE TABLE' ORDER BY table_name;
