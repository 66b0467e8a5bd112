-- Whether a window holds anything. In the braces goes the statement that reads it.
SELECT EXISTS ({window})
