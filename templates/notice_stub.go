package templates

import "encoding/json"

// Notice words what needs an operator, as plain text.
func (s *Set) Notice(data NoticeData) (string, error) {
	return data.Event + ": " + data.Detail + " " + data.Command, nil
}

// NoticeBody words it as the JSON that a webhook of that format takes.
func (s *Set) NoticeBody(_ string, data NoticeData) ([]byte, error) {
	text, err := s.Notice(data)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"text": text, "key": data.Key, "event": data.Event, "project": data.Project})
}
