"""`xtask bench sagas`: what a saga costs, beside pgbench, beside the log alone, and beside DBOS, on one Postgres."""
