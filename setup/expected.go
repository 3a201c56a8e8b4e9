package setup

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"contactsync"
)

// Setting is what one setting of a project is to be.
type Setting struct {
	Name      string // as GitLab's pages call it
	Attribute string // as its API does
	Value     string
}

const (
	off      = "disabled"
	general  = "Settings → General"
	noAccess = "_access_level"
)

// Settings returns the settings of every project. A contact management project is a file with a history, so everything
// else is off. All but the last ones are the original's list. With Gate, a merge waits for the status of the plan.
// Source: docs.gitlab.com/api/projects, "Edit a project".
func (p Policy) Settings() []Setting {
	return []Setting{
		{"Project visibility", "visibility", "private"},
		{"Forks", "forking" + noAccess, off},
		{"Git Large File Storage (LFS)", "lfs_enabled", "false"},
		{"CI/CD", "builds" + noAccess, off},
		{"Container registry", "container_registry" + noAccess, off},
		{"Analytics", "analytics" + noAccess, off},
		{"Requirements", "requirements" + noAccess, off},
		{"Security and compliance", "security_and_compliance" + noAccess, off},
		{"Wiki", "wiki" + noAccess, off},
		{"Snippets", "snippets" + noAccess, off},
		{"Package registry", "package_registry" + noAccess, off},
		{"Pages", "pages" + noAccess, off},
		{"Monitor", "monitor" + noAccess, off},
		{"Environments", "environments" + noAccess, off},
		{"Feature flags", "feature_flags" + noAccess, off},
		{"Infrastructure", "infrastructure" + noAccess, off},
		{"Releases", "releases" + noAccess, off},
		{"Model experiments", "model_experiments" + noAccess, off},
		{"Model registry", "model_registry" + noAccess, off},
		// Strangers cannot ask to be let in, and a merge does not wait for a pipeline that never comes, unless it is to wait
		// for ours: GitLab counts a commit status as one.
		{"Users can request access", "request_access_enabled", "false"},
		{"Pipelines must succeed", "only_allow_merge_if_pipeline_succeeds", strconv.FormatBool(p.Gate)},
		{"Service Desk", "service_desk_enabled", "false"},
		{"Auto DevOps", "auto_devops_enabled", "false"},
		{"Instance runners", "shared_runners_enabled", "false"},
	}
}

// difference is something that is not as it is to be.
type difference struct{ what, is, want string }

func (d difference) String() string {
	return fmt.Sprintf("%s is %s, and is to be %s", d.what, d.is, d.want)
}

func texts(differences []difference) (lines []string) {
	for _, d := range differences {
		lines = append(lines, d.String())
	}
	return lines
}

// settingsOf returns the settings of a project that differ. What this GitLab does not tell is none of them.
func (p Policy) settingsOf(project contactsync.ProjectDetails) (wrong []difference) {
	for _, s := range p.Settings() {
		if is, told := project.Settings[s.Attribute]; told && is != s.Value {
			wrong = append(wrong, difference{s.Name + " (" + s.Attribute + ")", is, s.Value})
		}
	}
	return wrong
}

// byHand names what somebody has to look at, because GitLab's API does not know it.
func (p Policy) byHand(project contactsync.ProjectDetails) []string {
	names := []string{"CVE ID requests in the issue sidebar"} // on gitlab.com alone, and in no API
	for _, s := range p.Settings() {
		if _, told := project.Settings[s.Attribute]; !told {
			names = append(names, s.Name)
		}
	}
	return []string{fmt.Sprintf("left to you, because GitLab's API does not tell it: switch off in %s, if it is there: %s", general, strings.Join(names, ", "))}
}

// protection is what the branch's is to be.
func (p Policy) protection() contactsync.Protection {
	developers := []contactsync.AccessLevel{contactsync.AccessDeveloper}
	return contactsync.Protection{Branch: p.Branch, Push: developers, Merge: developers}
}

// protectionOf says how a protection differs; "" for not at all.
func protectionOf(is contactsync.Protection, there bool, want contactsync.Protection) string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if !there {
		return "it is not protected"
	}
	if !allows(is.Push, want.Push) {
		say("%s may push", roles(is.Push))
	}
	if !allows(is.Merge, want.Merge) {
		say("%s may merge", roles(is.Merge))
	}
	if is.Others {
		say("single people, groups or keys may push or merge")
	}
	if is.ForcePush {
		say("a force push is allowed")
	}
	if is.CodeOwners {
		say("code owners must approve")
	}
	return strings.Join(wrong, ", ")
}

// allows reports whether both let the same roles in: a role lets in all above it.
func allows(is, want []contactsync.AccessLevel) bool {
	return len(is) > 0 && len(want) > 0 && slices.Min(is) == slices.Min(want)
}

func roles(levels []contactsync.AccessLevel) string {
	if len(levels) == 0 {
		return "nobody"
	}
	switch lowest := slices.Min(levels); lowest {
	case contactsync.AccessNone:
		return "nobody"
	case contactsync.AccessDeveloper:
		return "developers and maintainers"
	case contactsync.AccessMaintainer:
		return "maintainers alone"
	default:
		return "level " + fmt.Sprint(int(lowest))
	}
}

// role names a level of access.
func role(level contactsync.AccessLevel) string {
	switch level {
	case 10:
		return "Guest"
	case 15:
		return "Planner"
	case 20:
		return "Reporter"
	case contactsync.AccessDeveloper:
		return "Developer"
	case contactsync.AccessMaintainer:
		return "Maintainer"
	case contactsync.AccessOwner:
		return "Owner"
	}
	return fmt.Sprintf("level %d", int(level))
}

// hookOf says how a hook that leads to us differs from the one that is wanted; "" for not at all. What it was told to keep
// secret cannot be compared: a test delivery shows it.
func hookOf(is contactsync.Hook, want contactsync.NewHook) string {
	var wrong []string
	say := func(bad bool, text string) {
		if bad {
			wrong = append(wrong, text)
		}
	}
	say(!is.PushEvents, "it does not tell of pushes")
	say(want.MergeRequests && !is.MergeRequests, "it does not tell of merge requests")
	say(!is.VerifyTLS, "it does not verify certificates")
	say(is.BranchFilter != want.Branch || is.BranchStrategy != "" && is.BranchStrategy != "wildcard", "it does not filter by the branch "+want.Branch)
	say((want.Token != "" || want.SigningToken != "") && !is.TokenPresent && !is.SigningTokenPresent, "it has no token")
	return strings.Join(wrong, ", ")
}

// leadsTo reports whether a hook's address is that of the wanted one.
func leadsTo(is contactsync.Hook, want contactsync.NewHook) bool {
	address, _, _ := strings.Cut(want.URL, "?")
	return strings.EqualFold(strings.TrimSuffix(is.Address, "/"), strings.TrimSuffix(address, "/"))
}

// over returns the members who may do more in the project than the policy lets them: those of the project itself who are
// above developers. What somebody may by the group is the group's business, and self is the account that works here.
func over(members []contactsync.ProjectMember, self int64) (above []contactsync.ProjectMember) {
	for _, m := range members {
		if m.Direct && !m.Bot && m.ID != self && m.Level > contactsync.AccessDeveloper {
			above = append(above, m)
		}
	}
	return above
}

// overInvited returns the invitations to more than a developer may do.
func overInvited(waiting []contactsync.Invitation) (above []contactsync.Invitation) {
	for _, i := range waiting {
		if i.Level > contactsync.AccessDeveloper {
			above = append(above, i)
		}
	}
	return above
}

func memberLevel(m contactsync.ProjectMember) string {
	return fmt.Sprintf("%s is %s", nameOf(m), role(m.Level))
}

func invitationLevel(i contactsync.Invitation) string {
	return fmt.Sprintf("%s is invited as %s", i.Address, role(i.Level))
}

func nameOf(m contactsync.ProjectMember) string { return fmt.Sprintf("@%s (%s)", m.Username, m.Name) }
