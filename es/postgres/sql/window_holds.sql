-- Whether a window holds anything. {window} is the statement that reads it.
SELECT EXISTS ({window})
