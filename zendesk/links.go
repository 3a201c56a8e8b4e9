package zendesk

import (
	"context"
	"slices"
	"sync"
	"time"

	"contactsync"
)

// Links remembers which organization carries which project's number, across runs. It saves bulk reads and is never
// believed: what it says is confirmed by reading the organization.
type Links interface {
	// Linked returns the organizations that were last seen with the project's number.
	Linked(ctx context.Context, project int64) ([]string, error)
	// SaveLinks remembers links, one an organization: a new one replaces the old, and Project 0 forgets it.
	// readUntil is up to when changes have been read in bulk; the zero time leaves that as it is.
	SaveLinks(ctx context.Context, links []contactsync.Link, readUntil time.Time) error
	// LinksReadUntil returns the latest readUntil; the zero time when links were never read in bulk.
	LinksReadUntil(ctx context.Context) (time.Time, error)
}

// MemoryLinks returns Links that last as long as the process: for plans that must write nothing, and for trials.
func MemoryLinks() Links { return &memoryLinks{projects: map[string]int64{}} }

type memoryLinks struct {
	mu        sync.Mutex
	projects  map[string]int64 // by organization
	readUntil time.Time
}

func (m *memoryLinks) Linked(_ context.Context, project int64) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var organizations []string
	for organization, p := range m.projects {
		if p == project {
			organizations = append(organizations, organization)
		}
	}
	slices.Sort(organizations)
	return organizations, nil
}

func (m *memoryLinks) SaveLinks(_ context.Context, links []contactsync.Link, readUntil time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, link := range links {
		if link.Project == 0 {
			delete(m.projects, link.Organization)
			continue
		}
		m.projects[link.Organization] = link.Project
	}
	if !readUntil.IsZero() {
		m.readUntil = readUntil
	}
	return nil
}

func (m *memoryLinks) LinksReadUntil(context.Context) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.readUntil, nil
}
