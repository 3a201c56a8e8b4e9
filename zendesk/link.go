package zendesk

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"contactsync"
)

// existing reads an organization that is there.
func (d *Desk) existing(ctx context.Context, org contactsync.Organization) (organization, error) {
	id, err := organizationID(org)
	if err != nil {
		return organization{}, err
	}
	o, err := d.readOrganization(ctx, id)
	if status(err) == http.StatusNotFound || (err == nil && o.DeletedAt != nil) {
		return organization{}, noOrganization("there is no organization %d at the desk", id)
	}
	if err != nil {
		return organization{}, classed(err, contactsync.ClassDeskUnreadable)
	}
	return o, nil
}

// ProjectOf returns the number that the organization carries in its project field, 0 for none, in one request.
func (d *Desk) ProjectOf(ctx context.Context, org contactsync.Organization) (int64, error) {
	o, err := d.existing(ctx, org)
	if err != nil {
		return 0, fmt.Errorf("reading the project of organization %s: %w", org.ID, err)
	}
	return d.project(o), nil
}

// LinkProject writes the number into the organization's project field, and nothing else of the organization, and reads
// it back: two requests. Zendesk takes five updates a minute of one organization. The link is remembered, so that
// Organization finds it at once although the search does not know it yet.
//
// The field may be numeric or a text; the number is written as a number, which a field of another kind refuses.
// Zendesk says nothing about a field that it does not have: only reading shows it.
// https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/#update-organization
func (d *Desk) LinkProject(ctx context.Context, org contactsync.Organization, project int64) error {
	if err := d.linkProject(ctx, org, project); err != nil {
		return fmt.Errorf("linking organization %s to project %d: %w", org.ID, project, err)
	}
	return nil
}

func (d *Desk) linkProject(ctx context.Context, org contactsync.Organization, project int64) error {
	id, err := organizationID(org)
	if err != nil {
		return err
	}
	if project < 0 {
		return contactsync.Errorf(contactsync.ClassInternal, "%d is no number of a project", project)
	}
	var value any // null takes the number away
	if project > 0 {
		value = project
	}
	body := map[string]any{"organization": map[string]any{"organization_fields": map[string]any{d.field: value}}}
	unclear := d.put(ctx, fmt.Sprintf("/organizations/%d", id), body, &struct{}{})
	switch {
	case unclear == nil, isAmbiguous(unclear): // reading tells
	case status(unclear) == http.StatusNotFound:
		return noOrganization("there is no organization %d at the desk", id)
	case status(unclear) == http.StatusUnprocessableEntity:
		refused := classed(unclear, contactsync.ClassSyncFailed)
		refused.Remedy = fmt.Sprintf("Make the field %s a numeric organization field.", d.field)
		return refused
	default:
		return classed(unclear, contactsync.ClassSyncFailed)
	}
	o, err := d.existing(ctx, org)
	if err != nil {
		return fmt.Errorf("finding out whether the number was written: %w", unchained(err, contactsync.ClassDeskUnreadable))
	}
	link := contactsync.Link{Project: d.project(o), Organization: org.ID}
	if err := d.links.SaveLinks(ctx, []contactsync.Link{link}, time.Time{}); err != nil {
		return fmt.Errorf("remembering links: %w", err)
	}
	if link.Project == project {
		return nil
	}
	return d.notLinked(o, unclear)
}

// notLinked says why an organization does not carry the number that was written.
func (d *Desk) notLinked(o organization, unclear error) error {
	held, there := o.OrganizationFields[d.field]
	if !there {
		err := contactsync.Errorf(contactsync.ClassSyncFailed,
			"organizations have no field with the key %s (zendesk.project_field), and the number was not kept", d.field)
		err.Retry = contactsync.RetryNo
		err.Remedy = fmt.Sprintf("Add a numeric organization field with the key %s at the desk, or name the right key in zendesk.project_field.", d.field)
		return err
	}
	if unclear != nil {
		return unchanged("field "+d.field, unclear)
	}
	return contactsync.Errorf(contactsync.ClassSyncFailed,
		"the desk accepted the number, but the field %s (zendesk.project_field) holds %q", d.field, fieldText(held))
}
