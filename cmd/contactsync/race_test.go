//go:build race

package main_test

// raceDetector says that everything takes many times as long: the longest matrices are then sampled.
const raceDetector = true
