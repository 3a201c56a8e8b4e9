package zendesk_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"contactsync"
	"contactsync/desktest"
	fake "contactsync/internal/fakes/zendesk"
	"contactsync/zendesk"
)

// bench is the stand-in as the conformance suite wants it.
type bench struct {
	*world
	single bool // the account lets nobody belong to two organizations
}

func (b bench) Desk() contactsync.Desk { return b.desk() }

func (b bench) AddOrganization(name string, project int64) string {
	fields := map[string]any{}
	if project != 0 {
		fields["cmp_id"] = strconv.FormatInt(project, 10)
	}
	return strconv.FormatInt(b.Server.AddOrganization(fake.Organization{Name: name, Fields: fields}), 10)
}

func (b bench) AddPerson(p desktest.Person) (string, bool) {
	if b.single && len(p.Organizations) > 1 {
		return "", false
	}
	u := fake.User{Name: p.Name, Suspended: p.Suspended, Shared: p.Shared, Inactive: p.Deleted}
	switch p.Role {
	case contactsync.RoleAgent:
		u.Role, u.CustomRole = "agent", 7
	case contactsync.RoleAdmin:
		u.Role = "admin"
	}
	for i, a := range p.Addresses {
		if i == 0 {
			u.Email = string(a)
		} else {
			u.Secondary = append(u.Secondary, string(a))
		}
	}
	for _, o := range p.Organizations {
		u.Organizations = append(u.Organizations, number(b.t, o))
	}
	return strconv.FormatInt(b.AddUser(u), 10), true
}

func (b bench) SetField(organization, key string, value any) {
	b.Server.SetField(number(b.t, organization), key, value)
}

func (b bench) AddTicket(subject, requester, organization string) string {
	return strconv.FormatInt(b.Server.AddTicket(fake.Ticket{
		Subject: subject, Requester: number(b.t, requester), Organization: number(b.t, organization), Tags: []string{"vip"},
	}), 10)
}

func (b bench) CloseTicket(id string) {
	b.UpdateTicket(number(b.t, id), func(t *fake.Ticket) { t.Status = "closed" })
}

func (b bench) Comments(id string) []desktest.Comment {
	ticket, _ := b.Server.Ticket(number(b.t, id))
	var comments []desktest.Comment
	for _, c := range ticket.Comments {
		comments = append(comments, desktest.Comment{Text: c.Body, Public: c.Public})
	}
	return comments
}

func (b bench) AddMacro(title, text string) {
	note := false
	b.Server.AddMacro(fake.Macro{Title: title, Comment: text, Public: &note, Status: "solved"})
}

func number(t testing.TB, id string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		t.Fatalf("id %q: %v", id, err)
	}
	return n
}

func (b bench) Settle() { b.Reindex() }

func (b bench) Person(id string) (desktest.Person, bool) {
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return desktest.Person{}, false
	}
	u, ok := b.User(number)
	if !ok {
		return desktest.Person{}, false
	}
	p := desktest.Person{Name: u.Name, Suspended: u.Suspended, Shared: u.Shared, Deleted: u.Inactive, Role: contactsync.RoleContact}
	switch {
	case u.Role == "admin":
		p.Role = contactsync.RoleAdmin
	case u.Role != "end-user":
		p.Role = contactsync.RoleAgent
	}
	for _, a := range append([]string{u.Email}, u.Secondary...) {
		if a != "" {
			p.Addresses = append(p.Addresses, contactsync.NormalizeEmail(a))
		}
	}
	for _, o := range u.Organizations {
		p.Organizations = append(p.Organizations, strconv.FormatInt(o, 10))
	}
	return p, true
}

func (b bench) People() int {
	n := 0
	for _, u := range b.Users() {
		if !u.Inactive {
			n++
		}
	}
	return n
}

func (b bench) Writes() int {
	n := 0
	for _, r := range b.Requests() {
		if r.Method != http.MethodGet && !strings.HasSuffix(r.Path, "/oauth/tokens") {
			n++
		}
	}
	return n
}

func (b bench) Break() {
	b.Inject(fake.Fault{Name: "broken", Kind: fake.NotJSON, Match: func(r *http.Request, _ int) bool {
		return !strings.HasSuffix(r.URL.Path, "/oauth/tokens")
	}})
}

// The adapter keeps every promise of a desk, in each kind of account that there is.
func TestConformance(t *testing.T) {
	accounts := map[string]func(*fake.Settings){
		"ordinary":                  func(s *fake.Settings) { s.MultipleOrganizations = true },
		"one organization a person": func(*fake.Settings) {},
		"numeric field":             func(s *fake.Settings) { s.MultipleOrganizations, s.ProjectType = true, fake.FieldInteger },
		"bulk import":               func(s *fake.Settings) { s.MultipleOrganizations, s.BulkImport = true, true },
		"no side-loading": func(s *fake.Settings) {
			s.MultipleOrganizations, s.SideLoadUsers, s.SideLoadIdentities = true, false, false
		},
		"partial users": func(s *fake.Settings) {
			s.MultipleOrganizations, s.SideLoadFields = true, []string{"id", "name", "email"}
		},
		"cursors alone":      func(s *fake.Settings) { s.MultipleOrganizations, s.OffsetPaging = true, false },
		"offsets alone":      func(s *fake.Settings) { s.MultipleOrganizations, s.CursorPaging = true, false },
		"no administrator":   func(s *fake.Settings) { s.MultipleOrganizations, s.AdminAccess = true, false },
		"few words a search": func(s *fake.Settings) { s.MultipleOrganizations, s.MaxSearchWords = true, 20 },
		"slow jobs, rows with an index": func(s *fake.Settings) {
			s.MultipleOrganizations, s.BulkImport, s.JobPolls, s.JobRows = true, true, 4, fake.RowsIndexed
		},
		"bare rows":   func(s *fake.Settings) { s.MultipleOrganizations, s.BulkImport, s.JobRows = true, true, fake.RowsBare },
		"rows as one": func(s *fake.Settings) { s.MultipleOrganizations, s.BulkImport, s.JobRows = true, true, fake.RowsObject },
		"few jobs": func(s *fake.Settings) {
			s.MultipleOrganizations, s.BulkImport, s.JobPolls, s.MaxJobs = true, true, 2, 1
		},
		"a small limit": func(s *fake.Settings) { s.MultipleOrganizations, s.RateLimit = true, 100 },
	}
	for name, configure := range accounts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			desktest.Exercise(t, func(t *testing.T) desktest.Bench {
				w := newWorld(t)
				w.DeleteOrganization(w.orgID) // the suite brings its own
				w.Reindex()
				w.Configure(configure)
				t.Cleanup(w.clean)
				return bench{w, name == "one organization a person"}
			})
		})
	}
}

// What the adapter can do beyond the Desk interface is what the documentation says.
func TestCapabilities(t *testing.T) {
	desk, err := zendesk.New(zendesk.Options{URL: "https://example.zendesk.com", ClientID: "a", ClientSecret: "b"})
	wantNoError(t, err)
	want := []desktest.Capability{
		{Name: "rename members", Has: true},
		{Name: "tell whether a person may belong to several organizations", Has: true},
		{Name: "list all linked projects at once", Has: true},
		{Name: "read the account's own fields of an organization", Has: true},
		{Name: "link an organization to a project", Has: true},
		{Name: "count the contacts of all organizations at once", Has: true},
		{Name: "answer tickets", Has: true},
	}
	if got := desktest.Capabilities(desk); !slices.Equal(got, want) {
		t.Errorf("Capabilities = %v, want %v", got, want)
	}
}
