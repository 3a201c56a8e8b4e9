package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"contactsync"
)

// Linked returns the organizations that were last seen with the project's number, in the order of their ids. They
// are memories: what the desk says now may differ.
func (s *Store) Linked(ctx context.Context, project int64) ([]string, error) {
	var organizations []string
	err := s.read(ctx, fmt.Sprintf("reading the links of project %d", project), func(tx tx) error {
		organizations = nil
		return queryAll(ctx, tx, `SELECT organization FROM link WHERE desk = $1 AND project = $2 ORDER BY organization`,
			[]any{s.options.Desk, project}, func(row scanner) error {
				var organization string
				if err := row.Scan(&organization); err != nil {
					return err
				}
				organizations = append(organizations, organization)
				return nil
			})
	})
	if err != nil {
		return nil, err
	}
	if s.links != nil {
		organizations = s.links.linked(organizations, project)
	}
	return organizations, nil
}

// SaveLinks remembers which project each organization carries; project 0 forgets the organization. All are saved or
// none. readUntil is up to when the desk's organizations were read in bulk; the zero time leaves it as it is.
func (s *Store) SaveLinks(ctx context.Context, links []contactsync.Link, readUntil time.Time) error {
	// An organization carries one project: the last word counts, and one statement must not touch a row twice.
	last := make(map[string]int64, len(links))
	for _, link := range links {
		last[link.Organization] = link.Project
	}
	if s.links != nil {
		s.links.save(last, readUntil)
		return nil
	}
	var saved, forgotten [][]any
	for organization, project := range last {
		if project == 0 {
			forgotten = append(forgotten, []any{s.options.Desk, organization})
		} else {
			saved = append(saved, []any{s.options.Desk, organization, project})
		}
	}
	return s.write(ctx, "saving links", func(tx tx) error {
		if err := insertRows(ctx, tx, `INSERT INTO link (desk, organization, project) VALUES `, saved,
			` ON CONFLICT (desk, organization) DO UPDATE SET project = excluded.project`); err != nil {
			return err
		}
		if err := insertRows(ctx, tx, `DELETE FROM link WHERE (desk, organization) IN (VALUES `, forgotten, `)`); err != nil {
			return err
		}
		if readUntil.IsZero() {
			return nil
		}
		_, err := tx.exec(ctx, `INSERT INTO links_read (desk, read_until) VALUES ($1, $2)
			ON CONFLICT (desk) DO UPDATE SET read_until = excluded.read_until`, s.options.Desk, millis(readUntil))
		return err
	})
}

// LinksReadUntil returns up to when the desk's organizations were read in bulk, to the millisecond; the zero time
// when they never were.
func (s *Store) LinksReadUntil(ctx context.Context) (time.Time, error) {
	if s.links != nil {
		if until := s.links.until(); !until.IsZero() {
			return until, nil
		}
	}
	var until int64
	err := s.read(ctx, "reading how far links were read", func(tx tx) error {
		err := tx.row(ctx, `SELECT read_until FROM links_read WHERE desk = $1`, s.options.Desk).Scan(&until)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return instant(until), err
}

// linkMemory keeps what a view was told by SaveLinks.
type linkMemory struct {
	mu        sync.Mutex
	projects  map[string]int64 // by organization
	readUntil time.Time
}

func newLinkMemory() *linkMemory { return &linkMemory{projects: map[string]int64{}} }

// linked returns the project's organizations as the memory changes what the store says.
func (m *linkMemory) linked(stored []string, project int64) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	organizations := slices.DeleteFunc(stored, func(organization string) bool {
		_, known := m.projects[organization]
		return known
	})
	for organization, carried := range m.projects {
		if carried == project && carried != 0 {
			organizations = append(organizations, organization)
		}
	}
	slices.Sort(organizations)
	return organizations
}

func (m *linkMemory) save(links map[string]int64, readUntil time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for organization, project := range links {
		m.projects[organization] = project
	}
	if !readUntil.IsZero() {
		m.readUntil = readUntil.Truncate(time.Millisecond).UTC()
	}
}

func (m *linkMemory) until() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.readUntil
}
