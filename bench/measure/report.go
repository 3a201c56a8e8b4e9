package measure

import (
	_ "embed"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// Verdict says how a figure stands to its limit.
type Verdict string

// The verdicts.
const (
	Met         Verdict = "met"
	Missed      Verdict = "missed"
	NotMeasured Verdict = "not measured"
)

// VerdictOf is Met or Missed.
func VerdictOf(met bool) Verdict {
	if met {
		return Met
	}
	return Missed
}

// Figure is one promise, and what was measured.
type Figure struct {
	Work, Limit, Measured string
	Verdict               Verdict
}

// Row is something that was counted, or measured as a whole.
type Row struct{ What, Value string }

// Timing is something that was timed many times.
type Timing struct {
	What string
	Spread
}

// Report is all that was measured.
type Report struct {
	Date    time.Time
	Command string
	Machine Machine
	Figures []Figure
	Counted []Row // the same on every machine
	Rates   []Row // of this machine
	Timings []Timing
}

// Missed reports whether a figure misses its limit.
func (r Report) Missed() bool {
	for _, f := range r.Figures {
		if f.Verdict == Missed {
			return true
		}
	}
	return false
}

//go:embed report.md.tmpl
var page string

// Render writes the report as a page of the documentation.
func (r Report) Render(w io.Writer) error {
	functions := template.FuncMap{
		"cell":  func(text string) string { return strings.ReplaceAll(text, "|", `\|`) },
		"ms":    Milliseconds,
		"gb":    func(bytes int64) string { return fmt.Sprintf("%.1f GB", float64(bytes)/1e9) },
		"count": func(n int) string { return Count(int64(n)) },
		"date":  func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") },
	}
	parsed, err := template.New("report").Funcs(functions).Parse(page)
	if err != nil {
		return err
	}
	return parsed.Execute(w, r)
}

// Milliseconds is a duration for people.
func Milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + " ms"
}

// Megabytes is a size for people, in units of 1,000,000 bytes.
func Megabytes(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }

// Count is a number for people, with commas.
func Count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}
