package webhook

import (
	"encoding/json"
	"net/http"
)

// The bodies of answers. What a wrong credential is answered never depends on what was wrong with it.
type (
	stored struct {
		Accepted bool   `json:"accepted"`
		Delivery string `json:"delivery"`
		Project  int64  `json:"project"`
		Joined   bool   `json:"joined"`
	}
	ignored struct {
		Accepted bool   `json:"accepted"`
		Ignored  string `json:"ignored"`
	}
	failed struct {
		Accepted bool   `json:"accepted"`
		Error    string `json:"error"`
		Detail   string `json:"detail,omitempty"`
	}
	message struct { // as GitLab's API says it
		Message string `json:"message"`
	}
)

var notFound = message{"404 Not Found"}

// unauthorized is encoded once: strangers can ask for it as often as they like.
var unauthorized, _ = json.Marshal(failed{Error: AnswerUnauthorized})

// hookAnswer is what a hook is told: 2xx for everything authentic, because GitLab disables hooks that fail.
func hookAnswer(_ *http.Request, res result) (int, any) {
	switch res.answer {
	case AnswerAccepted, AnswerJoined:
		return http.StatusAccepted, stored{true, res.receipt.ID, res.delivery.Project, res.receipt.Joined}
	case AnswerIgnored:
		return http.StatusOK, ignored{Ignored: res.ignored}
	}
	return failure(res)
}

// failure is what is told alike at both addresses. Where the store failed, why is for the log alone.
func failure(res result) (int, any) {
	switch res.answer {
	case AnswerUnauthorized:
		return http.StatusUnauthorized, unauthorized
	case AnswerTooLarge:
		return http.StatusRequestEntityTooLarge, failed{Error: res.answer, Detail: res.err.Error()}
	case AnswerTimeout:
		return http.StatusRequestTimeout, failed{Error: res.answer, Detail: res.err.Error()}
	case AnswerUnavailable:
		return http.StatusServiceUnavailable, failed{Error: res.answer}
	}
	return http.StatusBadRequest, failed{Error: res.answer, Detail: res.err.Error()}
}

func write(w http.ResponseWriter, status int, body any) {
	content, encoded := body.([]byte)
	if !encoded {
		// Texts, numbers and truth values cannot fail to be encoded; a client that is gone misses nothing.
		content, _ = json.Marshal(body)
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(content)
}
