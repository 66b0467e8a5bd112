-- Asks for the parked events of stream $1, '' for all streams, of the subscriptions $2
-- to be delivered again. Answers how many there are.
WITH asked AS (
    UPDATE {schema}.parked SET redrive = true
    WHERE subscription = ANY ($2::text[]) AND ($1 = '' OR stream_id = $1)
    RETURNING 1)
SELECT count(*) FROM asked
