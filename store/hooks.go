package store

import (
	"context"
	"fmt"
	"time"
)

// Hook is what is known of a linked project's hook.
type Hook struct {
	Project     int64
	Looked      time.Time // when the forge was last asked
	Seen        time.Time // when it last answered
	FailedEvent int64     // the newest failed delivery that was made good, as the forge numbers them
	Disabled    bool
	Problem     string // why it could not be looked at, or what is wrong with it
}

// HooksToLookAt returns the linked projects whose hooks were not looked at since, those first that wait longest.
func (s *Store) HooksToLookAt(ctx context.Context, since time.Time, most int) ([]Hook, error) {
	var hooks []Hook
	err := s.read(ctx, "reading whose hooks are to be looked at", func(tx tx) error {
		hooks = nil
		return queryAll(ctx, tx, `SELECT l.project, COALESCE(h.looked_at, 0), COALESCE(h.seen_at, 0), COALESCE(h.failed_event, 0), COALESCE(h.disabled, false),
				COALESCE(h.problem, '')
			FROM (SELECT DISTINCT project FROM link WHERE desk = $1) l LEFT JOIN hook h ON h.project = l.project
			WHERE COALESCE(h.looked_at, 0) < $2 ORDER BY COALESCE(h.looked_at, 0), l.project LIMIT $3`,
			[]any{s.options.Desk, millis(since), most}, func(row scanner) error {
				var hook Hook
				var looked, seen int64
				err := row.Scan(&hook.Project, &looked, &seen, &hook.FailedEvent, &hook.Disabled, &hook.Problem)
				hook.Looked, hook.Seen = instant(looked), instant(seen)
				hooks = append(hooks, hook)
				return err
			})
	})
	return hooks, err
}

// SaveHook remembers what was seen of a hook.
func (s *Store) SaveHook(ctx context.Context, hook Hook) error {
	return s.write(ctx, fmt.Sprintf("remembering the hook of project %d", hook.Project), func(tx tx) error {
		var disabled int64
		if hook.Disabled {
			disabled = millis(hook.Looked)
		}
		_, err := tx.exec(ctx, `INSERT INTO hook (project, looked_at, seen_at, failed_event, disabled, problem, disabled_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (project) DO UPDATE SET looked_at = excluded.looked_at, seen_at = excluded.seen_at, failed_event = excluded.failed_event,
			disabled = excluded.disabled, problem = excluded.problem,
			disabled_at = CASE WHEN hook.disabled AND excluded.disabled THEN hook.disabled_at ELSE excluded.disabled_at END`,
			hook.Project, millis(hook.Looked), millis(hook.Seen), hook.FailedEvent, hook.Disabled, hook.Problem, disabled)
		return err
	})
}
