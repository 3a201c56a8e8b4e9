package zendesk

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"contactsync"
)

// OrganizationFields returns what the organization's custom fields hold, in one request. Drop-down fields hold the tag
// of the option.
// https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/ (organization_fields)
func (d *Desk) OrganizationFields(ctx context.Context, org contactsync.Organization) (map[string]string, error) {
	o, err := d.existing(ctx, org)
	if err != nil {
		return nil, fmt.Errorf("reading the fields of organization %s: %w", org.ID, err)
	}
	fields := make(map[string]string, len(o.OrganizationFields))
	for key, value := range o.OrganizationFields {
		if text := fieldText(value); text != "" {
			fields[key] = text
		}
	}
	return fields, nil
}

// fieldText is a field's value as text; "" for an empty one, and for kinds that are no single value.
func fieldText(value any) string {
	switch v := value.(type) {
	case string:
		return strings.TrimSpace(v)
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}
