-- The control plane's database, version 1.
--
-- Constructs are kept to what Postgres and CockroachDB share; see docs/operating.md. Every file in this directory is
-- one version, applied in the order of its number inside one transaction, and ends by recording that number.

CREATE TABLE db_metadata (
    singleton      BOOL PRIMARY KEY DEFAULT true CHECK (singleton),
    schema_version INT8 NOT NULL,
    time_created   TIMESTAMPTZ NOT NULL DEFAULT now(),
    time_modified  TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- One rack, once it has been initialized. A Nexus waits for this row before it runs anything.
CREATE TABLE rack (
    id               UUID PRIMARY KEY,
    time_initialized TIMESTAMPTZ NOT NULL,
    external_dns_zone TEXT NOT NULL
);

-- What the rack has; whether a sled may be used is its policy. What is to run there is in the target blueprint.
CREATE TABLE sled (
    id            UUID PRIMARY KEY,
    serial_number TEXT NOT NULL,
    part_number   TEXT NOT NULL,
    revision      INT8 NOT NULL,
    sled_policy   TEXT NOT NULL CHECK (sled_policy IN ('in_service', 'no_provision', 'expunged')),
    time_created  TIMESTAMPTZ NOT NULL,
    time_modified TIMESTAMPTZ NOT NULL,
    UNIQUE (part_number, serial_number)
);

-- ----------------------------------------------------------------------------------------------------- blueprints --

-- Never changed. `contents` is the whole blueprint as the internal API speaks of it; the other columns are taken out of
-- it.
CREATE TABLE blueprint (
    id                  UUID PRIMARY KEY,
    parent_blueprint_id UUID,
    time_created        TIMESTAMPTZ NOT NULL,
    creator             TEXT NOT NULL,
    comment             TEXT NOT NULL,
    nexus_generation    INT8 NOT NULL,
    contents            JSONB NOT NULL
);

-- Append-only: which blueprint was the target from when. The row of the highest version is in force. Which Nexuses are
-- in service is told by that blueprint alone, never by who answers; DNS is made from it. A blueprint of an older row
-- may have been deleted.
CREATE TABLE bp_target (
    version          INT8 PRIMARY KEY CHECK (version > 0),
    blueprint_id     UUID NOT NULL,
    enabled          BOOL NOT NULL,
    time_made_target TIMESTAMPTZ NOT NULL
);

-- Append-only: the row of the highest version is in force.
CREATE TABLE reconfigurator_config (
    version                 INT8 PRIMARY KEY CHECK (version > 0),
    planner_enabled         BOOL NOT NULL,
    tuf_repo_pruner_enabled BOOL NOT NULL,
    disruption_policy       TEXT NOT NULL CHECK (disruption_policy IN
                                ('terminate', 'migrate_or_terminate', 'migrate_only')),
    time_modified           TIMESTAMPTZ NOT NULL
);

-- How far the hand-over from one generation of Nexuses to the next has come.
CREATE TABLE db_metadata_nexus (
    nexus_id                  UUID PRIMARY KEY,
    last_drained_blueprint_id UUID,
    state                     TEXT NOT NULL CHECK (state IN ('active', 'not_yet', 'quiesced'))
);

-- ---------------------------------------------------------------------------------------------------------- sagas --

-- Which process has a SEC id: the one that entered it last. Whoever has an older incarnation ends itself.
CREATE TABLE sec_process (
    sec_id                UUID PRIMARY KEY,
    incarnation           INT8 NOT NULL,    -- rises with every process
    pid                   INT8 NOT NULL,
    host                  TEXT NOT NULL,
    time_entered          TIMESTAMPTZ NOT NULL,
    expunged_blueprint_id UUID              -- the first target in which that Nexus is expunged: it creates no sagas
);

CREATE TABLE saga (
    id               UUID PRIMARY KEY,
    creator          UUID NOT NULL,
    time_created     TIMESTAMPTZ NOT NULL,
    name             TEXT NOT NULL CHECK (length(name) <= 128),
    saga_dag         JSONB NOT NULL,
    saga_state       TEXT NOT NULL CHECK (saga_state IN ('running', 'unwinding', 'done', 'abandoned')),
    current_sec      UUID,
    adopt_generation INT8 NOT NULL DEFAULT 1,
    adopt_time       TIMESTAMPTZ NOT NULL,
    -- Rises at every recovery and adoption. Each write of the log's holder is conditional on it; actions hand it on as
    -- a fencing token.
    claim            INT8 NOT NULL DEFAULT 1,
    abandon_time     TIMESTAMPTZ,
    abandon_reason   TEXT CHECK (abandon_reason IN ('omdb', 'unrecoverable', 'orphaned')),
    abandon_comment  TEXT,
    CHECK ((saga_state = 'abandoned') = (abandon_time IS NOT NULL)),
    CHECK ((saga_state = 'abandoned') = (abandon_reason IS NOT NULL)),
    CHECK ((saga_state = 'abandoned') = (abandon_comment IS NOT NULL))
);

CREATE INDEX saga_by_sec ON saga (current_sec, id) WHERE saga_state <> 'done';

CREATE TABLE saga_node_event (
    saga_id    UUID NOT NULL,
    node_id    INT8 NOT NULL,
    event_type TEXT NOT NULL CHECK (event_type IN
                   ('started', 'succeeded', 'failed', 'undo_started', 'undo_finished', 'undo_failed')),
    data       JSONB,            -- output of 'succeeded' (JSON null counts), error of 'failed' and 'undo_failed'
    event_time TIMESTAMPTZ NOT NULL,
    creator    UUID NOT NULL,    -- the SEC that wrote it
    claim      INT8 NOT NULL,    -- the claim it wrote under
    log_index  INT8 NOT NULL,    -- order within the saga, from 0, as the writer enqueued it
    PRIMARY KEY (saga_id, node_id, event_type)
);

-- Append-only: who held the log, from when, why. Row 1 is the creation.
CREATE TABLE saga_claim (
    saga_id          UUID NOT NULL,
    claim            INT8 NOT NULL,
    sec_id           UUID NOT NULL,
    adopt_generation INT8 NOT NULL,
    time             TIMESTAMPTZ NOT NULL,
    reason           TEXT NOT NULL CHECK (reason IN ('created', 'recovered', 'adopted', 'injected', 'abandoned')),
    PRIMARY KEY (saga_id, claim)
);

-- Append-only: every call of an action or an undo action that ended in something the log does not hold by itself,
-- such as a retried transient error, and every call that a recovery repeated.
CREATE TABLE saga_node_attempt (
    saga_id UUID NOT NULL,
    node_id INT8 NOT NULL,
    kind    TEXT NOT NULL CHECK (kind IN ('action', 'undo')),
    attempt INT8 NOT NULL,
    claim   INT8 NOT NULL,
    time    TIMESTAMPTZ NOT NULL,
    error   JSONB,
    PRIMARY KEY (saga_id, node_id, kind, attempt)
);

-- What provision sagas make, and for each saga the highest claim that asked for anything (a fencing token).
CREATE TABLE provisioned_resource (
    saga_id UUID NOT NULL,
    name    TEXT NOT NULL,
    claim   INT8 NOT NULL,
    PRIMARY KEY (saga_id, name)
);

CREATE TABLE provision_claim (
    saga_id UUID PRIMARY KEY,
    claim   INT8 NOT NULL
);

-- ------------------------------------------------------------------------------------------------ silos and logins --

CREATE TABLE silo (
    id           UUID PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE CHECK (length(name) <= 63),
    discoverable BOOL NOT NULL,
    time_created TIMESTAMPTZ NOT NULL
);

CREATE TABLE silo_user (
    id           UUID PRIMARY KEY,
    silo_id      UUID NOT NULL REFERENCES silo (id),
    external_id  TEXT NOT NULL CHECK (length(external_id) <= 63),
    time_created TIMESTAMPTZ NOT NULL,
    UNIQUE (silo_id, external_id)
);

CREATE TABLE silo_user_password_hash (
    silo_user_id UUID PRIMARY KEY REFERENCES silo_user (id),
    hash         TEXT NOT NULL,    -- PHC string, Argon2id
    time_created TIMESTAMPTZ NOT NULL
);

CREATE TABLE console_session (
    id             UUID PRIMARY KEY,
    token_hash     BYTEA NOT NULL UNIQUE,    -- SHA-256 of the cookie's value: a stolen table opens no session
    silo_user_id   UUID NOT NULL REFERENCES silo_user (id),
    time_created   TIMESTAMPTZ NOT NULL,
    time_last_used TIMESTAMPTZ NOT NULL
);

CREATE INDEX console_session_by_creation ON console_session (time_created);

-- ------------------------------------------------------------------------------------------------------------ DNS --

CREATE TABLE dns_zone (
    id           UUID PRIMARY KEY,
    dns_group    TEXT NOT NULL UNIQUE CHECK (dns_group IN ('internal', 'external')),
    zone_name    TEXT NOT NULL,
    time_created TIMESTAMPTZ NOT NULL
);

CREATE TABLE dns_version (
    dns_group    TEXT NOT NULL CHECK (dns_group IN ('internal', 'external')),
    version      INT8 NOT NULL CHECK (version > 0),
    time_created TIMESTAMPTZ NOT NULL,
    creator      TEXT NOT NULL,
    comment      TEXT NOT NULL,
    PRIMARY KEY (dns_group, version)
);

-- A name's records from the version that added them until, not including, the one that removed or changed them.
CREATE TABLE dns_name (
    dns_zone_id     UUID NOT NULL REFERENCES dns_zone (id),
    name            TEXT NOT NULL,
    version_added   INT8 NOT NULL,
    version_removed INT8,
    dns_record_data JSONB NOT NULL,    -- [{"type": "AAAA", "data": "::1"}, ...]
    PRIMARY KEY (dns_zone_id, name, version_added)
);

INSERT INTO db_metadata (schema_version) VALUES (1);
