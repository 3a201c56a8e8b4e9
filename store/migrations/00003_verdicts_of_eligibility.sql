-- Who asked for a contact management project, what was judged, and what operators attested.

-- +goose Up

CREATE TABLE verdict (
    id                TEXT    NOT NULL PRIMARY KEY,
    seq               BIGINT  NOT NULL, -- the order in which they were given
    desk              TEXT    NOT NULL,
    organization      TEXT    NOT NULL,
    organization_name TEXT    NOT NULL,
    requester         TEXT    NOT NULL,
    username          TEXT    NOT NULL,
    namespace         TEXT    NOT NULL,
    eligible          BOOLEAN NOT NULL,
    criteria          TEXT    NOT NULL, -- JSON: each with its state, evidence and attestation
    judged_by         TEXT    NOT NULL,
    judged_at         BIGINT  NOT NULL
);
CREATE INDEX verdict_organization ON verdict (desk, organization, seq);
CREATE INDEX verdict_judged ON verdict (judged_at);
