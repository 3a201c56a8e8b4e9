// Package config is the one configuration of contactsync: a YAML file, overlaid by environment variables, checked as
// a whole, with every problem named at once. Secrets are redacted by their type.
package config

import (
	"time"

	"contactsync"
)

// Config is what can be configured. The tags are the reference: key is the name in the file, default what holds
// without it, text what it is for. Get one from Load or Default.
type Config struct {
	GitLab      GitLab      `key:"gitlab"`
	Desk        string      `key:"desk" default:"zendesk" text:"Which ticketing backend to keep in step: zendesk."`
	Zendesk     Zendesk     `key:"zendesk"`
	Store       string      `key:"store" default:"sqlite:contactsync.db" text:"Where history, approvals, links and the queue are kept: sqlite:PATH, PATH relative to the working directory; or postgres://…, for many machines."`
	Webhook     Webhook     `key:"webhook"`
	Sync        Sync        `key:"sync"`
	Limits      Limits      `key:"limits"`
	Schedule    Schedule    `key:"schedule"`
	Sweep       Sweep       `key:"sweep"`
	Serve       Serve       `key:"serve"`
	Retention   Retention   `key:"retention"`
	Eligibility Eligibility `key:"eligibility"`
	Replies     Replies     `key:"replies"`
	Report      Report      `key:"report"`
	Templates   Templates   `key:"templates"`
	Notify      Notify      `key:"notify"`

	origins  map[string]origin
	warnings []Problem
}

// GitLab is where the contact management projects are.
type GitLab struct {
	URL             string `key:"url" default:"https://gitlab.com" text:"Address of GitLab."`
	Token           Secret `key:"token" text:"Access token of the service account, with the scopes api and read_repository."`
	Group           string `key:"group" default:"support/zd-global-orgs" text:"Group that holds the contact management projects."`
	TemplateProject string `key:"template_project" text:"Id or path of a project in a template group. Empty: the embedded template."`
	Branch          string `key:"branch" default:"master" text:"Branch that is read."`
	File            string `key:"file" default:"contacts.yaml" text:"Path of the contacts file in the repository."`
	DeletionDays    int    `key:"deletion_days" default:"30" text:"For how many days GitLab keeps a deleted project, so that it can be restored. It is GitLab's own setting, and no API tells it."`
}

// Zendesk is the Zendesk account. With both kinds of credentials, the OAuth client is used.
type Zendesk struct {
	URL               string  `key:"url" text:"Address of the Zendesk account, such as https://example.zendesk.com."`
	ClientID          string  `key:"client_id" text:"OAuth client (client credentials): its unique identifier."`
	ClientSecret      Secret  `key:"client_secret" text:"OAuth client: its secret."`
	Email             string  `key:"email" text:"API token: the address of the agent it belongs to. Zendesk retires API tokens on 2027-04-30."`
	Token             Secret  `key:"token" text:"API token."`
	ProjectField      string  `key:"project_field" default:"cmp_id" text:"Key of the organization field that holds the number of the GitLab project."`
	RequestsPerMinute int     `key:"requests_per_minute" default:"0" text:"The account's request limit. 0: learnt from its answers."`
	Budget            float64 `key:"budget" default:"0.5" text:"Share of that limit that contactsync may use, above 0 and up to 1."`
	Bulk              string  `key:"bulk" default:"auto" text:"Bulk import of users: auto, on or off. It is off in many accounts."`
}

// Webhook is the receiver. Any of the four credentials opens it; each may have several values while one is rotated.
type Webhook struct {
	Listen       string   `key:"listen" default:"127.0.0.1:8080" text:"Address and port to listen on."`
	URL          string   `key:"url" text:"Address at which GitLab reaches the receiver, such as https://contacts.example.com. Setup, doctor, remove and audit need it, and so does looking for deliveries that never arrived."`
	SigningToken []Secret `key:"signing_token" text:"Signing tokens of GitLab's webhooks, whsec_ and base64."`
	Token        []Secret `key:"token" text:"Secret tokens of GitLab's webhooks."`
	TriggerToken []Secret `key:"trigger_token" text:"Tokens of hooks that use the original trigger address."`
	MasterKey    []Secret `key:"master_key" text:"Keys that make each project's own credentials: NUMBER:KEY, the key in base64 and at least 32 bytes long."`
}

// Sync is what a run may do.
type Sync struct {
	HoldRemovals    Threshold           `key:"hold_removals" floor:"3" percent:"30" text:"Removals in one run wait for an approval"`
	HoldAdditions   Threshold           `key:"hold_additions" floor:"100" percent:"100" text:"Additions in one run wait for an approval"`
	PeopleElsewhere string              `key:"people_elsewhere" default:"refuse" text:"A contact who belongs to another organization: refuse, or add where a person may have several."`
	Names           string              `key:"names" default:"file" text:"Whose names win for unprotected contacts: file; or desk, where names are set on creation alone."`
	Protected       []contactsync.Email `key:"protected" text:"Addresses that are never touched."`
}

// Threshold is passed by more than the larger of the two.
type Threshold struct {
	Floor   int `key:"floor" text:"when there are more than this many, and more than the percentage."`
	Percent int `key:"percent" text:"when they are more than this many per cent of the members, and more than the floor."`
}

// Limits are what the operator grants an organization.
type Limits struct {
	ContactsWithoutProject int `key:"contacts_without_project" default:"30" text:"Contacts of an organization without a project. 0: no limit."`
	ContactsWithProject    int `key:"contacts_with_project" default:"0" text:"Contacts of an organization with a project. 0: no limit."`
	Maintainers            int `key:"maintainers" default:"5" text:"Maintainers of a project. 0: no limit."`
}

// Schedule is what happens by itself.
type Schedule struct {
	Resync string        `key:"resync" default:"17 3 * * *" text:"When every linked project is synced again: a cron expression of five fields, in UTC. Empty: never."`
	Spread time.Duration `key:"spread" default:"4h" text:"Over how long the runs of one such sweep are spread."`
	Hooks  time.Duration `key:"hooks" default:"6h" text:"How often each project's hook is looked at on GitLab, for deliveries that failed. 0: never."`
}

// Sweep is when a scheduled sweep as a whole is suspect.
type Sweep struct {
	Hold SweepHold `key:"hold"`
}

// SweepHold holds all removals of a sweep when too many organizations, or too many contacts, would lose members.
type SweepHold struct {
	Organizations int `key:"organizations" default:"3" text:"A sweep's removals wait for an approval when more organizations than this would lose members."`
	Floor         int `key:"floor" default:"50" text:"The same when more contacts than this would be removed, and more than the percentage."`
	Percent       int `key:"percent" default:"5" text:"The same when more than this many per cent of all contacts would be removed, and more than the floor."`
}

// Serve is the daemon.
type Serve struct {
	Runs  int           `key:"runs" default:"4" text:"Runs that a process does at once; scheduled ones have as many more of their own."`
	Grace time.Duration `key:"grace" default:"30s" text:"How long runs under way may take to come to their end when the process is told to stop."`
	Lease time.Duration `key:"lease" default:"30s" text:"How long a project stays taken by a process that is not heard of any more."`
}

// Retention is for how long things are kept. 0 keeps them for ever.
type Retention struct {
	Deliveries time.Duration `key:"deliveries" default:"30d" text:"Hooks that were received. 0: for ever."`
	Runs       time.Duration `key:"runs" default:"90d" text:"Runs that had nothing to change. 0: for ever."`
	Audit      time.Duration `key:"audit" default:"1095d" text:"The audit trail: runs with changes or conflicts, approvals, verdicts of eligibility, and setups and removals of projects. 0: for ever."`
}

// Eligibility is who may have a contact management project.
type Eligibility struct {
	Seats    int               `key:"seats" default:"50" text:"Seats that the subscription must have at least."`
	Grace    time.Duration     `key:"grace" default:"14d" text:"How long a subscription that is over is in its grace period, before it counts as expired. Neither is active."`
	Criteria []string          `key:"criteria" text:"The policy, if it is another than the default: each criterion is the name of a built-in one (associated, active, qualifying, seats, authorized), or NAME: EXPRESSION."`
	Fields   EligibilityFields `key:"fields"`
}

// EligibilityFields are the keys of organization fields at the desk. An empty one is not there.
type EligibilityFields struct {
	Level               string `key:"support_level" default:"support_level" text:"Key of the organization field with the level of support: a plan, or expired."`
	Seats               string `key:"seats" default:"seats_decimal" text:"Key of the one with the number of seats."`
	Expires             string `key:"expires" default:"expiration_date" text:"Key of the one with the subscription's last day, such as 2027-01-31."`
	DotComPremium       string `key:"dotcom_premium" default:"sub_dotcom_premium" text:"Key of the check box for Premium on gitlab.com."`
	DotComUltimate      string `key:"dotcom_ultimate" default:"sub_dotcom_ultimate" text:"Key of the check box for Ultimate on gitlab.com."`
	SelfManagedPremium  string `key:"self_managed_premium" default:"sub_sm_premium" text:"Key of the check box for self-managed Premium."`
	SelfManagedUltimate string `key:"self_managed_ultimate" default:"sub_sm_ultimate" text:"Key of the check box for self-managed Ultimate."`
	Dedicated           string `key:"dedicated" default:"sub_gitlab_dedicated" text:"Key of the check box for GitLab Dedicated."`
	SoldTo              string `key:"sold_to" text:"Key of the one with the address of who bought the subscription. Empty: there is none."`
	Namespace           string `key:"namespace" text:"Key of the one with the organization's namespace on GitLab. Empty: there is none."`
}

// Replies are the titles of the desk's own macros that tickets are answered with. Where a desk has no such active macro,
// or the title is empty, the text of the same name is sent.
type Replies struct {
	Intro        string `key:"intro" default:"Support::Support Ops::Contact management intro" text:"Title of the macro that asks who may edit the contacts file. Empty, or none of that name at the desk: the text intro."`
	NotQualified string `key:"not_qualified" default:"Support::Support-Ops::Not qualified for CMP" text:"Title of the macro that says why there is no project. Empty, or none of that name at the desk: the text not_qualified."`
	SetUp        string `key:"set_up" default:"Support::Support Ops::Contact management project setup" text:"Title of the macro that says that the project is set up. Empty, or none of that name at the desk: the text set_up."`
	Removed      string `key:"removed" text:"Title of the macro that says that the project is removed. Empty, or none of that name at the desk: the text removed."`
	OverLimit    string `key:"over_limit" default:"Support::Support Ops::Maximum contacts reached" text:"Title of the macro that says that there are too many contacts. Empty, or none of that name at the desk: the text over_limit."`
}

// Report is what people are told on GitLab.
type Report struct {
	Statuses      bool   `key:"statuses" default:"true" text:"Whether each commit that was read gets a commit status: true or false."`
	Notes         bool   `key:"notes" default:"true" text:"Whether a commit whose file has to be mended gets a note that says where and how: true or false."`
	MergeRequests bool   `key:"merge_requests" default:"true" text:"Whether merge requests that change the file get a comment with the plan, and a commit status: true or false."`
	Gate          bool   `key:"gate" default:"false" text:"Whether a merge request can be merged only once its file is valid: setup and doctor then switch on GitLab's \"Pipelines must succeed\". Needs statuses and merge_requests, and a service that runs."`
	Names         bool   `key:"names" default:"false" text:"Whether notes and comments name who was, or would be, added, renamed and removed: true; or count them: false."`
	Badge         string `key:"badge" default:"drawn" text:"The badge Sync Status: drawn by the service; pictures, which are two of your own; or off."`
	BadgeURL      string `key:"badge_url" text:"Address at which browsers reach the service, for drawn badges. Empty: webhook.url. Without either, there is no drawn badge."`
	BadgeSynced   string `key:"badge_synced" default:"https://img.shields.io/badge/Sync%20Status-Success-green" text:"With pictures: the address of the one that says that all is well."`
	BadgeFailed   string `key:"badge_failed" default:"https://img.shields.io/badge/Sync%20Status-Failed-red" text:"With pictures: the address of the other one."`
}

// Templates are the texts that are written into projects and tickets, and about commits, merge requests and what waits.
type Templates struct {
	Dir string `key:"dir" text:"Folder whose files replace the program's own texts: CONTACTS.md, intro.txt, not_qualified.txt, set_up.txt, removed.txt, over_limit.txt, status.txt, commit_note.md, request_note.md, badge.svg, notice.txt, notice_slack.json, notice_mattermost.json, notice_google_chat.json and notice_json.json, those that are there. Relative to the working directory. Empty: none."`
}

// Notify is where operators are told what needs a person. The addresses are secrets: whoever has one can write there.
type Notify struct {
	Slack      []Secret `key:"slack" text:"Addresses of incoming webhooks of Slack."`
	Mattermost []Secret `key:"mattermost" text:"Addresses of incoming webhooks of Mattermost."`
	GoogleChat []Secret `key:"google_chat" text:"Addresses of incoming webhooks of Google Chat."`
	JSON       []Secret `key:"json" text:"Addresses that are sent plain JSON."`
	Ticket     string   `key:"ticket" text:"Number of a ticket at the desk that gets an internal note. Empty: none."`
	Events     []string `key:"events" text:"What is told: held, partial, quarantined, hook_disabled, credential_expires, sweep_held. None: all of it."`
}

// Default returns the configuration that holds without a file and without any variable.
func Default() Config {
	var c Config
	for _, k := range keysOf(&c) {
		if k.fallback != "" {
			// A test sets every key to its default, so this cannot fail at run time.
			_ = k.set([]string{k.fallback})
		}
	}
	return c
}
