-- The setups, removals and repairs of contact management projects, step by step, so that one that stopped is continued.

-- +goose Up

CREATE TABLE procedure (
    id                TEXT   NOT NULL PRIMARY KEY,
    seq               BIGINT NOT NULL, -- the order in which they began
    revision          BIGINT NOT NULL, -- how often it was saved
    desk              TEXT   NOT NULL,
    kind              TEXT   NOT NULL, -- setup, removal, restore or repair
    organization      TEXT   NOT NULL,
    organization_name TEXT   NOT NULL,
    project           BIGINT NOT NULL, -- 0 until there is one
    commit_id         TEXT   NOT NULL, -- that it made last, '' for none
    state             TEXT   NOT NULL, -- running, failed or done
    command           TEXT   NOT NULL, -- JSON: the arguments of the command that continues it
    steps             TEXT   NOT NULL, -- JSON: what became of each
    error             TEXT   NOT NULL, -- JSON: of the step that failed, or null
    asked_by          TEXT   NOT NULL,
    started_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL
);
-- Whoever would begin a second one continues the first.
CREATE UNIQUE INDEX procedure_unfinished ON procedure (desk, kind, organization) WHERE state <> 'done';
CREATE INDEX procedure_seq ON procedure (desk, seq);
CREATE INDEX procedure_updated ON procedure (updated_at) WHERE state = 'done';
