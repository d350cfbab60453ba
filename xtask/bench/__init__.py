"""`xtask bench`: what the stack costs, as ratios to something measured in the same run.

Machines are shared and noisy, so a figure alone means little: each bench interleaves its subject with a peer or a floor
and reports medians and their ratio.
"""

from __future__ import annotations

import cyclopts

app = cyclopts.App(name="bench", version_flags=(), help="Measure the stack, as ratios to a floor in the same run.")
app.command("xtask.bench.startup:startup", name="startup", help="Warm run-all to 'services are running'.")
app.command("xtask.bench.omdb:omdb", name="omdb", help="omdb nexus sagas list against psql -c 'select 1'.")
app.command("xtask.bench.move:move", name="move", help="Sagas of an expunged Nexus, against plain recovery.")
app.command(
    "xtask.bench.sagas.command:sagas",
    name="sagas",
    help="What a saga costs, beside pgbench or DBOS.",
)
