-- Where the deployment has moved to (`jeton move`): this database is not served any more.
ALTER TABLE meta ADD COLUMN moved_to TEXT;
CREATE TRIGGER moved_database_stays BEFORE UPDATE ON meta WHEN OLD.moved_to IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'the database has moved and takes no more changes');
END;
