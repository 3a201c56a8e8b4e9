package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"contactsync"
)

// Notice is an event that operators are told of.
type Notice struct {
	Key     string // the same event always has the same
	Event   contactsync.NoticeEvent
	Project int64  // 0 where it is about none
	Data    []byte // JSON: what is told, without anything secret
}

// NoticeDelivery is a notice that is still to be told to a target.
type NoticeDelivery struct {
	Notice
	Tries int       // before
	Began time.Time // the first of them; zero where there was none
}

// NoticeState is how far a delivery is.
type NoticeState string

// The states of a delivery.
const (
	NoticeWaiting NoticeState = "waiting"
	NoticeSent    NoticeState = "sent"
	NoticeGivenUp NoticeState = "given_up"
)

// NoticeTry is what became of one try to deliver.
type NoticeTry struct {
	State   NoticeState
	At      time.Time // when it was tried
	Next    time.Time // waiting: not before
	Problem string    // why it failed, without anything secret
}

// SeeNotices remembers the notices of events that are present, and asks for those that are new to be told to each of the
// targets, which are all that there are: what waits for another one is given up. A new target is told of new events
// alone.
func (s *Store) SeeNotices(ctx context.Context, notices []Notice, targets []string) error {
	return s.writeHeld(ctx, "remembering what operators are to be told", func(tx tx) error {
		if err := giveUpOthers(ctx, tx, targets); err != nil {
			return err
		}
		now := millis(s.options.Now())
		for _, n := range notices {
			isNew, err := tx.exec(ctx, `INSERT INTO notice (key, event, project, data, found_at, seen_at) VALUES ($1, $2, $3, $4, $5, $5)
				ON CONFLICT (key) DO NOTHING`, n.Key, string(n.Event), n.Project, string(n.Data), now)
			if err != nil {
				return err
			}
			if isNew == 0 {
				if _, err := tx.exec(ctx, `UPDATE notice SET seen_at = $1 WHERE key = $2`, now, n.Key); err != nil {
					return err
				}
				continue
			}
			for _, target := range targets {
				if _, err := tx.exec(ctx, `INSERT INTO notice_delivery (notice, target, state, tries, began_at, next_at, problem)
					VALUES ($1, $2, $3, 0, 0, $4, '')`, n.Key, target, string(NoticeWaiting), now); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func giveUpOthers(ctx context.Context, tx tx, targets []string) error {
	values := []any{string(NoticeGivenUp), "the target is not configured any more"}
	places := []string{"''"} // no target has this name, and a list must not be empty
	for _, target := range targets {
		values = append(values, target)
		places = append(places, "$"+strconv.Itoa(len(values)))
	}
	_, err := tx.exec(ctx, `UPDATE notice_delivery SET state = $1, problem = $2
		WHERE state = 'waiting' AND target NOT IN (`+strings.Join(places, ", ")+`)`, values...)
	return err
}

// NoticesDue returns what is to be told to a target by now, at most so many, those first that wait longest.
func (s *Store) NoticesDue(ctx context.Context, target string, most int) (due []NoticeDelivery, err error) {
	err = s.read(ctx, "reading what is to be told to "+target, func(tx tx) error {
		due = nil
		return queryAll(ctx, tx, `SELECT n.key, n.event, n.project, n.data, d.tries, d.began_at
			FROM notice_delivery d JOIN notice n ON n.key = d.notice
			WHERE d.target = $1 AND d.state = 'waiting' AND d.next_at <= $2 ORDER BY d.next_at, n.found_at, n.key LIMIT $3`,
			[]any{target, millis(s.options.Now()), most}, func(row scanner) error {
				var d NoticeDelivery
				var data string
				var began int64
				err := row.Scan(&d.Key, &d.Event, &d.Project, &data, &d.Tries, &began)
				d.Data, d.Began = []byte(data), instant(began)
				due = append(due, d)
				return err
			})
	})
	return due, err
}

// TriedNotice remembers what became of a try to tell a target of a notice. It needs no lease: what was told was told.
func (s *Store) TriedNotice(ctx context.Context, key, target string, try NoticeTry) error {
	return s.write(ctx, "remembering what was told to "+target, func(tx tx) error {
		_, err := tx.exec(ctx, `UPDATE notice_delivery SET state = $1, tries = tries + 1, next_at = $2, problem = $3,
				began_at = CASE WHEN began_at = 0 THEN $4 ELSE began_at END
			WHERE notice = $5 AND target = $6 AND state = 'waiting'`,
			string(try.State), millis(try.Next), try.Problem, millis(try.At), key, target)
		return err
	})
}
