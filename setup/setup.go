// Package setup is the life of a contact management project: it is set up, verified and repaired, audited, and removed.
package setup
