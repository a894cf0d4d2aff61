-- @database: how many things other than tables the schema holds. A datasource has none of them.
SELECT
    (SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = @database AND table_type <> 'BASE TABLE')
    + (SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = @database)
    + (SELECT COUNT(*) FROM information_schema.routines WHERE routine_schema = @database)
    + (SELECT COUNT(*) FROM information_schema.events WHERE event_schema = @database);
