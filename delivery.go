package contactsync

import "time"

// Delivery is an authentic hook that asks for a run of a project, or for a look at one of its merge requests. Whatever
// else the hook said is not kept.
type Delivery struct {
	Project  int64
	Request  int64  // the merge request's number in the project; 0 for a push
	Key      string // the sender's Idempotency-Key, the same when it sends the hook again; "" where it gave none
	Event    string // what happened there: "push", "merge_request"
	Received time.Time
}

// Receipt is what became of a delivery once it was stored.
type Receipt struct {
	ID string // of the delivery
	// Joined says that the delivery was known already, and that the run which it asked for is still to come or was
	// successful a moment ago: no further run follows.
	Joined bool
}
