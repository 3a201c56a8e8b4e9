//go:build race

package zendesk_test

// raceDetector says that memory figures mean nothing: the race detector multiplies them.
const raceDetector = true
