-- What is still to be done, and what was asked for by whom. The jobs themselves are River's, in tables of its own.

-- +goose Up

-- How each project stands. Whatever asks for a run raises wanted; a run that ends sets done to what wanted was when it
-- began. While wanted is higher, a run is owed.
CREATE TABLE project (
    project       BIGINT NOT NULL PRIMARY KEY,
    wanted        BIGINT NOT NULL,
    done          BIGINT NOT NULL,
    wanted_at     BIGINT NOT NULL, -- since when a run is owed
    wanted_by     TEXT   NOT NULL, -- the trigger that asked last
    run           TEXT   NOT NULL, -- the last one that ended
    status        TEXT   NOT NULL,
    error_class   TEXT   NOT NULL, -- why it is to be tried again
    ended_at      BIGINT NOT NULL,
    held          BIGINT NOT NULL, -- changes that wait for an approval
    failures      BIGINT NOT NULL, -- runs in a row that ended with this class
    failing_since BIGINT NOT NULL,
    retry_at      BIGINT NOT NULL  -- when it is tried again by itself
);
CREATE INDEX project_owed ON project (wanted_at) WHERE wanted > done;
CREATE INDEX project_retry ON project (retry_at) WHERE retry_at > 0;

-- What wanted was when the run began.
ALTER TABLE run ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
CREATE INDEX run_started ON run (started_at);

-- Hooks that were answered with success. Key is the sender's, or our own id where it gave none.
CREATE TABLE delivery (
    id          TEXT   NOT NULL PRIMARY KEY,
    project     BIGINT NOT NULL,
    key         TEXT   NOT NULL,
    event       TEXT   NOT NULL,
    generation  BIGINT NOT NULL, -- the project's wanted that it asked for
    arrivals    BIGINT NOT NULL, -- how often it came
    received_at BIGINT NOT NULL,
    UNIQUE (project, key)
);
CREATE INDEX delivery_received ON delivery (received_at);

-- Scheduled sweeps over all linked projects of a desk. Tick is when the schedule wanted it.
CREATE TABLE sweep (
    id          TEXT   NOT NULL PRIMARY KEY,
    desk        TEXT   NOT NULL,
    tick        BIGINT NOT NULL,
    state       TEXT   NOT NULL, -- listing, running, passed or held
    projects    BIGINT NOT NULL,
    losing      BIGINT NOT NULL, -- organizations that would lose members
    removals    BIGINT NOT NULL,
    members     BIGINT NOT NULL,
    started_at  BIGINT NOT NULL,
    finished_at BIGINT NOT NULL,
    UNIQUE (desk, tick)
);

CREATE TABLE sweep_project (
    sweep             TEXT    NOT NULL REFERENCES sweep (id) ON DELETE CASCADE,
    project           BIGINT  NOT NULL,
    organization      TEXT    NOT NULL,
    organization_name TEXT    NOT NULL,
    due_at            BIGINT  NOT NULL,
    done              BOOLEAN NOT NULL,
    members           BIGINT  NOT NULL,
    removals          BIGINT  NOT NULL, -- that were put back until the sweep was judged
    PRIMARY KEY (sweep, project)
);
CREATE INDEX sweep_project_left ON sweep_project (sweep) WHERE NOT done;

-- When something was last done that happens by itself.
CREATE TABLE last_done (
    name    TEXT   NOT NULL PRIMARY KEY,
    done_at BIGINT NOT NULL
);

-- What the forge says of each linked project's hook.
CREATE TABLE hook (
    project       BIGINT  NOT NULL PRIMARY KEY,
    looked_at     BIGINT  NOT NULL, -- when it was last tried
    seen_at       BIGINT  NOT NULL, -- when the forge last answered
    failed_event  BIGINT  NOT NULL, -- the number of the newest failed delivery that was made good
    disabled      BOOLEAN NOT NULL,
    problem       TEXT    NOT NULL  -- why it could not be looked at, for operators
);
