// Package proof proves, with real processes, that nothing is lost and nobody overlaps.
package proof
