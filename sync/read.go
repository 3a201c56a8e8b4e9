package sync

import (
	"context"
	"slices"

	"contactsync"
)

// read gathers what a plan is made from. The file and the members are read side by side; of several failures the one
// is returned that comes first in this order: project, organization, file, members.
func (p *Pipeline) read(ctx context.Context, project int64, run *contactsync.Run, resolve resolver) (State, error) {
	today := contactsync.DateOf(p.Now())
	p.step("reading the file and the members")

	// A failed project makes the desk's answers worthless; a failed file those about members only, because an
	// organization that cannot be found is the earlier failure.
	deskCtx, stopDesk := context.WithCancel(ctx)
	defer stopDesk()
	membersCtx, stopMembers := context.WithCancel(deskCtx)
	defer stopMembers()

	type repositorySide struct {
		url                 string
		file                contactsync.File
		parsed              []contactsync.Contact
		owner               func(contactsync.Organization) error
		projectErr, fileErr error
	}
	repository := make(chan repositorySide, 1)
	go func() {
		var side repositorySide
		defer func() { repository <- side }()
		var found contactsync.Project
		if found, side.projectErr = p.Forge.Project(ctx, project); side.projectErr != nil {
			stopDesk()
			return
		}
		side.url = found.WebURL
		if side.file, side.fileErr = p.Repository.Read(ctx, found); side.fileErr != nil {
			stopMembers()
			return
		}
		file, wanted, err := p.parse(side.file.Content, today)
		if err == nil {
			err = p.Policy.checkLimit(wanted)
		}
		if err != nil {
			side.fileErr = err
			stopMembers()
			return
		}
		side.parsed = file.Contacts
		side.owner = func(org contactsync.Organization) error { return checkOwner(file, org) }
	}()

	var members []contactsync.Member
	var membersErr error
	org, orgErr := resolve(deskCtx, project)
	if orgErr == nil {
		members, membersErr = p.members(membersCtx, org)
	}
	side := <-repository

	run.Commit, run.Committer, run.ProjectURL = side.file.Commit, side.file.Committer, side.url
	if side.projectErr != nil {
		return State{}, side.projectErr
	}
	if orgErr != nil {
		return State{}, orgErr
	}
	run.Organization = &org
	if side.fileErr != nil {
		return State{}, side.fileErr
	}
	if err := side.owner(org); err != nil {
		return State{}, err
	}
	if membersErr != nil {
		return State{}, membersErr
	}
	return p.complete(ctx, State{Organization: org, Contacts: side.parsed, Members: members, Today: today})
}

// readLocal gathers what a plan of a file is made from that is at hand.
func (p *Pipeline) readLocal(ctx context.Context, content []byte, resolve func(context.Context) (contactsync.Organization, error), limited limiter, run *contactsync.Run) (State, error) {
	today := contactsync.DateOf(p.Now())
	file, wanted, err := p.parse(content, today)
	if err != nil {
		return State{}, err
	}
	p.step("reading the members")
	org, err := resolve(ctx)
	if err != nil {
		return State{}, err
	}
	run.Organization = &org
	if err := checkOwner(file, org); err != nil {
		return State{}, err
	}
	if err := limited(ctx, org, wanted); err != nil {
		return State{}, err
	}
	members, err := p.members(ctx, org)
	if err != nil {
		return State{}, err
	}
	return p.complete(ctx, State{Organization: org, Contacts: file.Contacts, Members: members, Today: today})
}

func (p *Pipeline) members(ctx context.Context, org contactsync.Organization) ([]contactsync.Member, error) {
	return p.Desk.Members(p.progress(ctx), org)
}

// complete reads what the plan still needs to be sure, and no more: all addresses of the members whom the file does
// not explain by the known ones, the people behind addresses that no member explains, and whether those who would be
// renamed belong here alone.
func (p *Pipeline) complete(ctx context.Context, state State) (State, error) {
	org := state.Organization
	renamer, canRename := p.Desk.(contactsync.Renamer)
	state.CanRename = canRename

	unexplained, unlisted := unmatched(state)
	if len(unlisted) > 0 && (len(unexplained) > 0 || len(p.Policy.Protected) > 0) {
		p.step("reading all addresses of members whom the file does not list")
		if err := p.addresses(ctx, &state, unlisted); err != nil {
			return state, err
		}
		unexplained, _ = unmatched(state)
	}
	if len(unexplained) > 0 {
		p.step("looking people up by address")
		people, err := p.Desk.People(p.progress(ctx), org, unexplained)
		if err != nil {
			return state, err
		}
		state.People = people
		if state.Exclusive, err = p.exclusive(ctx, people); err != nil {
			return state, err
		}
	}
	if !canRename {
		return state, nil
	}
	doubtful, err := undecided(state, p.Policy)
	if err != nil || len(doubtful) == 0 {
		return state, err
	}
	p.step("checking whom a rename would touch")
	if len(p.Policy.Protected) > 0 {
		if err := p.addresses(ctx, &state, doubtful); err != nil {
			return state, err
		}
		if doubtful, err = undecided(state, p.Policy); err != nil || len(doubtful) == 0 {
			return state, err
		}
	}
	decided, err := renamer.Elsewhere(p.progress(ctx), org, doubtful)
	if err != nil {
		return state, err
	}
	state.Members, err = replace(state.Members, decided)
	return state, err
}

// exclusive tells whether the desk would move people of other organizations instead of adding them, where that matters.
func (p *Pipeline) exclusive(ctx context.Context, people []contactsync.Person) (bool, error) {
	sharer, ok := p.Desk.(contactsync.Sharer)
	if !ok || p.Policy.PeopleElsewhere != AddElsewhere || !slices.ContainsFunc(people, func(person contactsync.Person) bool {
		return person.Elsewhere != contactsync.ElsewhereNo
	}) {
		return false, nil
	}
	shares, err := sharer.SharesPeople(ctx)
	return !shares, err
}

// addresses completes the addresses of some of the members.
func (p *Pipeline) addresses(ctx context.Context, state *State, members []contactsync.Member) error {
	full, err := p.Desk.Addresses(p.progress(ctx), state.Organization, members)
	if err != nil {
		return err
	}
	state.Members, err = replace(state.Members, full)
	return err
}

// unmatched returns the wanted addresses that no member is known to have, and the incomplete members whom no wanted
// contact names by a known address.
func unmatched(state State) ([]contactsync.Email, []contactsync.Member) {
	have := make(map[contactsync.Email]bool)
	for _, m := range state.Members {
		for _, address := range m.Addresses {
			have[address] = true
		}
	}
	wanted := make(map[contactsync.Email]bool)
	var addresses []contactsync.Email
	for _, c := range wantedOf(state.Contacts, state.Today) {
		wanted[c.Email] = true
		if !have[c.Email] {
			addresses = append(addresses, c.Email)
		}
	}
	var members []contactsync.Member
	for _, m := range state.Members {
		named := false
		for _, address := range m.Addresses {
			named = named || wanted[address]
		}
		if !named && !m.Complete {
			members = append(members, m)
		}
	}
	return addresses, members
}

// replace puts better knowledge of some members in their place. A desk that answers about others, or not about all
// who were asked for, is not to be trusted.
func replace(members, better []contactsync.Member) ([]contactsync.Member, error) {
	index := make(map[string]int, len(members))
	for i, m := range members {
		index[m.ID] = i
	}
	replaced := append([]contactsync.Member(nil), members...)
	for _, m := range better {
		i, ok := index[m.ID]
		if !ok {
			return nil, contactsync.Errorf(contactsync.ClassDeskUnreadable, "the desk answered about person %s, who was not asked for", m.ID)
		}
		replaced[i] = m
	}
	return replaced, nil
}
