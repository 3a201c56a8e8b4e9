package proof_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// database opens the store as it is, past the product.
func (w *world) database() *sql.DB {
	w.Helper()
	driver, source := "pgx", w.store
	if path, ok := strings.CutPrefix(w.store, "sqlite:"); ok {
		driver, source = "sqlite", "file:"+path+"?_busy_timeout=10000"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		w.Fatal(err)
	}
	return db
}

// query returns all rows as texts.
func query(ctx context.Context, db *sql.DB, text string, values ...any) ([][]string, error) {
	rows, err := db.QueryContext(ctx, text, values...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var all [][]string
	for rows.Next() {
		row := make([]string, len(columns))
		into := make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// ask is query for what must work.
func (w *world) ask(db *sql.DB, text string, values ...any) [][]string {
	w.Helper()
	rows, err := query(context.Background(), db, text, values...)
	if err != nil {
		w.Fatalf("%s: %v", text, err)
	}
	return rows
}

const (
	owed = `SELECT project, wanted, done, status, error_class, retry_at FROM project
		WHERE wanted > done OR retry_at > 0 OR status NOT IN ('succeeded', 'unchanged') ORDER BY project`
	good = `SELECT d.id, d.project FROM delivery d JOIN run r ON r.project = CAST(d.project AS TEXT) AND r.generation >= d.generation
		AND r.finished_at >= d.received_at AND r.status IN ('succeeded', 'unchanged')`
)

// settles waits until the processes have done all that is owed. It helps in no way.
func (w *world) settles(processes ...*process) {
	w.Helper()
	db := w.database()
	defer db.Close()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	// Processes are others, and a database tells nobody, so it is asked.
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		left, err := query(context.Background(), db, owed)
		if err == nil && len(left) == 0 {
			return
		}
		select {
		case <-ticker.C:
		case <-limit.C:
			var logs []string
			for _, p := range processes {
				logs = append(logs, p.log())
			}
			w.Fatalf("this is still owed: %v (%v)\n%s", left, err, strings.Join(logs, "\n"))
		}
	}
}

// allIsWell checks everything that must hold once all is done.
func (w *world) allIsWell() {
	w.Helper()
	w.nothingIsLost()
	w.everyChangeWasAsked()
	w.deskIsRight()
}

// nothingIsLost checks that every delivery that was answered with success is in the store, and was followed by a run
// that began once it was there and that left nothing to be done; that no run was left open; and that the file is sound.
func (w *world) nothingIsLost() {
	w.Helper()
	db := w.database()
	defer db.Close()
	followed := map[string]bool{}
	for _, row := range w.ask(db, good) {
		followed[row[0]] = true
	}
	stored := map[string]bool{}
	for _, row := range w.ask(db, `SELECT id FROM delivery`) {
		stored[row[0]] = true
	}
	all := w.hooks.all()
	lost, alone := 0, 0
	for _, d := range all {
		switch {
		case !stored[d.id]:
			lost++
		case !followed[d.id]:
			alone++
		}
	}
	if lost+alone > 0 {
		w.Errorf("of %d deliveries that were answered with success, %d are not in the store, and %d were followed by no good run", len(all), lost, alone)
	}
	if open := w.ask(db, `SELECT id, project FROM run WHERE status = 'running'`); len(open) > 0 {
		w.Errorf("runs were left open: %v", open)
	}
	if strings.HasPrefix(w.store, "sqlite:") {
		if found := w.ask(db, `PRAGMA integrity_check`); len(found) != 1 || found[0][0] != "ok" {
			w.Errorf("the file is damaged: %v", found)
		}
	}
}

// everyChangeWasAsked checks that the audit trail has every change of the desk, and that a file asked for it.
func (w *world) everyChangeWasAsked() {
	w.Helper()
	db := w.database()
	defer db.Close()
	planned := map[string]int{} // "left 101 guest1.101@example.com" and how often
	for _, row := range w.ask(db, `SELECT r.project, r.commit_id, c.action, c.email FROM run_change c JOIN run r ON r.id = c.run`) {
		i := slices.IndexFunc(w.projects, func(p *project) bool { return fmt.Sprint(p.id) == row[0] })
		if i < 0 {
			w.Errorf("a run of a project that does not exist: %v", row)
			continue
		}
		p := w.projects[i]
		p.mu.Lock()
		said, known := p.said[row[1]]
		p.mu.Unlock()
		// The run may have died before its commit was in the trail; its plan is, with the commit.
		if listed := said[row[3]]; !known || listed == (row[2] == "remove") {
			w.Errorf("nobody asked for this: %v", row)
		}
		planned[how(row[2] == "remove")+" "+row[0]+" "+row[3]]++
	}
	for _, done := range w.ledger.all() {
		for i, list := range [][]string{done.joined, done.left} {
			for _, address := range list {
				change := fmt.Sprintf("%s %d %s", how(i == 1), done.project, address)
				if planned[change]--; planned[change] < 0 {
					w.Errorf("the audit trail does not have it: %s (%v)", change, done)
				}
			}
		}
	}
}

func how(removal bool) string {
	if removal {
		return "left"
	}
	return "joined"
}

// count is how many rows there are.
func (w *world) count(text string) string {
	w.Helper()
	db := w.database()
	defer db.Close()
	return w.ask(db, text)[0][0]
}
