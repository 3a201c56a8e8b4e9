-- One text for SQLite and PostgreSQL. Times are milliseconds since 1970 in UTC, 0 where there is none.

-- +goose Up

-- Which organization of which desk carries which project's number.
CREATE TABLE link (
    desk         TEXT   NOT NULL,
    organization TEXT   NOT NULL,
    project      BIGINT NOT NULL,
    PRIMARY KEY (desk, organization)
);
CREATE INDEX link_project ON link (desk, project);

-- Up to when a desk's links were read in bulk.
CREATE TABLE links_read (
    desk       TEXT   NOT NULL PRIMARY KEY,
    read_until BIGINT NOT NULL
);

-- The members that the last good run of an organization left, as a JSON list of ids.
CREATE TABLE baseline (
    desk         TEXT   NOT NULL,
    organization TEXT   NOT NULL,
    members      TEXT   NOT NULL,
    taken_at     BIGINT NOT NULL,
    PRIMARY KEY (desk, organization)
);

-- Who may write for a project now. Rows stay, because a fence number must never come twice.
CREATE TABLE lease (
    project    BIGINT NOT NULL PRIMARY KEY,
    holder     TEXT   NOT NULL,
    fence      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- The audit trail: runs, what each changed, and what it could not. Seq is the order in which they began.
CREATE TABLE run (
    id                TEXT   NOT NULL PRIMARY KEY,
    seq               BIGINT NOT NULL,
    project           TEXT   NOT NULL,
    status            TEXT   NOT NULL,
    started_by        TEXT   NOT NULL,
    approved_by       TEXT   NOT NULL,
    commit_id         TEXT   NOT NULL,
    committer         TEXT   NOT NULL,
    digest            TEXT   NOT NULL,
    remainder         TEXT   NOT NULL,
    organization      TEXT   NOT NULL,
    organization_name TEXT   NOT NULL,
    summary           TEXT   NOT NULL,
    requests          TEXT   NOT NULL,
    error_class       TEXT   NOT NULL,
    error             TEXT   NOT NULL,
    started_at        BIGINT NOT NULL,
    finished_at       BIGINT NOT NULL
);
CREATE INDEX run_seq ON run (seq);
CREATE INDEX run_project ON run (project, seq);

CREATE TABLE run_change (
    run         TEXT   NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    position    BIGINT NOT NULL,
    action      TEXT   NOT NULL,
    email       TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    person      TEXT   NOT NULL,
    was_email   TEXT   NOT NULL,
    was_name    TEXT   NOT NULL,
    result      TEXT   NOT NULL,
    error_class TEXT   NOT NULL,
    detail      TEXT   NOT NULL,
    line        BIGINT NOT NULL,
    PRIMARY KEY (run, position)
);

CREATE TABLE run_conflict (
    run         TEXT   NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    position    BIGINT NOT NULL,
    email       TEXT   NOT NULL,
    error_class TEXT   NOT NULL,
    detail      TEXT   NOT NULL,
    line        BIGINT NOT NULL,
    PRIMARY KEY (run, position)
);

-- An operator's word that held changes may be made; changes is a JSON list of their keys.
CREATE TABLE approval (
    id          TEXT   NOT NULL PRIMARY KEY,
    seq         BIGINT NOT NULL,
    project     BIGINT NOT NULL,
    digest      TEXT   NOT NULL,
    changes     TEXT   NOT NULL,
    approved_by TEXT   NOT NULL,
    approved_at BIGINT NOT NULL,
    spent_at    BIGINT NOT NULL
);
CREATE INDEX approval_project ON approval (project, seq);
