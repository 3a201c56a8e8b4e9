-- What operators are told of because it needs a person, once for each event and not once for each run.

-- +goose Up

CREATE TABLE notice (
    key      TEXT   NOT NULL PRIMARY KEY, -- the same event always has the same
    event    TEXT   NOT NULL,
    project  BIGINT NOT NULL, -- 0 where it is about none
    data     TEXT   NOT NULL, -- JSON: what is told, without anything secret
    found_at BIGINT NOT NULL,
    seen_at  BIGINT NOT NULL  -- when it was last still so: what is still so is not forgotten, or it would be told again
);
CREATE INDEX notice_seen ON notice (seen_at);

-- What became of telling each target. A target is the name that the configuration gives it, never its address.
CREATE TABLE notice_delivery (
    notice   TEXT   NOT NULL REFERENCES notice (key) ON DELETE CASCADE,
    target   TEXT   NOT NULL,
    state    TEXT   NOT NULL, -- waiting, sent or given_up
    tries    BIGINT NOT NULL,
    began_at BIGINT NOT NULL, -- the first try
    next_at  BIGINT NOT NULL, -- waiting: not before
    problem  TEXT   NOT NULL, -- why the last try failed
    PRIMARY KEY (notice, target)
);
CREATE INDEX notice_delivery_waiting ON notice_delivery (target, next_at) WHERE state = 'waiting';

-- Since when a hook is disabled.
ALTER TABLE hook ADD COLUMN disabled_at BIGINT NOT NULL DEFAULT 0;
UPDATE hook SET disabled_at = looked_at WHERE disabled;
