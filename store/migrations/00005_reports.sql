-- What people are told on the forge.

-- +goose Up

-- What is still to be told: how runs of a project ended, where request is 0, else about one of its merge requests.
-- Whatever asks for it raises wanted; telling sets done to what wanted was when it began.
CREATE TABLE report (
    project    BIGINT  NOT NULL,
    request    BIGINT  NOT NULL,
    wanted     BIGINT  NOT NULL,
    done       BIGINT  NOT NULL,
    wanted_at  BIGINT  NOT NULL, -- since when it is owed
    pending_at BIGINT  NOT NULL, -- when it was last asked to say that a run is still to come
    telling    TEXT    NOT NULL, -- a fingerprint of what is to be told
    told       TEXT    NOT NULL, -- and of what was told last
    tries      BIGINT  NOT NULL, -- that failed in a row
    since      BIGINT  NOT NULL, -- the first of them
    retry_at   BIGINT  NOT NULL,
    given_up   BOOLEAN NOT NULL,
    problem    TEXT    NOT NULL, -- why it is tried again, or was given up
    PRIMARY KEY (project, request)
);
CREATE INDEX report_owed ON report (wanted_at) WHERE wanted > done;
CREATE INDEX report_retry ON report (retry_at) WHERE retry_at > 0;

-- What stands on the forge, so that it is changed and not repeated. Subject is a commit, or "!" and a request's number.
CREATE TABLE told (
    project    BIGINT  NOT NULL,
    subject    TEXT    NOT NULL,
    run        TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    discussion TEXT    NOT NULL,
    note       BIGINT  NOT NULL,
    noting     BOOLEAN NOT NULL,
    body       TEXT    NOT NULL, -- a digest of what the note says
    wrong      BOOLEAN NOT NULL, -- it tells of something to be mended
    resolved   BOOLEAN NOT NULL,
    resolving  BOOLEAN NOT NULL, -- whether it is resolved is not known
    written_at BIGINT  NOT NULL,
    PRIMARY KEY (project, subject)
);
CREATE INDEX told_written ON told (written_at);

-- Each project's badge: the part of its address that nobody can guess, and how it was last set on the forge.
CREATE TABLE badge (
    project BIGINT NOT NULL PRIMARY KEY,
    key     TEXT   NOT NULL UNIQUE,
    number  BIGINT NOT NULL, -- on the forge; 0 where it is not known
    link    TEXT   NOT NULL,
    image   TEXT   NOT NULL
);

-- The last run that succeeded or found nothing to do, and how many contacts there were.
ALTER TABLE project ADD COLUMN synced_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE project ADD COLUMN contacts BIGINT NOT NULL DEFAULT 0;

ALTER TABLE run ADD COLUMN contacts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN project_url TEXT NOT NULL DEFAULT '';
ALTER TABLE run ADD COLUMN report TEXT NOT NULL DEFAULT ''; -- told or given_up; the last run's is waiting while it is neither
ALTER TABLE run ADD COLUMN report_problem TEXT NOT NULL DEFAULT '';
