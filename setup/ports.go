package setup

import (
	"context"
	"time"

	"contactsync"
	"contactsync/templates"
)

// Forge is what the life of a project takes of a GitLab. Errors are of the class repository_unreachable where GitLab
// did not answer, or not so that it could be understood, gitlab_refused where it refused a change, and
// invalid_project_id where it shows no such project. Every write asks CheckFence first, is sent once, and is told of as
// done only when the answer says so.
type Forge interface {
	// Self returns the number of the account that the token stands for.
	Self(ctx context.Context) (int64, error)

	// FindProject returns the project at a full path, such as "support/organization-42"; false where there is none that the
	// token sees.
	FindProject(ctx context.Context, path string) (contactsync.ProjectDetails, bool, error)
	// ProjectDetails returns the project with that number, also one that is to be deleted.
	ProjectDetails(ctx context.Context, id int64) (contactsync.ProjectDetails, error)
	// GroupProjects returns the projects of a group itself, without those to be deleted, by their numbers.
	GroupProjects(ctx context.Context, group string) ([]contactsync.ProjectDetails, error)
	// CreateProject makes a project. One from a template is not finished until its Import says so.
	CreateProject(ctx context.Context, project contactsync.NewProject) (contactsync.ProjectDetails, error)
	// ChangeSettings writes settings, and returns the project as it is then. Settings that this GitLab does not know it
	// ignores, so compare.
	ChangeSettings(ctx context.Context, id int64, settings map[string]string) (contactsync.ProjectDetails, error)
	// DeleteProject marks a project for deletion, and returns the day on which it is gone, "" where GitLab does not tell.
	DeleteProject(ctx context.Context, id int64) (contactsync.Date, error)
	// RestoreProject takes the mark away.
	RestoreProject(ctx context.Context, id int64) (contactsync.ProjectDetails, error)

	// Protection returns how a branch is protected by a rule with exactly its name; false where there is none.
	Protection(ctx context.Context, id int64, branch string) (contactsync.Protection, bool, error)
	// Protect makes the protection of a branch exactly this, whether there is one or not, on GitLab Free, too, where that
	// leaves the branch unprotected for a moment.
	Protect(ctx context.Context, id int64, protection contactsync.Protection) error

	Hooks(ctx context.Context, project int64) ([]contactsync.Hook, error)
	CreateHook(ctx context.Context, project int64, hook contactsync.NewHook) (contactsync.Hook, error)
	// DeleteHook removes a hook. One that is gone already is no error.
	DeleteHook(ctx context.Context, project, hook int64) error
	TestHook(ctx context.Context, project, hook int64) error
	// FailedDeliveries returns those at or after since, the newest first; none where GitLab is too old to tell.
	FailedDeliveries(ctx context.Context, project, hook int64, since time.Time) ([]contactsync.FailedDelivery, error)

	// Members returns everybody who may do something in the project, by itself or by a group, by their numbers.
	Members(ctx context.Context, project int64) ([]contactsync.ProjectMember, error)
	Invitations(ctx context.Context, project int64) ([]contactsync.Invitation, error)
	// Invite invites addresses as developers, which is the only level that there is, and returns what became of each, in
	// their order.
	Invite(ctx context.Context, project int64, addresses []contactsync.Email) ([]contactsync.Invited, error)
	// Withdraw takes an invitation back. One that is gone already is no error.
	Withdraw(ctx context.Context, project int64, address contactsync.Email) error
	// MakeDeveloper gives a direct member of the project the level of a developer, be it less or more than they had.
	MakeDeveloper(ctx context.Context, project, member int64) error
}

// Files reads and writes the files of a project, on the configured branch.
type Files interface {
	// Head returns the commit at the head of the branch, "" where there is no branch.
	Head(ctx context.Context, project contactsync.Project) (string, error)
	// Read returns a file at the head of the branch. Errors: file_missing, file_too_large, repository_unreachable.
	Read(ctx context.Context, project contactsync.Project, name string) (contactsync.File, error)
	// Write makes a commit of the files, if the branch is still at parent, and returns it. Files that are so already make
	// none: it returns parent.
	Write(ctx context.Context, project contactsync.Project, parent, message string, files map[string][]byte) (string, error)
}

// Desk is what the life of a project takes of a desk.
type Desk interface {
	contactsync.Desk
	contactsync.Linker
}

// Syncer is the pipeline.
type Syncer interface {
	// Export reads what the organization's contacts file would be if it were made of its present members.
	Export(ctx context.Context, organization string) (contactsync.Exported, error)
	// PlanFile shows what a contacts file would do to an organization.
	PlanFile(ctx context.Context, content []byte, organization string) contactsync.Run
	Plan(ctx context.Context, project contactsync.ProjectRef) contactsync.Run
	Sync(ctx context.Context, project contactsync.ProjectRef, trigger contactsync.Trigger) contactsync.Run
	// Associate makes contacts members of an organization, under all rules of a sync, and removes and renames nobody.
	Associate(ctx context.Context, organization string, contacts []contactsync.Contact) contactsync.Run
}

// Journal keeps procedures, from their first step on.
type Journal interface {
	// Unfinished returns the organization's procedure of that kind that is not done; false where there is none.
	Unfinished(ctx context.Context, kind contactsync.ProcedureKind, organization string) (contactsync.Procedure, bool, error)
	// LastOfProject returns the newest procedure of that kind with the project, done or not; false where there is none.
	LastOfProject(ctx context.Context, kind contactsync.ProcedureKind, project int64) (contactsync.Procedure, bool, error)
	// SaveProcedure keeps a procedure and raises its Revision. One that another process saved meanwhile is refused with
	// an error that says so.
	SaveProcedure(ctx context.Context, procedure *contactsync.Procedure) error
	// LookedAt returns when the last run began that read the project's file; the zero time where none is known.
	LookedAt(ctx context.Context, project int64) (time.Time, error)
}

// Lease keeps runs of a project away.
type Lease interface {
	// Hold runs work while this process alone may write for the project. It waits for a run that is under way. The context
	// that work gets is cancelled when the lease is lost, and its fence (contactsync.WithFence) fails from then on.
	Hold(ctx context.Context, project int64, work func(context.Context) error) error
}

// Texts words what is written into projects and tickets; templates.Set is one.
type Texts interface {
	Text(reply templates.Reply, data templates.Data) (string, error)
	Guide(data templates.GuideData) ([]byte, error)
}
