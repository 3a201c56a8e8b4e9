//go:build !race

package zendesk_test

const raceDetector = false
